"""What a run will need before it starts: parameters, arithmetic, memory, speed and time. Free of torch.

Sizes are closed forms and exact, of n-grams bounds. Speed comes from a measurement of this very configuration on this machine where
there is one (`probe` jobs leave it in the workspace), else from a rule of thumb with a wide range; the estimate says which.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

from llm_core.backend.devices import list_devices, usable_cores
from llm_core.backend.text_length import TextLength, bounding_tokens, text_length, tokens_of_step
from llm_core.backend.vocabulary import guess_vocabulary, is_vocabulary_known
from llm_core.config.ngram import NgramConfig
from llm_core.config.run import RunConfig
from llm_core.models.counting import (
    MemoryEstimate,
    ParameterCount,
    count_parameters,
    inference_memory_bytes,
    training_flops_per_token,
    training_memory,
)
from llm_core.objectives.row_shape import row_shape
from llm_core.training.budget import steps_of_budget, tokens_to_count
from llm_core.workspace.json_files import read_json, write_json
from llm_core.workspace.paths import Workspace

_SPEEDS_FILE = "speeds.json"
# Arithmetic a core or a GPU gets done in training small models, FLOP/s, and the factor by which that may be off.
_CPU_CORE_FLOPS = 55e9
_GPU_FLOPS = 150e12
_UNCERTAINTY = 2.0
# A step cannot be quicker than the calls that make it up.
_SECONDS_PER_STEP_FLOOR = 0.004
# Tokens times orders that counting n-grams gets through in a second, measuring them on the text included: 7 million at order 1,
# 3.7 at order 7 (tinyshakespeare, characters). It runs on one core.
_COUNTED_ORDERS_PER_SECOND = 5e6
_START_SECONDS = 4.0
_EVALUATION_SHARE_OF_TRAINING = 1 / 3


@dataclass(frozen=True)
class Estimate:
    """All figures of a run that has not started."""

    vocabulary_size: int
    vocabulary_is_known: bool
    """False where the text was never read, so that its characters are only guessed."""
    parameters: ParameterCount
    flops_per_token: int
    memory: MemoryEstimate
    inference_bytes: int
    """Weights, and the state or cache of one full context, when the finished model is used."""
    steps: int | None
    tokens: int | None
    epochs: float | None
    tokens_per_parameter: float | None
    """Tokens of the text for each parameter; None where nothing but a bound is known of them."""
    tokens_per_second: float
    seconds: float | None
    seconds_low: float | None
    seconds_high: float | None
    source: Literal["measured", "formula"]


def estimate_run(workspace: Workspace, config: RunConfig) -> Estimate:
    """The estimate for a configuration on this machine.

    Raises:
        UserError: the text or the tokenizer does not exist, or the context is too short for the objective.
    """
    vocabulary_size, context = guess_vocabulary(workspace, config).size, config.data.context_length
    length = text_length(workspace, config, vocabulary_size)
    train_tokens = None if length is None else length.tokens
    row = row_shape(config)
    bounding = bounding_tokens(length)
    if isinstance(config.model, NgramConfig):
        bounding = tokens_to_count(config.training, bounding)
    parameters = count_parameters(config.model, vocabulary_size, context, train_tokens=bounding)
    flops = training_flops_per_token(config.model, vocabulary_size, context, row=row)
    pace = (
        _counting_pace(config.model, bounding)
        if isinstance(config.model, NgramConfig)
        else _training_pace(workspace, config, vocabulary_size, flops, length)
    )
    tokens = None if pace.steps is None else pace.steps * pace.tokens_per_step
    return Estimate(
        vocabulary_size=vocabulary_size,
        vocabulary_is_known=is_vocabulary_known(workspace, config.data),
        parameters=parameters,
        flops_per_token=flops,
        memory=training_memory(config, vocabulary_size, row=row, train_tokens=bounding),
        inference_bytes=inference_memory_bytes(config.model, vocabulary_size, context, train_tokens=bounding),
        steps=pace.steps,
        tokens=tokens,
        epochs=tokens / train_tokens if tokens and train_tokens else None,
        # A bound of what is counted says nothing about how well it will be known.
        tokens_per_parameter=train_tokens / parameters.total
        if train_tokens and not parameters.is_upper_bound
        else None,
        tokens_per_second=pace.speed.usual,
        seconds=pace.seconds,
        seconds_low=None if pace.seconds is None else pace.seconds * pace.speed.usual / pace.speed.high,
        seconds_high=None if pace.seconds is None else pace.seconds * pace.speed.usual / pace.speed.low,
        source=pace.speed.source,
    )


def store_speed(workspace: Workspace, config: RunConfig, vocabulary_size: int, result: dict[str, Any]) -> None:
    """Keep a measurement for the next estimate of the same configuration; the newest 200 stay."""
    path = workspace.root / _SPEEDS_FILE
    known = read_json(path) or {}
    known[speed_key(config, vocabulary_size)] = result
    write_json(path, dict(list(known.items())[-200:]))


def speed_key(config: RunConfig, vocabulary_size: int) -> str:
    """A short name for everything that changes the speed, and nothing else."""
    parts = [
        config.model.model_dump(),
        config.objective.model_dump(),
        vocabulary_size,
        config.data.context_length,
        config.training.batch_size,
        config.training.gradient_accumulation_steps,
        config.optimizer.kind,
        config.hardware.model_dump(),
        usable_cores(),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class _Speed:
    """Tokens per second, and the range in which they may be."""

    usual: float
    low: float
    high: float
    source: Literal["measured", "formula"]


@dataclass(frozen=True)
class _Pace:
    """How far a run comes and how long it takes; None where nothing but minutes limits it."""

    speed: _Speed
    steps: int | None
    tokens_per_step: int
    seconds: float | None


def _counting_pace(config: NgramConfig, train_tokens: int) -> _Pace:
    """Order after order is counted anew and measured on the text, each step a little longer than the one before."""
    usual = _COUNTED_ORDERS_PER_SECOND * 2 / (config.order + 1)
    speed = _Speed(usual, usual / _UNCERTAINTY, usual * _UNCERTAINTY, "formula")
    return _Pace(speed, config.order, train_tokens, _START_SECONDS + config.order * train_tokens / usual)


def _training_pace(
    workspace: Workspace, config: RunConfig, vocabulary_size: int, flops: int, length: TextLength | None
) -> _Pace:
    per_step = tokens_of_step(config, length)
    speed = _speed(workspace, config, vocabulary_size, flops, per_step)
    train_tokens = 1 if length is None else length.tokens
    steps = steps_of_budget(config.training, tokens_per_step=per_step, train_tokens=train_tokens)
    seconds = _seconds(config, steps, per_step, speed.usual)
    if config.training.max_minutes is not None:
        limit = 60 * config.training.max_minutes
        if seconds is None or seconds > limit:
            steps = max(1, int(limit * speed.usual / per_step))
            seconds = limit
    return _Pace(speed, steps, per_step, seconds)


def _speed(workspace: Workspace, config: RunConfig, vocabulary_size: int, flops: int, per_step: int) -> _Speed:
    known = read_json(workspace.root / _SPEEDS_FILE) or {}
    measured = known.get(speed_key(config, vocabulary_size))
    if isinstance(measured, dict):
        # Steps of a probe are alike; a run of minutes meets a busier machine too.
        low, high = float(measured["tokens_per_second_low"]), float(measured["tokens_per_second_high"])
        return _Speed(float(measured["tokens_per_second"]), 0.8 * low, 1.1 * high, "measured")
    has_gpu = any(device.kind == "cuda" for device in list_devices()) and config.hardware.device in ("auto", "cuda")
    throughput = _GPU_FLOPS if has_gpu else _CPU_CORE_FLOPS * (config.hardware.num_threads or usable_cores())
    usual = per_step / max(per_step * flops / throughput, _SECONDS_PER_STEP_FLOOR)
    return _Speed(usual, usual / _UNCERTAINTY, usual * _UNCERTAINTY, "formula")


def _seconds(config: RunConfig, steps: int | None, per_step: int, speed: float) -> float | None:
    """Start, steps, and the evaluations between them (a forward pass is a third of a training step)."""
    if steps is None:
        return None
    evaluations = 1 + steps // config.training.eval_interval
    evaluated = evaluations * (config.training.eval_tokens or 100_000)
    return _START_SECONDS + (steps * per_step + _EVALUATION_SHARE_OF_TRAINING * evaluated) / speed
