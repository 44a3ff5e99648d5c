"""What a run will need before it starts: parameters, arithmetic, memory, speed and time. Free of torch.

Sizes are closed forms and exact. Speed comes from a measurement of this very configuration on this machine where there is one (`probe`
jobs leave it in the workspace), else from a rule of thumb with a wide range; the estimate says which.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

from llm_core.backend.devices import list_devices, usable_cores
from llm_core.backend.vocabulary import guess_vocabulary, is_vocabulary_known
from llm_core.config.run import RunConfig
from llm_core.models.counting import (
    MemoryEstimate,
    ParameterCount,
    count_parameters,
    training_flops_per_token,
    training_memory,
)
from llm_core.text.library import find_dataset
from llm_core.training.budget import steps_of_budget, tokens_per_step
from llm_core.workspace.json_files import read_json, write_json
from llm_core.workspace.paths import Workspace

_SPEEDS_FILE = "speeds.json"
# Arithmetic a core or a GPU gets done in training small models, FLOP/s, and the factor by which that may be off.
_CPU_CORE_FLOPS = 55e9
_GPU_FLOPS = 150e12
_UNCERTAINTY = 2.0
# A step cannot be quicker than the calls that make it up.
_SECONDS_PER_STEP_FLOOR = 0.004
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
    steps: int | None
    tokens: int | None
    epochs: float | None
    tokens_per_parameter: float | None
    """Tokens of the text for each parameter."""
    tokens_per_second: float
    seconds: float | None
    seconds_low: float | None
    seconds_high: float | None
    source: Literal["measured", "formula"]


def estimate_run(workspace: Workspace, config: RunConfig) -> Estimate:
    """The estimate for a configuration on this machine. Raises UserError where the text or tokenizer does not exist."""
    vocabulary_size = guess_vocabulary(workspace, config).size
    parameters = count_parameters(config.model, vocabulary_size, config.data.context_length)
    flops = training_flops_per_token(config.model, vocabulary_size, config.data.context_length)
    speed, low, high, source = _speed(workspace, config, vocabulary_size, flops)
    train_tokens = _train_tokens(workspace, config, vocabulary_size)
    per_step = tokens_per_step(config.training, config.data.context_length)
    steps = steps_of_budget(config.training, tokens_per_step=per_step, train_tokens=train_tokens or 1)
    seconds = _seconds(config, steps, per_step, speed)
    if config.training.max_minutes is not None:
        limit = 60 * config.training.max_minutes
        if seconds is None or seconds > limit:
            steps = max(1, int(limit * speed / per_step))
            seconds = limit
    tokens = None if steps is None else steps * per_step
    return Estimate(
        vocabulary_size=vocabulary_size,
        vocabulary_is_known=is_vocabulary_known(workspace, config.data),
        parameters=parameters,
        flops_per_token=flops,
        memory=training_memory(config, vocabulary_size),
        steps=steps,
        tokens=tokens,
        epochs=tokens / train_tokens if tokens and train_tokens else None,
        tokens_per_parameter=train_tokens / parameters.total if train_tokens else None,
        tokens_per_second=speed,
        seconds=seconds,
        seconds_low=None if seconds is None else seconds * speed / high,
        seconds_high=None if seconds is None else seconds * speed / low,
        source=source,
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
        vocabulary_size,
        config.data.context_length,
        config.training.batch_size,
        config.training.gradient_accumulation_steps,
        config.optimizer.kind,
        config.hardware.model_dump(),
        usable_cores(),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _speed(
    workspace: Workspace, config: RunConfig, vocabulary_size: int, flops: int
) -> tuple[float, float, float, Literal["measured", "formula"]]:
    known = read_json(workspace.root / _SPEEDS_FILE) or {}
    measured = known.get(speed_key(config, vocabulary_size))
    if isinstance(measured, dict):
        # Steps of a probe are alike; a run of minutes meets a busier machine too.
        return (
            float(measured["tokens_per_second"]),
            0.8 * float(measured["tokens_per_second_low"]),
            1.1 * float(measured["tokens_per_second_high"]),
            "measured",
        )
    has_gpu = any(device.kind == "cuda" for device in list_devices()) and config.hardware.device in ("auto", "cuda")
    throughput = _GPU_FLOPS if has_gpu else _CPU_CORE_FLOPS * (config.hardware.num_threads or usable_cores())
    per_step = tokens_per_step(config.training, config.data.context_length)
    speed = per_step / max(per_step * flops / throughput, _SECONDS_PER_STEP_FLOOR)
    return speed, speed / _UNCERTAINTY, speed * _UNCERTAINTY, "formula"


def _seconds(config: RunConfig, steps: int | None, per_step: int, speed: float) -> float | None:
    """Start, steps, and the evaluations between them (a forward pass is a third of a training step)."""
    if steps is None:
        return None
    evaluations = 1 + steps // config.training.eval_interval
    evaluated = evaluations * (config.training.eval_tokens or 100_000)
    return _START_SECONDS + (steps * per_step + _EVALUATION_SHARE_OF_TRAINING * evaluated) / speed


def _train_tokens(workspace: Workspace, config: RunConfig, vocabulary_size: int) -> int | None:
    """Tokens of the training split, from its characters; a sub-word token stands for about log2(V) / 3 of them."""
    dataset = find_dataset(workspace, config.data.dataset)
    if not dataset.characters:
        return None
    characters_per_token = 1.0
    if config.data.tokenizer not in ("char", "byte"):
        characters_per_token = max(1.0, vocabulary_size.bit_length() / 3.5)
    return int(dataset.characters * (1 - config.data.validation_fraction) / characters_per_token)
