"""A trainer whose settings change while the run goes on, and a trainer that goes on from another run's checkpoint.

A change takes effect with the next step and is part of every later checkpoint. Not here: which settings may change
(`llm_core.config.live_settings`), who asks (`llm_core.backend.run_control`).
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from llm_core.config.errors import UserError
from llm_core.config.run import RunConfig, load_config
from llm_core.models.interface import LanguageModel
from llm_core.models.loading import WEIGHTS_FILE, load_weights
from llm_core.models.registry import build_model
from llm_core.objectives.registry import TrainingObjective
from llm_core.text.batches import TokenVector
from llm_core.training.checkpoint_state import (
    CONFIG_FILE,
    OPTIMIZER_FILE,
    STATE_FILE,
    restore_optimizer,
    restore_random,
)
from llm_core.training.execution import Execution, execution_of_resume
from llm_core.training.optimizers import parameter_groups
from llm_core.training.trainer import Trainer


def change_trainer(
    trainer: Trainer, config: RunConfig, train_tokens: TokenVector, objective: TrainingObjective
) -> None:
    """Go on under these settings from the next step.

    The learning rate is the schedule's peak, so the schedule's shape stays. Another batch size reads on where the last one stopped;
    streams of a recurrent network start at new places and forget what they carried. A budget counts what was done before.

    Args:
        objective: of the new configuration.

    Raises:
        UserError: the budget was used up before this step.
    """
    before = trainer.config
    is_new_pace, is_new_budget = _rows(config) != _rows(before), _budget(config) != _budget(before)
    tokens_per_step = round(trainer.tokens_per_step * _rows(config) / _rows(before))
    if is_new_pace or is_new_budget:
        end = _end(config, trainer, tokens_per_step, len(train_tokens))
        trainer.total_steps, trainer.minutes_are_planned = end, config.training.max_minutes is None
    if is_new_pace:
        trainer.time_anew()
    trainer.config, trainer.tokens_per_step = config, tokens_per_step
    if config.training.batch_size != before.training.batch_size:
        _reread(trainer, train_tokens, objective)
    set_weight_decay(trainer.model, trainer.optimizer, config.optimizer.weight_decay)
    if config.model != before.model:
        set_dropout(trainer.model, config, objective)


def set_weight_decay(model: nn.Module, optimizer: torch.optim.Optimizer, weight_decay: float) -> None:
    """Give the groups of an optimizer the decay that they would have been built with."""
    for group, fresh in zip(optimizer.param_groups, parameter_groups(model, weight_decay), strict=True):
        group["weight_decay"] = fresh["weight_decay"]


def set_dropout(model: LanguageModel, config: RunConfig, objective: TrainingObjective) -> None:
    """Give every module the share that it would have been built with: where a family drops what is its own business."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        fresh = build_model(config.model, objective.vocabulary.size, config.data.context_length)
    templates = dict(fresh.named_modules())
    for name, module in model.named_modules():
        template = templates[name]
        if isinstance(module, nn.Dropout) and isinstance(template, nn.Dropout):
            module.p = template.p
        elif isinstance(getattr(module, "dropout", None), float):
            module.dropout = template.dropout


def _reread(trainer: Trainer, train_tokens: TokenVector, objective: TrainingObjective) -> None:
    """A reader of the new batch size, at the place of the old one where it knows such a place."""
    state = trainer.batches.state_dict()
    trainer.objective = objective
    trainer.batches = objective.reader(train_tokens)
    try:
        trainer.batches.load_state_dict(state)
    except UserError:
        # Rows of a stream belong to a batch size; fresh ones start with an empty memory.
        trainer.recurrent_state = None


def _end(config: RunConfig, trainer: Trainer, tokens_per_step: int, num_train_tokens: int) -> int | None:
    """The last step of the budget, counted from here; None where only minutes limit the run, which are planned from its next steps."""
    training = config.training
    limits: list[int] = []
    if training.max_steps is not None:
        limits.append(training.max_steps)
    # As a fresh run: never more tokens than were allowed, never less than the epochs that were asked for.
    if training.max_tokens is not None:
        limits.append(trainer.step + (training.max_tokens - trainer.tokens) // tokens_per_step)
    if training.max_epochs is not None:
        left = training.max_epochs * num_train_tokens - trainer.tokens
        limits.append(trainer.step + math.ceil(left / tokens_per_step))
    end = min(limits) if limits else None
    if end is not None and end < trainer.step:
        raise UserError(
            "The run is past this budget already",
            value=f"an end at step {max(0, end):,}",
            limit=f"step {trainer.step:,} or later",
            remedy="Give a larger budget, or stop the run",
        )
    return end


def _budget(config: RunConfig) -> tuple[object, ...]:
    training = config.training
    return training.max_steps, training.max_tokens, training.max_epochs, training.max_minutes


def fork_trainer(
    checkpoint: Path,
    config: RunConfig,
    train_tokens: TokenVector,
    objective: TrainingObjective,
    execution: Execution | None = None,
) -> tuple[Trainer, str]:
    """A trainer that goes on from another run's checkpoint under settings of its own, and what had to start anew.

    With the same settings it makes the very steps that the other run made. The optimizer's memory is kept where the checkpoint has it
    and the optimizer is of the same kind; the place in the data and the random numbers where seed and reader are the same.

    Args:
        config: of the fork; network, text and objective are those of the checkpoint.
        objective: of the fork.
        execution: how to compute; as before where the hardware settings are the same, when None.

    Raises:
        UserError: the budget was used up before this step.
    """
    former = load_config((checkpoint / CONFIG_FILE).read_bytes())
    state = json.loads((checkpoint / STATE_FILE).read_text(encoding="utf-8"))
    if execution is None and config.hardware == former.hardware and state.get("execution"):
        execution, _ = execution_of_resume(
            Execution.from_dict(state["execution"]), config, objective, state.get("total_steps")
        )
    trainer = Trainer(config, train_tokens, objective, execution)
    load_weights(trainer.model, checkpoint / WEIGHTS_FILE)
    trainer.step, trainer.tokens = int(state["step"]), int(state.get("tokens") or 0)
    trainer.seconds = float(state.get("seconds") or 0.0)
    anew: list[str] = []
    if not (checkpoint / OPTIMIZER_FILE).exists() or config.optimizer.kind != former.optimizer.kind:
        anew.append("the optimizer's memory")
    else:
        restore_optimizer(trainer, load_file(checkpoint / OPTIMIZER_FILE))
    trainer.steady_tokens, trainer.steady_seconds = int(state.get("steady_tokens", 0)), state.get("steady_seconds", 0.0)
    if not _takes_the_place(trainer, state, is_same_seed=config.seed == former.seed):
        trainer.recurrent_state = None
        anew.append("the place in the text")
    if (_budget(config), _rows(config)) == (_budget(former), _rows(former)) and "total_steps" in state:
        trainer.total_steps, trainer.minutes_are_planned = state["total_steps"], state["minutes_are_planned"]
    else:
        trainer.total_steps = _end(config, trainer, trainer.tokens_per_step, len(train_tokens))
    return trainer, " and ".join(anew)


def _takes_the_place(trainer: Trainer, state: dict[str, Any], *, is_same_seed: bool) -> bool:
    """Read on where the other run stood, with its random numbers; False where this reader knows no such place."""
    if not is_same_seed or "data" not in state:
        return False
    try:
        trainer.batches.load_state_dict(state["data"])
    except UserError:
        return False
    restore_random(trainer, state["random"])
    return True


def _rows(config: RunConfig) -> int:
    """Rows of a step."""
    return config.training.batch_size * config.training.gradient_accumulation_steps
