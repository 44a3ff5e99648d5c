"""When a run ends: its number of steps from steps, tokens, epochs or minutes, whichever comes first. What is counted has no steps: of its
text it reads what tokens and epochs allow. Free of torch.

A budget in minutes becomes a number of steps once, after the first steps were timed, so that the schedule knows its end and a resumed
run ends where it would have ended. Not here: the schedule itself (`schedules.py`).
"""

from __future__ import annotations

import math

from llm_core.config.learning import TrainingConfig


def steps_of_budget(training: TrainingConfig, *, tokens_per_step: int, train_tokens: int) -> int | None:
    """Steps allowed by steps, tokens and epochs, at least 1; None when only minutes limit the run."""
    limits: list[int] = []
    if training.max_steps is not None:
        limits.append(training.max_steps)
    if training.max_tokens is not None:
        limits.append(training.max_tokens // tokens_per_step)
    if training.max_epochs is not None:
        limits.append(math.ceil(training.max_epochs * train_tokens / tokens_per_step))
    return max(1, min(limits)) if limits else None


def steps_of_minutes(minutes: float, *, seconds_so_far: float, seconds_per_step: float, steps_so_far: int) -> int:
    """Steps that fit into the minutes when the rest goes on at the measured pace; never fewer than were done already."""
    remaining_seconds = max(0.0, 60 * minutes - seconds_so_far)
    return max(steps_so_far + 1, steps_so_far + int(remaining_seconds / max(seconds_per_step, 1e-9)))


def tokens_to_count(training: TrainingConfig, train_tokens: int) -> int:
    """Tokens from the beginning of the text that an n-gram model counts: all, unless tokens or epochs allow fewer.

    Steps and minutes are no limit to it: counting ends by itself, mostly within seconds.
    """
    limits = [train_tokens]
    if training.max_tokens is not None:
        limits.append(training.max_tokens)
    if training.max_epochs is not None:
        limits.append(math.ceil(training.max_epochs * train_tokens))
    # The first token is only looked at, so that a single one would leave nothing to predict.
    return min(train_tokens, max(2, min(limits)))


def tokens_per_step(training: TrainingConfig, context_length: int) -> int:
    """Targets in one optimizer step."""
    return training.batch_size * training.gradient_accumulation_steps * context_length
