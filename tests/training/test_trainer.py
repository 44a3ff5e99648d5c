"""One step: accumulation, divergence, groups; the budget and the schedule."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from llm_core.config.learning import ScheduleConfig, TrainingConfig
from llm_core.config.overrides import apply_overrides
from llm_core.config.run import RunConfig
from llm_core.models.registry import build_model
from llm_core.training.budget import steps_of_budget, steps_of_minutes
from llm_core.training.loop import train
from llm_core.training.observers import Instruction, LogPoint, Observer
from llm_core.training.optimizers import build_optimizer, parameter_groups
from llm_core.training.schedules import learning_rate
from llm_core.training.trainer import Trainer
from tests.training.support import FixedBatches, plain_objective, rows_of

TOKENS = np.random.default_rng(0).integers(0, 16, 900).astype(np.uint16)
BASE = [
    "model.hidden_size=16",
    "model.num_layers=2",
    "model.num_heads=2",
    "data.context_length=8",
    "hardware.device=cpu",
    "hardware.num_threads=1",
    "training.max_steps=6",
    "training.log_interval=4",
    "training.eval_interval=3",
]


def trainer_of(*changes: str) -> Trainer:
    config = apply_overrides(RunConfig(), [*BASE, *changes])
    return Trainer(config, TOKENS, plain_objective(config))


def test_accumulated_batches_equal_one_large_batch() -> None:
    large, small = (
        trainer_of("training.batch_size=8"),
        trainer_of("training.batch_size=4", "training.gradient_accumulation_steps=2"),
    )
    for trainer in (large, small):
        trainer.model.double()
        trainer.optimizer = build_optimizer(trainer.model, trainer.config.optimizer, "cpu")
    whole = large.batches.next()
    small.batches = FixedBatches([rows_of(whole, slice(0, 4)), rows_of(whole, slice(4, 8))])
    large.batches = FixedBatches([whole])
    reports = [trainer.run_step() for trainer in (large, small)]
    assert reports[0].loss == pytest.approx(reports[1].loss, abs=1e-6)
    for first, second in zip(large.model.parameters(), small.model.parameters(), strict=True):
        torch.testing.assert_close(first, second, atol=1e-9, rtol=0)


def test_a_step_that_is_no_number_leaves_the_weights_alone() -> None:
    trainer = trainer_of()
    trainer.run_step()
    before = [parameter.clone() for parameter in trainer.model.parameters()]
    trainer.model.logits = lambda hidden: hidden @ torch.full((16, 16), math.nan)  # pyright: ignore
    seen: list[LogPoint] = []

    class Watch(Observer):
        def on_log(self, trainer: Trainer, point: LogPoint) -> None:
            seen.append(point)

        def on_checkpoint(self, trainer: Trainer) -> None:
            raise AssertionError("a diverged run must not overwrite its last good checkpoint")

    result = train(trainer, [Watch()])
    assert result.state == "diverged"
    assert "step 2" in result.reason and "learning rate" in result.remedy
    assert math.isnan(seen[-1].report.loss)
    for old, new in zip(before, trainer.model.parameters(), strict=True):
        assert torch.equal(old, new)


@pytest.mark.parametrize(("breaks_at", "broken_step"), [(3, "step 4"), (6, "After step 6")])
def test_weights_that_an_update_broke_are_in_no_checkpoint(breaks_at: int, broken_step: str) -> None:
    saved: list[int] = []

    class Break(Observer):
        def on_evaluation(self, trainer: Trainer, *, is_last: bool) -> None:
            if trainer.step == breaks_at:  # as the update just before would have done
                with torch.no_grad():
                    next(trainer.model.parameters()).view(-1)[0] = math.inf

        def on_checkpoint(self, trainer: Trainer) -> None:
            saved.append(trainer.step)

    result = train(trainer_of(), [Break()])
    assert result.state == "diverged" and broken_step in result.reason and "learning rate" in result.remedy
    assert saved == ([] if breaks_at == 3 else [3])


def test_moments_of_the_loop() -> None:
    calls: list[str] = []

    class Watch(Observer):
        def on_log(self, trainer: Trainer, point: LogPoint) -> None:
            calls.append(f"log {point.report.step}")

        def on_evaluation(self, trainer: Trainer, *, is_last: bool) -> None:
            calls.append(f"evaluation {trainer.step}{' last' if is_last else ''}")

        def on_sample(self, trainer: Trainer) -> None:
            calls.append(f"sample {trainer.step}")

        def on_checkpoint(self, trainer: Trainer) -> None:
            calls.append(f"checkpoint {trainer.step}")

    assert train(trainer_of(), [Watch()]).state == "finished"
    assert calls == [
        "evaluation 0", "sample 0", "log 1", "evaluation 3", "sample 3", "checkpoint 3",
        "log 4", "log 6", "evaluation 6 last", "sample 6", "checkpoint 6",
    ]  # fmt: skip


def test_a_stop_saves_first() -> None:
    saved: list[int] = []

    class Watch(Observer):
        def on_checkpoint(self, trainer: Trainer) -> None:
            saved.append(trainer.step)

    class StopAfterTwo:
        def poll(self, trainer: Trainer) -> Instruction:
            return Instruction(end="stopped" if trainer.step == 2 else None, reason="asked")

    result = train(trainer_of(), [Watch()], StopAfterTwo())
    assert (result.state, result.reason, saved) == ("stopped", "asked", [2])


def test_only_matrices_decay() -> None:
    model = build_model(RunConfig().model, 16, 8)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed, kept = ({names[id(p)] for p in group["params"]} for group in parameter_groups(model, 0.1))
    assert "layers.0.self_attn.q_proj.weight" in decayed
    assert kept == {name for name in names.values() if "norm" in name or "embed" in name}


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (ScheduleConfig(kind="cosine", warmup_steps=10, final_fraction=0.1), {1: 0.1, 10: 1.0, 55: 0.55, 100: 0.1}),
        (
            ScheduleConfig(kind="trapezoid", warmup_steps=10, final_fraction=0.0, decay_fraction=0.4),
            {5: 0.5, 60: 1.0, 80: 0.5, 100: 0.0},
        ),
        (ScheduleConfig(kind="constant", warmup_steps=0), {1: 1.0, 100: 1.0}),
        (ScheduleConfig(kind="constant", warmup_steps=1000), {5: 0.5, 10: 1.0}),
    ],
)
def test_schedule(schedule: ScheduleConfig, expected: dict[int, float]) -> None:
    for step, rate in expected.items():
        assert learning_rate(step, 100, schedule, 1.0) == pytest.approx(rate)


def test_the_first_budget_reached_ends_the_run() -> None:
    training = TrainingConfig(max_steps=1000, max_tokens=5_000, max_epochs=2.0)
    assert steps_of_budget(training, tokens_per_step=100, train_tokens=10_000) == 50
    assert steps_of_budget(training, tokens_per_step=100, train_tokens=1_000) == 20
    assert steps_of_budget(TrainingConfig(max_steps=None, max_minutes=1.0), tokens_per_step=1, train_tokens=1) is None
    assert steps_of_minutes(1.0, seconds_so_far=10, seconds_per_step=0.5, steps_so_far=20) == 120


def test_minutes_become_steps_once() -> None:
    trainer = trainer_of("training.max_steps=none", "training.max_minutes=0.01")
    assert train(trainer).state == "finished"
    assert trainer.minutes_are_planned and trainer.total_steps == trainer.step >= 13
