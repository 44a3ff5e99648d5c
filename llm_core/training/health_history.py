"""What the rules of health look at: facts of a run, and what was measured, as plain arrays. Free of torch.

Losses in nats per target. Not here: the rules (`health_rules.py`), gathering while a run goes on (`health_watch.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from llm_core.config.run import RunConfig
from llm_core.models.counting import count_parameters

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
    calmer_network: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Settings of a network like this one through which gradients pass more easily; empty where none is known."""


def facts_of_settings(
    config: RunConfig,
    *,
    vocabulary_size: int,
    total_steps: int | None,
    tokens_per_step: int,
    train_tokens: int,
    unigram_nats: float | None,
) -> Facts:
    """What the rules need to know of a run.

    Args:
        config: the settings that it has now.
        train_tokens: in the training split.
        unigram_nats: None where the objective does not compare with frequencies.
    """
    return Facts(
        total_steps=total_steps,
        learning_rate=config.optimizer.learning_rate,
        warmup_steps=config.schedule.warmup_steps,
        dropout=float(getattr(config.model, "dropout", 0.0)),
        gradient_clip=config.optimizer.gradient_clip,
        parameters=count_parameters(config.model, vocabulary_size, config.data.context_length).total,
        train_tokens=train_tokens,
        tokens_per_step=tokens_per_step,
        chance_nats=math.log(vocabulary_size),
        unigram_nats=unigram_nats,
        calmer_network=_calmer_network(config),
    )


def _calmer_network(config: RunConfig) -> dict[str, Any]:
    """tanh instead of a sigmoid, whose slope is a quarter at most; else half the layers."""
    if getattr(config.model, "nonlinearity", "") == "sigmoid":
        return {"model.nonlinearity": "tanh"}
    layers = int(getattr(config.model, "num_layers", 1))
    return {"model.num_layers": layers // 2} if layers > 1 else {}


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
