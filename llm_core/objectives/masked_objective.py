"""The masked objective in training: windows of text with tokens hidden anew each time they are read (dynamic masking).

Not here: the choosing and the loss (`masked.py`), figures on validation text (`llm_core.training.measurement`).

Axes: B rows, T positions, M places to fill in per row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from llm_core.config.masking import MaskingConfig
from llm_core.config.run import RunConfig
from llm_core.models.interface import LanguageModel
from llm_core.objectives.interface import NO_TARGET, Batch, BatchReader
from llm_core.objectives.masked import MaskedStep, MaskingVocabulary, hide
from llm_core.objectives.validation_windows import SEED, validation_windows
from llm_core.text.batches import RandomWindows, TokenVector, generator_from_json, generator_to_json
from llm_core.text.vocabulary import ModelVocabulary

FindWordStarts = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.bool_]]


class MaskedObjective:
    """Filling in hidden tokens.

    Args:
        word_starts: finds the first tokens of words, for hiding whole words.
    """

    def __init__(
        self, config: RunConfig, vocabulary: ModelVocabulary, word_starts: FindWordStarts | None = None
    ) -> None:
        assert isinstance(config.objective, MaskingConfig)
        assert vocabulary.mask_token is not None, "model_vocabulary gives a masked objective its mask"
        self.vocabulary = vocabulary
        self.masking = config.objective
        self._config = config
        self._word_starts = word_starts
        self._ids = MaskingVocabulary(vocabulary.mask_token, vocabulary.ordinary_ids)

    def step(self, model: LanguageModel) -> nn.Module:
        return MaskedStep(model)

    def reader(self, tokens: TokenVector) -> BatchReader:
        training, context = self._config.training, self._config.data.context_length
        # A window here is what is read; nothing stands one place further.
        windows = RandomWindows(tokens, training.batch_size, context - 1, self._config.seed)
        return _HiddenWindows(self, windows, training.batch_size * context, self._config.seed)

    def scores(self, model: LanguageModel, batch: Batch) -> tuple[Tensor, Tensor]:
        tensors = {name: torch.from_numpy(array).to(model.device) for name, array in batch.arrays.items()}
        targets = tensors.pop("targets_BM")
        return MaskedStep(model).logits(**tensors), targets

    def validation(self, tokens: TokenVector, limit_tokens: int) -> Iterator[Batch]:
        generator = np.random.Generator(np.random.PCG64(SEED))
        for rows_BT in validation_windows(tokens, self._config.data.context_length, limit_tokens):
            yield self.hide(rows_BT, generator)

    def hide(self, tokens_BT: npt.NDArray[np.int64], generator: np.random.Generator) -> Batch:
        """Rows of text as a batch, tokens chosen by the generator."""
        starts_BT = self._word_starts(tokens_BT) if self.masking.whole_words and self._word_starts else None
        hidden = hide(tokens_BT, self.masking, self._ids, generator, word_starts_BT=starts_BT)
        num_targets = int((hidden.targets_BM != NO_TARGET).sum())
        return Batch(hidden._asdict(), tokens_BT.size, num_targets)


class _HiddenWindows:
    def __init__(self, objective: MaskedObjective, windows: RandomWindows, tokens_per_batch: float, seed: int) -> None:
        self._objective = objective
        self._windows = windows
        # A stream of its own: which windows come does not depend on what is hidden in them.
        self._generator = np.random.Generator(np.random.PCG64((seed, 1)))
        self.tokens_per_batch = tokens_per_batch

    def next(self) -> Batch:
        batch = self._objective.hide(self._windows.next_windows(), self._generator)
        return batch._replace(starts_B=self._windows.starts_B)

    def state_dict(self) -> dict[str, Any]:
        return {"windows": self._windows.state_dict(), "hiding": generator_to_json(self._generator)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._windows.load_state_dict(state["windows"])
        generator_from_json(self._generator, state["hiding"])
