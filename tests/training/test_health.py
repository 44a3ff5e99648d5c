"""Health: the right verdict on ten prepared real runs, no false alarm on healthy ones, each trouble told once, in words and with a way out.

The curves were recorded by benchmarks/health_curves.py.
"""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_core.training.health import HealthObserver
from llm_core.training.health_finding import RULES, Finding
from llm_core.training.health_history import Facts, History, Numbers, PartHistory
from llm_core.training.health_sudden import ExplosionWatch, SpeedWatch
from llm_core.training.health_verdict import verdict_of_curves
from llm_core.training.health_watch import HealthWatch, Table
from llm_core.training.layer_norms import PartNorms
from llm_core.training.loop import train
from tests.training.test_resume import config_of, trainer_of

CURVES = Path(__file__).with_name("curves")
VERDICTS = {
    "healthy": "healthy",
    "healthy-lstm": "healthy",
    "rate-too-high": "learning_rate_too_high",
    "rate-too-low": "learning_rate_too_low",
    "not-finite": "not_finite",
    "over-fitting": "over_fitting",
    "plateau": "plateau",
    "shuffled": "only_frequencies",
    "too-little-data": "too_little_data",
    "spike": "loss_spike",
    "vanishing": "vanishing_gradients",
}


def numbers(values: list[Any]) -> Numbers:
    return np.array([math.nan if value is None else float(value) for value in values])


def recorded(name: str) -> tuple[Facts, History]:
    found = json.loads((CURVES / f"{name}.json").read_text(encoding="utf-8"))
    logged, evaluated = found["logged"], found["evaluated"]
    parts = {
        part: PartHistory(*(numbers(column) for column in columns.values())) for part, columns in found["parts"].items()
    }
    columns = [numbers(logged[key]) for key in ("step", "loss", "grad_norm", "learning_rate")]
    return Facts(**found["facts"]), History(*columns, numbers(evaluated["step"]), numbers(evaluated["loss"]), parts)


def replay(name: str, checkpoint_every: int = 100) -> list[Finding]:
    """The findings as they come while the run goes on."""
    facts, history = recorded(name)
    watch = HealthWatch(facts)
    evaluations = dict(zip(history.validation_step.tolist(), history.validation_loss.tolist(), strict=True))
    told: list[Finding] = []
    for step, loss, norm, rate in zip(
        history.step, history.loss, history.grad_norm, history.learning_rate, strict=True
    ):
        parts = {
            part: PartNorms(
                *(float(column[at[0]]) for column in (looks.gradient_norm, looks.update_ratio, looks.dead_share))
            )
            for part, looks in history.parts.items()
            if len(at := np.flatnonzero(looks.step == step))
        }
        told += watch.logged(int(step), float(loss), float(norm), float(rate), parts=parts)
        if step in evaluations:
            watch.evaluated(int(step), evaluations[step])
        if step % checkpoint_every == 0:
            watch.checkpointed(int(step))
    return told


@pytest.mark.parametrize("name", VERDICTS)
def test_the_verdict_on_a_prepared_run(name: str) -> None:
    facts, history = recorded(name)
    verdict = verdict_of_curves(history, facts, checkpoints=range(100, 1000, 100))
    assert verdict.rule == VERDICTS[name], verdict.finding
    assert verdict.title == RULES[verdict.rule]
    if verdict.finding is not None:
        event = verdict.finding.to_event()
        assert json.loads(json.dumps(event)) == event
        for text in (event["saw"], event["means"], event["advice"]):
            assert len(text) > 20 and text.endswith(".") and "nan %" not in text


@pytest.mark.parametrize("name", VERDICTS)
def test_a_trouble_is_told_once_while_it_happens_and_a_healthy_run_is_left_alone(name: str) -> None:
    told = [finding.rule for finding in replay(name)]
    expected = VERDICTS[name]
    assert told.count(expected) == (expected != "healthy"), told
    assert len(told) <= (expected != "healthy") + 1, told
    if name.startswith("healthy"):
        assert told == []


def test_the_ways_out_begin_before_the_trouble() -> None:
    (high,) = replay("rate-too-high")
    assert high.action is not None and high.action.set == {"optimizer.learning_rate": 0.06}
    (broken,) = replay("not-finite")
    assert broken.to_event()["action"] == {"kind": "fork", "step": 300, "set": {"optimizer.learning_rate": 0.002}}
    (fitted,) = [finding for finding in replay("over-fitting") if finding.rule == "over_fitting"]
    _, history = recorded("over-fitting")
    best = history.validation_step[int(np.argmin(history.validation_loss))]
    assert fitted.action is not None and 0 < fitted.action.step <= best
    assert fitted.action.set == {"model.dropout": 0.2}
    first = HealthWatch(recorded("healthy")[0]).logged(1, math.nan, 1.0, 0.1)
    assert first[0].to_event()["action"]["kind"] == "restart", "there is no checkpoint yet"


