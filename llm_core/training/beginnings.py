"""Where an attempt at a run begins, and the trainer that stands there: every process of the run builds the same one.

Not here: which checkpoint that is (`llm_core.backend.training_attempt`), the ways back (`checkpoint_state.py`, `live_changes.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from llm_core.config.run import RunConfig
from llm_core.objectives.registry import objective_for
from llm_core.text.token_set import TokenSet
from llm_core.training.checkpoint_state import restore_trainer, void
from llm_core.training.execution import Execution
from llm_core.training.live_changes import fork_trainer
from llm_core.training.trainer import Trainer


@dataclass(frozen=True)
class Beginning:
    """Fresh weights, a checkpoint as it was left, or a checkpoint under other settings."""

    config: RunConfig
    """The settings from here on; of a checkpoint that is gone on from exactly, its own."""
    checkpoint: Path | None = None
    is_exact: bool = True
    """False where a fork begins, or where only the weights were kept: what is not there starts anew."""


def begin_trainer(
    beginning: Beginning,
    tokens: TokenSet,
    execution: Execution | None = None,
    on_notice: Callable[[str], None] = void,
) -> tuple[Trainer, str]:
    """The trainer of a beginning, and what of it starts anew although the weights do not.

    Args:
        execution: how another process of the run has chosen to compute.
        on_notice: told in a sentence when the run cannot go on exactly as it was, because its device is not here.

    Raises:
        UserError: the checkpoint does not fit its settings, or the budget was used up before it.
    """
    objective = objective_for(beginning.config, tokens.tokenizer)
    if beginning.checkpoint is None:
        return Trainer(beginning.config, tokens.train, objective, execution), ""
    if beginning.is_exact:
        return restore_trainer(beginning.checkpoint, tokens.train, objective, on_notice), ""
    return fork_trainer(beginning.checkpoint, beginning.config, tokens.train, objective, execution)
