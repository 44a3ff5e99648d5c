"""Learning rates of whole runs against the closed formulas, and the end of a run by every kind of budget."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_core.config.learning import ScheduleConfig
from llm_core.config.overrides import apply_overrides
from llm_core.config.run import RunConfig
from llm_core.training.loop import train
from llm_core.training.schedules import learning_rate
from llm_core.training.trainer import Trainer
from tests.training.support import plain_objective

TOKENS = np.random.default_rng(0).integers(0, 16, 900).astype(np.uint16)
STEPS, WARMUP, PEAK, FLOOR = 1_000, 100, 2e-3, 2e-4


def cosine(step: int) -> float:
    """Loshchilov and Hutter 2017, equation 5, after a linear warm-up."""
    if step < WARMUP:
        return PEAK * step / WARMUP
    return FLOOR + (PEAK - FLOOR) * (1 + math.cos(math.pi * (step - WARMUP) / (STEPS - WARMUP))) / 2


def trapezoid(step: int) -> float:
    """Up, along, down: the last 400 of 1,000 steps fall in a line."""
    return min(PEAK * step / WARMUP, PEAK, FLOOR + (PEAK - FLOOR) * (STEPS - step) / 400)


@pytest.mark.parametrize(("kind", "formula"), [("cosine", cosine), ("trapezoid", trapezoid)])
def test_every_step_follows_the_formula(kind: str, formula: object) -> None:
    schedule = ScheduleConfig(kind=kind, warmup_steps=WARMUP, final_fraction=0.1, decay_fraction=0.4)
    for step in range(1, STEPS + 1):
        assert learning_rate(step, STEPS, schedule, PEAK) == pytest.approx(formula(step), rel=1e-12), step


@given(
    kind=st.sampled_from(["cosine", "trapezoid", "constant"]),
    total=st.integers(1, 500),
    warmup=st.integers(0, 1_000),
    final=st.floats(0, 1),
    decay=st.floats(0, 1),
)
def test_no_schedule_leaves_its_bounds(kind: str, total: int, warmup: int, final: float, decay: float) -> None:
    schedule = ScheduleConfig(kind=kind, warmup_steps=warmup, final_fraction=final, decay_fraction=decay)
    rates = [learning_rate(step, total, schedule, 1.0) for step in range(1, total + 1)]
    assert rates[0] > 0 or total == 1 or final == 0, "the first update is not wasted"
    assert all(0 <= rate <= 1 + 1e-12 for rate in rates)
    if total >= 10:
        assert max(rates) > 0.8, "the peak, or nearly, is reached however short the run"
    peak = rates.index(max(rates))
    assert all(a >= b - 1e-12 for a, b in zip(rates[peak:], rates[peak + 1 :], strict=False)), "it never rises again"


def trainer_of(*changes: str) -> Trainer:
    base = [
        *("model.hidden_size=8", "model.num_layers=1", "model.num_heads=2", "data.context_length=8"),
        *("hardware.device=cpu", "hardware.num_threads=1", "training.batch_size=4", "training.max_steps=none"),
    ]
    config = apply_overrides(RunConfig(), [*base, *changes])
    return Trainer(config, TOKENS, plain_objective(config))


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        (["training.max_steps=7"], 7),
        (["training.max_tokens=330"], 10),  # 32 a step; an eleventh would be too many
        (["training.max_tokens=330", "training.gradient_accumulation_steps=2"], 5),
        (["training.max_epochs=0.5"], 15),  # half of 900, in steps of 32, the last one whole
        (["training.max_steps=7", "training.max_tokens=330", "training.max_epochs=0.1"], 3),
        (["training.max_tokens=5"], 1),  # a run does at least one step
    ],
)
def test_a_run_ends_when_its_budget_is_used_up(changes: list[str], steps: int) -> None:
    trainer = trainer_of(*changes)
    assert train(trainer).state == "finished"
    per_step = 32 * trainer.config.training.gradient_accumulation_steps
    assert (trainer.step, trainer.tokens) == (steps, steps * per_step)


def test_minutes_and_steps_together_end_at_the_first() -> None:
    trainer = trainer_of("training.max_minutes=600", "training.max_steps=20")
    assert train(trainer).state == "finished"
    assert trainer.step == 20
