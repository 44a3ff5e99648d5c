"""What the rules of health look at: facts of a run, and what was measured, as plain arrays. Free of torch.

Losses in nats per target. Not here: the rules (`health_rules.py`), gathering while a run goes on (`health_watch.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Facts:
    """What is known of a run from its settings and its text."""

    total_steps: int | None
    learning_rate: float
    """The schedule's peak."""
    warmup_steps: int
    dropout: float
    gradient_clip: float
    parameters: int
    train_tokens: int
    """In the training split."""
    tokens_per_step: int
    chance_nats: float
    """ln V."""
    unigram_nats: float | None = None
    """The level of knowing only how often each token occurs; None for objectives that do not compare with it."""


@dataclass(frozen=True)
class PartHistory:
    """One part of the network at the steps that were looked at; NaN where nothing was measured."""

    step: Numbers
    gradient_norm: Numbers
    update_ratio: Numbers
    dead_share: Numbers


@dataclass(frozen=True)
class History:
    """What was measured so far, each array in the order of steps."""

    step: Numbers
    """Of the logged steps; the next three belong to them."""
    loss: Numbers
    grad_norm: Numbers
    learning_rate: Numbers
    validation_step: Numbers
    validation_loss: Numbers
    parts: Mapping[str, PartHistory] = field(default_factory=dict[str, PartHistory])

    @property
    def last_step(self) -> int:
        return int(self.step[-1]) if len(self.step) else 0

    def finite(self) -> History:
        """The same without the points that were no finite number."""
        logged = np.isfinite(self.loss) & np.isfinite(self.grad_norm)
        evaluated = np.isfinite(self.validation_loss)
        return replace(
            self,
            step=self.step[logged],
            loss=self.loss[logged],
            grad_norm=self.grad_norm[logged],
            learning_rate=self.learning_rate[logged],
            validation_step=self.validation_step[evaluated],
            validation_loss=self.validation_loss[evaluated],
        )
