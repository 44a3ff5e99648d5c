"""One word on a whole run from its curves: healthy, or which trouble. Free of torch, for pages and reports.

The same rules as while it runs, asked at its end; of several troubles the gravest counts. Slow steps are no matter of learning and left
out. Not here: the rules (`health_rules.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llm_core.training.health_finding import GRADIENT_EXPLOSION, HEALTHY, LOSS_JUMP, NOT_FINITE, RULES, Finding
from llm_core.training.health_history import Facts, History
from llm_core.training.health_rules import Course
from llm_core.training.health_watch import HealthWatch, first_finding

# More points than this are thinned first, each stretch to its middle or to its peak where that stands out.
_POINTS = 4_096
_STANDS_OUT = 10.0
_LASTING = frozenset({NOT_FINITE, LOSS_JUMP, GRADIENT_EXPLOSION})


@dataclass(frozen=True)
class Verdict:
    """What a run comes to."""

    rule: str
    finding: Finding | None
    """None where nothing was found."""

    @property
    def title(self) -> str:
        return RULES[self.rule]


def verdict_of_curves(history: History, facts: Facts, checkpoints: Sequence[int] = ()) -> Verdict:
    """The verdict on a run, or on what there is of it so far."""
    watch = HealthWatch(facts, checkpoints)
    found: list[Finding] = []
    for index in _thinned(history.loss):
        step, loss, norm, rate = (
            float(values[index]) for values in (history.step, history.loss, history.grad_norm, history.learning_rate)
        )
        told = watch.logged(int(step), loss, norm, rate)
        found += [finding for finding in told if finding.rule in _LASTING]
    found += [watch.loss_spike(spike) for spike in watch.spikes.spikes if not spike.stays]
    last = first_finding(Course(facts, history.finite(), checkpoints))
    found += [] if last is None else [last]
    order = list(RULES)
    gravest = min(found, key=lambda finding: order.index(finding.rule), default=None)
    return Verdict(HEALTHY if gravest is None else gravest.rule, gravest)


def _thinned(losses: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Sequence[int]:
    """Which points are looked at one by one."""
    if len(losses) <= _POINTS:
        return range(len(losses))
    chosen: list[int] = []
    for stretch in np.array_split(np.arange(len(losses)), _POINTS):
        values = losses[stretch]
        middle = np.nanmedian(values)
        spread = np.nanmedian(np.abs(values - middle)) + 1e-9
        broken = np.flatnonzero(~np.isfinite(values))
        peak = int(broken[0]) if len(broken) else int(np.argmax(values))
        stands_out = len(broken) > 0 or values[peak] - middle > _STANDS_OUT * 1.4826 * spread
        chosen.append(int(stretch[peak if stands_out else len(stretch) // 2]))
    return chosen
