"""Span corruption in training: windows of text, gaps cut into them anew each time they are read.

A window is as long as the context, or a token or two shorter where its source or target would not fit otherwise. Not here: the cutting
(`span_corruption.py`), the loss (`sequence_to_sequence.py`).

Axes: B rows, L tokens of a window, S source, T target.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from llm_core.config.errors import UserError
from llm_core.config.run import RunConfig
from llm_core.config.span_corruption import SpanCorruptionConfig
from llm_core.models.interface import LanguageModel
from llm_core.objectives.interface import Batch, BatchReader
from llm_core.objectives.sequence_to_sequence import SequenceToSequenceStep, decoder_inputs
from llm_core.objectives.span_corruption import SpanVocabulary, corrupt, span_lengths
from llm_core.objectives.validation_windows import SEED, validation_windows
from llm_core.text.batches import RandomWindows, TokenVector, generator_from_json, generator_to_json
from llm_core.text.vocabulary import ModelVocabulary


class SpanObjective:
    """Writing what stood in the gaps of a text."""

    def __init__(self, config: RunConfig, vocabulary: ModelVocabulary) -> None:
        assert isinstance(config.objective, SpanCorruptionConfig)
        assert vocabulary.first_mark is not None and vocabulary.end_token is not None
        self.vocabulary = vocabulary
        self.spans = config.objective
        self.ids = SpanVocabulary(vocabulary.first_mark + 1, vocabulary.end_token)
        self._config = config
        self.window_length = _longest_text(config.data.context_length, config.objective)

    def step(self, model: LanguageModel) -> nn.Module:
        return SequenceToSequenceStep(model)

    def reader(self, tokens: TokenVector) -> BatchReader:
        batch_size, seed = self._config.training.batch_size, self._config.seed
        windows = RandomWindows(tokens, batch_size, self.window_length - 1, seed)
        return _CorruptedWindows(self, windows, batch_size * self.window_length, seed)

    def scores(self, model: LanguageModel, batch: Batch) -> tuple[Tensor, Tensor]:
        tensors = {name: torch.from_numpy(array).to(model.device) for name, array in batch.arrays.items()}
        targets = tensors.pop("targets_BT")
        return SequenceToSequenceStep(model).logits(**tensors), targets

    def validation(self, tokens: TokenVector, limit_tokens: int) -> Iterator[Batch]:
        generator = np.random.Generator(np.random.PCG64(SEED))
        for rows_BL in validation_windows(tokens, self.window_length, limit_tokens):
            yield self.corrupt(rows_BL, generator)

    def corrupt(self, texts_BL: npt.NDArray[np.int64], generator: np.random.Generator) -> Batch:
        """Rows of text as a batch, gaps chosen by the generator."""
        assert self.vocabulary.start_token is not None
        source_BS, targets_BT = corrupt(texts_BL, self.spans, self.ids, generator)
        inputs_BT = decoder_inputs(targets_BT, self.vocabulary.start_token)
        arrays = {"source_BS": source_BS, "inputs_BT": inputs_BT, "targets_BT": targets_BT}
        return Batch(arrays, texts_BL.size, targets_BT.size)


def _longest_text(context_length: int, spans: SpanCorruptionConfig) -> int:
    """The longest window that fits with its source and its target; UserError where none does or there are more gaps than marks."""
    for length in range(context_length, 1, -1):
        lengths = span_lengths(length, spans)
        if max(lengths.source, lengths.target) <= context_length:
            return length
    raise UserError(
        "The context is too short to hide a part of it", value=f"{context_length} tokens", remedy="Lengthen the context"
    )


class _CorruptedWindows:
    def __init__(self, objective: SpanObjective, windows: RandomWindows, tokens_per_batch: float, seed: int) -> None:
        self._objective = objective
        self._windows = windows
        self._generator = np.random.Generator(np.random.PCG64((seed, 1)))
        self.tokens_per_batch = tokens_per_batch

    def next(self) -> Batch:
        batch = self._objective.corrupt(self._windows.next_windows(), self._generator)
        return batch._replace(starts_B=self._windows.starts_B)

    def state_dict(self) -> dict[str, Any]:
        return {"windows": self._windows.state_dict(), "cutting": generator_to_json(self._generator)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._windows.load_state_dict(state["windows"])
        generator_from_json(self._generator, state["cutting"])
