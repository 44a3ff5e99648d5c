"""Trainers over bare token arrays, without a tokenizer. Not here: whole runs (`tests/backend`)."""

from __future__ import annotations

from typing import Any

from llm_core.config.run import RunConfig
from llm_core.objectives.interface import Batch
from llm_core.objectives.registry import TrainingObjective, build_objective
from llm_core.text.vocabulary import plain_vocabulary


def plain_objective(config: RunConfig, vocabulary_size: int = 16) -> TrainingObjective:
    """The causal objective over so many tokens."""
    return build_objective(config, plain_vocabulary(vocabulary_size))


def rows_of(batch: Batch, rows: slice) -> Batch:
    """A part of a causal batch."""
    arrays = {name: array[rows] for name, array in batch.arrays.items()}
    return Batch(arrays, arrays["inputs_BT"].size, arrays["targets_BT"].size)


class FixedBatches:
    """Batches decided beforehand."""

    tokens_per_batch = 0.0

    def __init__(self, batches: list[Batch]) -> None:
        self._batches = iter(batches)

    def next(self) -> Batch:
        return next(self._batches)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        assert not state