def test_a_jump_that_stays_and_a_run_that_goes_back() -> None:
    facts, _ = recorded("healthy")
    watch = HealthWatch(facts)
    generator = np.random.default_rng(0)
    told: list[Finding] = []
    for point in range(200):
        told += watch.logged(
            3 * point + 1, (2.0 if point < 60 else 3.1) + 0.05 * generator.standard_normal(), 1.0, 0.003
        )
        if point == 50:
            watch.checkpointed(3 * point + 1)
    assert [finding.rule for finding in told] == ["loss_spike", "loss_jump"]
    assert told[1].action is not None and told[1].action.step == 151
    watch.logged(152, 2.0, 1.0, 0.003)
    assert watch.history().last_step == 152
    assert len(watch.history().step) == 52


def test_explosions_and_slow_steps() -> None:
    generator = np.random.default_rng(0)
    explosions, speeds = ExplosionWatch(), SpeedWatch()
    norms = np.exp(0.2 * generator.standard_normal(300))
    norms[100] = 40.0  # one far gradient is nothing
    norms[200:208:2] = 30.0
    seen = [step for step, norm in enumerate(norms) if explosions.add(float(norm)) is not None]
    assert seen == [204]
    pace = np.concatenate([np.full(50, 1000.0), np.full(30, 300.0), np.full(30, 1000.0), np.full(30, 300.0)])
    pace *= 1 + 0.05 * generator.standard_normal(len(pace))
    told = [step for step, speed in enumerate(pace) if speeds.add(float(speed), 4.0 * step) is not None]
    assert len(told) == 2 and 50 < told[0] < 80 and 110 < told[1] < 140


def test_a_batch_of_another_size_is_not_taken_for_a_slow_machine() -> None:
    facts, _ = recorded("healthy")
    watch, step = HealthWatch(facts), 0
    found: list[Finding] = []
    for speed, count in ((1000.0, 60), (300.0, 60)):
        for _ in range(count):
            step += 10
            found += watch.logged(step, 2.0, 1.0, 1e-3, (speed, 4.0 * step))
        watch.change_facts(dataclasses.replace(facts, tokens_per_step=facts.tokens_per_step // 4))
    assert not [finding for finding in found if finding.rule == "slow_steps"]


def test_dead_units_are_told() -> None:
    facts, history = recorded("healthy")
    dead = {
        part: PartHistory(h.step, h.gradient_norm, h.update_ratio, np.full_like(h.step, 0.9))
        for part, h in history.parts.items()
    }
    verdict = verdict_of_curves(
        History(
            history.step,
            history.loss,
            history.grad_norm,
            history.learning_rate,
            history.validation_step,
            history.validation_loss,
            dead,
        ),
        facts,
    )
    assert verdict.rule == "dead_units"


def test_memory_is_bounded_and_long_curves_are_judged_at_once() -> None:
    table = Table(2)
    for step in range(100_000):
        table.add((step, step % 2))
    columns = table.columns()
    assert columns.shape[1] <= 1024
    assert np.allclose(columns[1], 0.5) and columns[0][-1] > 98_000
    facts, history = recorded("healthy")
    steps = np.arange(1.0, 300_001.0)
    losses = np.interp(steps, 500 * history.step, history.loss) + 0.1 * np.random.default_rng(0).standard_normal(
        len(steps)
    )
    losses[200_000] += 3.0
    stretched = History(
        steps,
        losses,
        np.ones_like(steps),
        np.full_like(steps, 0.006),
        500 * history.validation_step,
        history.validation_loss,
    )
    verdict = verdict_of_curves(stretched, Facts(**{**vars(facts), "total_steps": 300_000}))
    assert verdict.rule == "loss_spike" and verdict.finding is not None
    assert verdict.finding.step == 200_001 and "was back by step" in verdict.finding.saw


def test_the_observer_asks_the_rules_of_a_real_run() -> None:
    trainer = trainer_of(config_of("transformer", "optimizer.learning_rate=3", "training.max_steps=120"))
    told: list[Finding] = []
    train(trainer, [HealthObserver(trainer, told.append, lambda: 2.5, train_tokens=900, unigram_nats=2.8)])
    rules = [finding.rule for finding in told]
    assert "loss_jump" in rules and len(rules) == len(set(rules))
