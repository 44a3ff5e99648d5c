"""Sequence to sequence in training: pairs of a data set, each once an epoch.

Not here: finding the pairs (`llm_core.text.pair_batches`), arrays and the loss (`sequence_to_sequence.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from llm_core.config.run import RunConfig
from llm_core.models.interface import LanguageModel
from llm_core.objectives.interface import Batch
from llm_core.objectives.sequence_to_sequence import SequenceToSequenceStep, pad_pairs
from llm_core.objectives.validation_windows import ROWS
from llm_core.text.batches import TokenVector
from llm_core.text.pair_batches import Pair, PairBatches, TokenPairs
from llm_core.text.vocabulary import ModelVocabulary


class PairObjective:
    """Writing the target of a pair from its source."""

    def __init__(self, config: RunConfig, vocabulary: ModelVocabulary) -> None:
        assert vocabulary.start_token is not None and vocabulary.end_token is not None
        self.vocabulary = vocabulary
        self._config = config

    def step(self, model: LanguageModel) -> nn.Module:
        return SequenceToSequenceStep(model)

    def reader(self, tokens: TokenVector) -> PairReader:
        training, context = self._config.training, self._config.data.context_length
        pairs = PairBatches(tokens, self.vocabulary.end_of_text, training.batch_size, context, self._config.seed)
        return PairReader(self, pairs, len(tokens) / len(pairs.pairs) * training.batch_size)

    def scores(self, model: LanguageModel, batch: Batch) -> tuple[Tensor, Tensor]:
        tensors = {name: torch.from_numpy(array).to(model.device) for name, array in batch.arrays.items()}
        targets = tensors.pop("targets_BT")
        return SequenceToSequenceStep(model).logits(**tensors), targets

    def validation(self, tokens: TokenVector, limit_tokens: int) -> Iterator[Batch]:
        """All pairs in their order, or as many from the start as have about so many tokens, at least one."""
        batch: list[Pair] = []
        read_tokens = 0
        for pair in TokenPairs(tokens, self.vocabulary.end_of_text, self._config.data.context_length):
            if limit_tokens and read_tokens and read_tokens >= limit_tokens:
                break
            batch.append(pair)
            read_tokens += len(pair.source) + len(pair.target) + 2
            if len(batch) == ROWS:
                yield self.batch(batch)
                batch = []
        if batch:
            yield self.batch(batch)

    def batch(self, pairs: Sequence[Pair]) -> Batch:
        """Pairs side by side, padded to the longest."""
        assert self.vocabulary.start_token is not None
        rows = pad_pairs(pairs, start_token=self.vocabulary.start_token, end_token=self.vocabulary.end_token)
        num_tokens = sum(len(pair.source) + len(pair.target) + 2 for pair in pairs)
        return Batch(rows._asdict(), num_tokens, rows.num_targets)


class PairReader:
    """Batches of pairs, each pair once an epoch."""

    def __init__(self, objective: PairObjective, pairs: PairBatches, tokens_per_batch: float) -> None:
        self._objective = objective
        self._pairs = pairs
        self.tokens_per_batch = tokens_per_batch
        self.num_cut = pairs.pairs.num_cut
        """Pairs with a side longer than the context, which loses its last tokens."""
        self.state_dict = pairs.state_dict
        self.load_state_dict = pairs.load_state_dict

    def next(self) -> Batch:
        return self._objective.batch(self._pairs.next())._replace(starts_B=self._pairs.starts_B)
