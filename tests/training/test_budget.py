"""How much of a text is counted where a budget was given; how many steps a budget is: `test_trainer.py`."""

from __future__ import annotations

import pytest

from llm_core.config.learning import TrainingConfig
from llm_core.training.budget import tokens_to_count


@pytest.mark.parametrize(
    ("training", "counted"),
    [
        (TrainingConfig(), 10_000),
        (TrainingConfig(max_steps=1, max_minutes=0.001), 10_000),
        (TrainingConfig(max_tokens=1_000), 1_000),
        (TrainingConfig(max_tokens=10**12), 10_000),
        (TrainingConfig(max_epochs=0.25), 2_500),
        (TrainingConfig(max_epochs=3.0), 10_000),
        (TrainingConfig(max_tokens=3_000, max_epochs=0.25), 2_500),
        (TrainingConfig(max_tokens=1), 2),
    ],
)
def test_counting_reads_what_tokens_and_epochs_allow(training: TrainingConfig, counted: int) -> None:
    assert tokens_to_count(training, 10_000) == counted
