"""Settings that may change while a run goes on, and those that a fork may change.

Not here: how a change reaches the trainer (`llm_core.training.live_changes`), who asks for it (`llm_core.backend.run_commands`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_core.config.errors import UserError
from llm_core.config.overrides import apply_overrides, flatten, write_value
from llm_core.config.run import RunConfig

BUDGET_SETTINGS = ("training.max_steps", "training.max_tokens", "training.max_epochs", "training.max_minutes")
# What the optimizer does with the next gradient: the same in all processes that share a run, or not at all.
_STEP_SETTINGS = (
    "optimizer.learning_rate",
    "optimizer.weight_decay",
    "optimizer.gradient_clip",
    "model.dropout",
    "training.batch_size",
    "training.gradient_accumulation_steps",
    *BUDGET_SETTINGS,
)
_LOOKING_SETTINGS = (
    "training.log_interval",
    "training.eval_interval",
    "training.eval_tokens",
    "training.sample_interval",
    "training.sample_tokens",
    "training.sample_temperature",
    "training.checkpoint_interval",
    "training.checkpoint_bytes",
)
LIVE_SETTINGS = (*_STEP_SETTINGS, *_LOOKING_SETTINGS)
# A fork goes on with the weights and the text it was given.
_FIXED_GROUPS = ("model.", "data.", "objective.")


def changed_live(config: RunConfig, changes: Mapping[str, Any]) -> RunConfig:
    """The configuration of a run from its next step on.

    Args:
        changes: values by dotted name, as JSON values.

    Raises:
        UserError: a setting cannot change while the run goes on, does not exist or does not fit.
    """
    for name in changes:
        if name not in LIVE_SETTINGS:
            raise UserError(
                "This setting cannot change while the run goes on",
                value=name,
                limit=", ".join(LIVE_SETTINGS),
                remedy="Fork the run, or start a new one",
            )
        if config.hardware.num_processes > 1 and name in _STEP_SETTINGS:
            raise UserError(
                "A run that several processes share keeps how it steps",
                value=name,
                limit=", ".join(_LOOKING_SETTINGS),
                remedy="Stop it and fork it with the change",
            )
    return apply_overrides(config, [f"{name}={write_value(value)}" for name, value in changes.items()])


def changed_fork(config: RunConfig, assignments: list[str]) -> RunConfig:
    """The configuration of a fork.

    Args:
        assignments: such as "optimizer.learning_rate=0.0003".

    Raises:
        UserError: the change would ask for another network, text or objective, or does not fit.
    """
    changed = apply_overrides(config, assignments)
    before, after = flatten(config), flatten(changed)
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name) and not is_forkable(name):
            raise UserError(
                "A fork keeps the network, the text and the objective of its run",
                value=f"{name}: {before.get(name)} → {after.get(name)}",
                remedy="Start a new run with this setting",
            )
    return changed


def is_forkable(name: str) -> bool:
    """Whether a fork may have another value of this setting."""
    return name == "model.dropout" or not name.startswith(_FIXED_GROUPS)


def values_of(config: RunConfig, names: Mapping[str, Any]) -> dict[str, Any]:
    """The present values of these settings, as JSON values."""
    flat = flatten(config)
    return {name: flat.get(name) for name in names}
