"""Time left: recorded runs are foreseen within a quarter at a fifth of the way, and what lies between the steps is counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_core.backend.time_left import Ahead, TimeLeft, work_ahead
from llm_core.config.learning import TrainingConfig

RECORDED = json.loads(Path(__file__).with_name("step_times.json").read_text(encoding="utf-8"))
NOTHING_ELSE = {"evaluations": 0, "last_evaluation": 0.0, "samples": 0, "checkpoints": 0}


@pytest.mark.parametrize("run", ["lstm", "transformer"])
def test_recorded_runs_are_foreseen(run: str) -> None:
    marks = list(zip(RECORDED[run]["steps"], RECORDED[run]["seconds"], strict=True))
    last_step, end = marks[-1]
    time_left = TimeLeft()
    within_bounds = 0
    for index, (step, seconds) in enumerate(marks):
        time_left.stepped(step, seconds)
        found = time_left.left(Ahead(last_step - step, **NOTHING_ELSE), 0, 1)
        assert (found is None) == (index == 0)
        if found is None or not 0.2 <= step / last_step <= 0.9:
            continue
        assert found.usual == pytest.approx(end - seconds, rel=0.25), f"at step {step}"
        within_bounds += found.low <= end - seconds <= found.high
    assert within_bounds > 0.9 * 0.7 * len(marks), "the bounds hold nearly always"


def test_a_machine_that_slows_down_is_believed_within_a_tenth_of_the_run() -> None:
    time_left = TimeLeft()
    seconds = 0.0
    for step in range(10, 610, 10):
        seconds += 1.0 if step <= 500 else 4.0
        time_left.stepped(step, seconds)
    found = time_left.left(Ahead(400, **NOTHING_ELSE), 0, 1)
    assert found is not None and found.usual == pytest.approx(160.0)
    assert found.low < 50, "it may become quick again"


def test_what_lies_between_the_steps_is_counted() -> None:
    training = TrainingConfig(
        max_steps=1000, eval_interval=100, eval_tokens=500, sample_interval=250, checkpoint_interval=0
    )
    ahead = work_ahead(training, 200, 1000, validation_tokens=5_000)
    assert ahead == Ahead(steps=800, evaluations=7, last_evaluation=10.0, samples=4, checkpoints=8)
    assert work_ahead(training, 1000, 1000, 5_000) == Ahead(0, 0, 0.0, 0, 0)
    time_left = TimeLeft()
    for step in (100, 200):
        time_left.stepped(step, step / 10)
    for what, seconds in (("evaluation", 2.0), ("sample", 3.0), ("checkpoint", 0.5)):
        time_left.took(what, seconds)
    found = time_left.left(ahead, 500, 64)
    assert found is not None
    assert found.usual == pytest.approx(80 + 17 * 2.0 + 4 * 3.0 + 8 * 0.5)
    assert found.low < found.usual < found.high
