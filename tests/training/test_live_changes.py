"""A trainer whose dropout is changed makes the very steps of one that was built so, in every family; minutes are planned anew.

The other settings, and changes in a run that is killed and resumed: `tests/backend/test_live_control.py`.
"""

from __future__ import annotations

import pytest
import torch

from llm_core.objectives.registry import objective_for
from llm_core.training.live_changes import change_trainer
from llm_core.training.trainer import Trainer
from tests.training.test_resume import FAMILIES, TOKENIZER, TOKENS, config_of, trainer_of, weights_hash


def three_steps(trainer: Trainer) -> tuple[list[float], str]:
    torch.manual_seed(7)
    return [trainer.run_step().loss for _ in range(3)], weights_hash(trainer)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("before", "after"), [(0.5, 0.2), (0.5, 0.0), (0.0, 0.5)])
def test_dropout_changed_is_dropout_built(family: str, before: float, after: float) -> None:
    config = config_of(family, f"model.dropout={after}")
    changed = trainer_of(config_of(family, f"model.dropout={before}"))
    change_trainer(changed, config, TOKENS, objective_for(config, TOKENIZER))
    assert three_steps(changed) == three_steps(trainer_of(config))


def test_a_budget_in_minutes_is_planned_from_the_steps_of_the_new_size() -> None:
    minutes = ("training.max_steps=null", "training.max_minutes=0.02")
    trainer = trainer_of(config_of("lstm", *minutes))
    while not trainer.minutes_are_planned:
        trainer.run_step()
    larger = config_of("lstm", *minutes, "training.batch_size=6")
    change_trainer(trainer, larger, TOKENS, objective_for(larger, TOKENIZER))
    steps = 0
    while not trainer.minutes_are_planned:
        trainer.run_step()
        steps += 1
    assert steps > 10, "steps of the former size say nothing about these"


def test_a_budget_in_tokens_is_never_exceeded_after_a_change_either() -> None:
    budget = ("training.max_steps=null", "training.max_tokens=250")  # 24 tokens a step
    fresh = trainer_of(config_of("lstm", *budget))
    assert fresh.total_steps == 10
    fresh.run_step()
    changed = config_of("lstm", *budget, "training.max_minutes=5")
    change_trainer(fresh, changed, TOKENS, objective_for(changed, TOKENIZER))
    assert fresh.total_steps == 10
