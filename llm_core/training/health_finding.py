"""What a rule of health found, in plain words: what it saw, what that usually means, what to do, and a way to do it with one click.

Free of torch. Not here: the rules (`health_rules.py`), keeping findings (`llm_core.backend` writes them as events).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["warning", "problem"]

NOT_FINITE = "not_finite"
RATE_TOO_HIGH = "learning_rate_too_high"
RATE_TOO_LOW = "learning_rate_too_low"
VANISHING = "vanishing_gradients"
DEAD_UNITS = "dead_units"
TOO_LITTLE_DATA = "too_little_data"
OVER_FITTING = "over_fitting"
ONLY_FREQUENCIES = "only_frequencies"
PLATEAU = "plateau"
LOSS_JUMP = "loss_jump"
LOSS_SPIKE = "loss_spike"
GRADIENT_EXPLOSION = "gradient_explosion"
SLOW_STEPS = "slow_steps"
HEALTHY = "healthy"

RULES: Mapping[str, str] = {
    NOT_FINITE: "Not a number",
    LOSS_JUMP: "Loss jumped and stayed up",
    RATE_TOO_HIGH: "Learning rate too high",
    VANISHING: "Vanishing gradients",
    DEAD_UNITS: "Dead units",
    TOO_LITTLE_DATA: "Too little text",
    OVER_FITTING: "Over-fitting",
    ONLY_FREQUENCIES: "Nothing learned from the order",
    RATE_TOO_LOW: "Learning rate too low",
    PLATEAU: "Plateau",
    GRADIENT_EXPLOSION: "Exploding gradients",
    LOSS_SPIKE: "Loss spike",
    SLOW_STEPS: "Slow steps",
    HEALTHY: "Healthy",
}
"""What each rule is called in front of people, the gravest first: of several findings the first is the verdict."""


@dataclass(frozen=True)
class Fork:
    """Another run that goes on from a checkpoint of this one, or begins anew where none is old enough (step 0), with changes."""

    step: int
    set: Mapping[str, Any]


@dataclass(frozen=True)
class Pause:
    """Let the run rest until somebody resumes it."""


@dataclass(frozen=True)
class ReadText:
    """Look at the text that the run learns from."""


@dataclass(frozen=True)
class Finding:
    """One trouble."""

    rule: str
    severity: Severity
    step: int
    """Where it was seen."""
    saw: str
    means: str
    advice: str
    action: Fork | Pause | ReadText | None = None
    """None only where nothing can be done about it."""

    @property
    def title(self) -> str:
        return RULES[self.rule]

    def to_event(self) -> dict[str, Any]:
        """Plain JSON values: rule, severity, saw, means, advice, and action: None or {kind, …} as in `_action_values`."""
        return {
            "rule": self.rule,
            "severity": self.severity,
            "saw": self.saw,
            "means": self.means,
            "advice": self.advice,
            "action": _action_values(self.action),
        }


def _action_values(action: Fork | Pause | ReadText | None) -> dict[str, Any] | None:
    """The kind is "fork" (from the checkpoint at `step`, with the settings `set`) or, without a checkpoint, "restart"; "pause"; "text"."""
    match action:
        case Fork(step, settings):
            return {"kind": "fork" if step else "restart", "step": step, "set": dict(settings)}
        case Pause():
            return {"kind": "pause"}
        case ReadText():
            return {"kind": "text"}
        case None:
            return None
