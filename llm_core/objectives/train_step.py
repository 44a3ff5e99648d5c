"""The causal objective in training: windows or streams of text, each token predicted from the ones before it.

`TrainStep` is the one module that is compiled or wrapped. Forward pass, head and loss happen inside its `forward`, because wrappers for
several devices intercept only that call, and because a compiler fuses what it can see.
Not here: gradients, clipping, optimizer steps (`llm_core.training`).

Axes: B batch, T positions, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from llm_core.config.objective import CausalConfig
from llm_core.config.run import RunConfig
from llm_core.models.families import families
from llm_core.models.interface import LanguageModel, State
from llm_core.objectives.causal import summed_cross_entropy
from llm_core.objectives.interface import Batch, BatchReader, StepOutput
from llm_core.text.batches import RandomWindows, RecurrentStreams, TokenVector
from llm_core.text.packing import document_numbers
from llm_core.text.vocabulary import ModelVocabulary


class TrainStep(nn.Module):
    """A model with the causal objective on top."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        inputs_BT: Tensor,
        targets_BT: Tensor,
        state: State | None = None,
        documents_BT: Tensor | None = None,
    ) -> StepOutput:
        """Sum of -ln p(target) over all targets. A sum, never a mean: means of means weigh tokens unequally."""
        output = self.model(inputs_BT, documents_BT=documents_BT, state=state)
        loss_sum = summed_cross_entropy(self.model.logits(output.hidden_BTD), targets_BT)
        return StepOutput(loss_sum, torch.tensor(targets_BT.numel()), output.state)


class CausalObjective:
    """Next-token prediction: recurrent networks read on in their streams, Transformers read windows from anywhere."""

    def __init__(self, config: RunConfig, vocabulary: ModelVocabulary) -> None:
        assert isinstance(config.objective, CausalConfig)
        self.vocabulary = vocabulary
        self._config = config

    def step(self, model: LanguageModel) -> nn.Module:
        return TrainStep(model)

    def reader(self, tokens: TokenVector) -> BatchReader:
        config = self._config
        assert isinstance(config.objective, CausalConfig)
        batch_size, context = config.training.batch_size, config.data.context_length
        if families()[config.model.kind].is_recurrent:
            return _Streams(RecurrentStreams(tokens, batch_size, context), batch_size * context)
        windows = RandomWindows(tokens, batch_size, context, config.seed)
        return _Windows(windows, batch_size * context, document_end(config, self.vocabulary))


def document_end(config: RunConfig, vocabulary: ModelVocabulary) -> int | None:
    """The token that ends a document, where the run learns each document apart; None where it reads across them."""
    is_apart = isinstance(config.objective, CausalConfig) and config.objective.within_documents
    return vocabulary.end_of_text if is_apart else None


class _Windows:
    """Random windows; with documents numbered where they are to be kept apart."""

    def __init__(self, windows: RandomWindows, tokens_per_batch: float, end_of_text: int | None) -> None:
        self._windows = windows
        self._end_of_text = end_of_text
        self.tokens_per_batch = tokens_per_batch
        self.state_dict = windows.state_dict
        self.load_state_dict = windows.load_state_dict

    def next(self) -> Batch:
        inputs_BT, targets_BT = self._windows.next()
        arrays: dict[str, Any] = {"inputs_BT": inputs_BT, "targets_BT": targets_BT}
        if self._end_of_text is not None:
            arrays["documents_BT"] = document_numbers(inputs_BT, self._end_of_text)
        return Batch(arrays, inputs_BT.size, targets_BT.size, starts_B=self._windows.starts_B)


class _Streams:
    """Streams that go on where the last batch ended."""

    def __init__(self, streams: RecurrentStreams, tokens_per_batch: float) -> None:
        self._streams = streams
        self.tokens_per_batch = tokens_per_batch
        self.state_dict = streams.state_dict
        self.load_state_dict = streams.load_state_dict

    def next(self) -> Batch:
        inputs_BT, targets_BT, restart_B = self._streams.next()
        arrays = {"inputs_BT": inputs_BT, "targets_BT": targets_BT}
        return Batch(arrays, inputs_BT.size, targets_BT.size, restart_B, self._streams.starts_B)
