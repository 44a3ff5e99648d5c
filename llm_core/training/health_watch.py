"""Watching over a run point by point: gathers what the rules need in bounded memory, asks them now and then, tells each trouble once.

A trouble is told when it begins, and again only after it was gone for a while. Sudden events are looked for at every logged point, the
course of the run about fifty times. Free of torch. Not here: the rules (`health_rules.py`, `health_sudden.py`), the one word on a
whole run (`health_verdict.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from llm_core.quantities import three_digits
from llm_core.training.health_finding import (
    GRADIENT_EXPLOSION,
    LOSS_JUMP,
    LOSS_SPIKE,
    NOT_FINITE,
    SLOW_STEPS,
    Finding,
    Pause,
)
from llm_core.training.health_history import Facts, History, Numbers, PartHistory
from llm_core.training.health_rules import COURSE_RULES, Course, rounded
from llm_core.training.health_sudden import ExplosionWatch, SpeedWatch, Spike, SpikeWatch

_ROWS = 1024
_ASKED_TIMES, _ASKED_EVERY_POINTS = 50, 10
_GONE_AFTER = 3
_LOWER = 3.0


class Norms(Protocol):
    """What is known of one part of the network at one step."""

    @property
    def gradient_norm(self) -> float: ...
    @property
    def update_ratio(self) -> float: ...
    @property
    def dead_share(self) -> float | None: ...


class Table:
    """Rows of numbers, the first a step; when it is full, neighbours become one row of means. So it always spans the whole run."""

    def __init__(self, columns: int) -> None:
        self._rows = np.empty((_ROWS, columns))
        self._count = 0
        self._stride = 1
        self._waiting: list[Sequence[float]] = []

    def add(self, row: Sequence[float]) -> None:
        """One more row."""
        self._waiting.append(row)
        if len(self._waiting) < self._stride:
            return
        self._rows[self._count] = self._merged(np.array(self._waiting)[None])[0]
        self._waiting.clear()
        self._count += 1
        if self._count == _ROWS:
            half = self._merged(self._rows.reshape(_ROWS // 2, 2, -1))
            self._rows[: _ROWS // 2] = half
            self._count, self._stride = _ROWS // 2, 2 * self._stride

    def forget_after(self, step: float) -> None:
        """Drop what was measured later: the run was rolled back."""
        self._waiting = [row for row in self._waiting if row[0] <= step]
        self._count = int(np.searchsorted(self._rows[: self._count, 0], step, side="right"))

    def columns(self) -> Numbers:
        """All rows so far [columns, rows]."""
        return self._rows[: self._count].T.copy()

    @staticmethod
    def _merged(rows: Numbers) -> Numbers:
        means = rows.mean(axis=1)
        means[:, 0] = rows[:, -1, 0]
        return means


class HealthWatch:
    """The rules, asked as a run goes on.

    Args:
        facts: of the run; `change_facts` when a setting changes on the way.
        checkpoints: steps of the checkpoints that are there already.
    """

    def __init__(self, facts: Facts, checkpoints: Sequence[int] = ()) -> None:
        self.facts = facts
        self.spikes = SpikeWatch()
        self._checkpoints = list(checkpoints)
        self._logged = Table(4)
        self._evaluated = Table(2)
        self._parts: dict[str, Table] = {}
        self._explosions, self._speeds = ExplosionWatch(), SpeedWatch()
        self._asked_at, self._points_since = 0, 0
        self._open: dict[str, int] = {}
        self._last_step = 0

    def change_facts(self, facts: Facts) -> None:
        """Settings as they are from now on."""
        if facts.tokens_per_step != self.facts.tokens_per_step:
            self._speeds = SpeedWatch()  # steps of another size have a speed of their own
        self.facts = facts

    def checkpointed(self, step: int) -> None:
        """A fork can begin here."""
        self._checkpoints.append(step)

    def evaluated(self, step: int, loss: float) -> None:
        """A loss on validation text."""
        if math.isfinite(loss):
            self._evaluated.add((step, loss))

    def logged(
        self,
        step: int,
        loss: float,
        grad_norm: float,
        learning_rate: float,
        speed: tuple[float, float] | None = None,
        parts: Mapping[str, Norms] | None = None,
    ) -> list[Finding]:
        """One logged step; the troubles that begin with it.

        Args:
            speed: tokens per second since the point before, and seconds of training so far.
        """
        if step < self._last_step:
            self._go_back(step)
        self._last_step = step
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            return [self._not_finite(step, loss, grad_norm)]
        self._logged.add((step, loss, grad_norm, learning_rate))
        for part, norms in (parts or {}).items():
            dead = 0.0 if norms.dead_share is None else norms.dead_share
            self._parts.setdefault(part, Table(4)).add((step, norms.gradient_norm, norms.update_ratio, dead))
        return [*self._sudden(step, loss, grad_norm, speed), *self._course(step)]

    def history(self) -> History:
        """What was gathered, thinned where it was much."""
        parts = {part: PartHistory(*table.columns()) for part, table in self._parts.items()}
        step, loss, grad_norm, rate = self._logged.columns()
        validation_step, validation_loss = self._evaluated.columns()
        return History(step, loss, grad_norm, rate, validation_step, validation_loss, parts)

    def course(self) -> Course:
        """The run as the rules see it now."""
        return Course(self.facts, self.history(), tuple(self._checkpoints))

    def _course(self, step: int) -> list[Finding]:
        self._points_since += 1
        apart = (self.facts.total_steps or 0) / _ASKED_TIMES
        if self._points_since < _ASKED_EVERY_POINTS or step - self._asked_at < apart:
            return []
        self._asked_at, self._points_since = step, 0
        finding = first_finding(self.course())
        for rule in list(self._open):
            self._open[rule] += 1
            if self._open[rule] > _GONE_AFTER:
                del self._open[rule]
        if finding is None:
            return []
        is_new = finding.rule not in self._open
        self._open[finding.rule] = 0
        return [finding] if is_new else []

    def _sudden(self, step: int, loss: float, grad_norm: float, speed: tuple[float, float] | None) -> list[Finding]:
        found: list[Finding] = []
        spike = self.spikes.add(step, loss)
        if spike is not None and spike.recovered_at is None:
            found.append(self.loss_jump(spike) if spike.stays else self.loss_spike(spike))
        times = self._explosions.add(grad_norm)
        if times is not None:
            found.append(self._explosion(step, grad_norm, times))
        speeds = None if speed is None else self._speeds.add(*speed)
        if speeds is not None:
            found.append(_slow(step, *speeds))
        return found

    def _go_back(self, step: int) -> None:
        for table in (self._logged, self._evaluated, *self._parts.values()):
            table.forget_after(step)
        self._checkpoints = [known for known in self._checkpoints if known <= step]
        self.spikes, self._explosions, self._speeds = SpikeWatch(), ExplosionWatch(), SpeedWatch()
        self._asked_at, self._points_since, self._open = step, 0, {}

    def _not_finite(self, step: int, loss: float, grad_norm: float) -> Finding:
        what = f"the gradient ({grad_norm})" if math.isfinite(loss) else f"the loss ({loss})"
        return Finding(
            NOT_FINITE,
            "problem",
            step,
            f"In step {step:,} {what} was not a finite number; the weights were left as they were.",
            "Somewhere a number outgrew what the computer can hold. Nearly always the steps were too large.",
            f"Go on from the last checkpoint with a third of the learning rate ({self._lower_rate:.2g}). If it happens at the same step "
            "again, look at the text of that step.",
            self.course().fork({"optimizer.learning_rate": self._lower_rate}, before_step=step - 1),
        )

    def loss_spike(self, spike: Spike) -> Finding:
        """A jump that has just begun, or that came back."""
        back = "" if spike.recovered_at is None else f" and was back by step {spike.recovered_at:,}"
        return Finding(
            LOSS_SPIKE,
            "warning",
            spike.step,
            f"At step {spike.step:,} the loss jumped from about {three_digits(spike.before)} to {three_digits(spike.peak)}{back}, "
            f"{spike.z:.0f} times its usual spread.",
            "One update went wrong: an odd stretch of text, or a step that was too large. Most runs come back by themselves.",
            "Wait. If spikes come back, lower the learning rate or the gradient clip; a click on the point shows its text.",
            self.course().fork({"optimizer.learning_rate": self._lower_rate}, before_step=spike.step - 1),
        )

    def loss_jump(self, spike: Spike) -> Finding:
        """A jump that has not come back."""
        return replace(
            self.loss_spike(spike),
            rule=LOSS_JUMP,
            severity="problem",
            saw=f"At step {spike.step:,} the loss jumped from about {three_digits(spike.before)} to {three_digits(spike.peak)} and has not "
            "come back since.",
            means="An update threw the model out of what it had learned. The steps are too large for this stretch of the run.",
            advice=f"Go on from the checkpoint before the jump with a third of the learning rate ({self._lower_rate:.2g}).",
        )

    def _explosion(self, step: int, grad_norm: float, times: float) -> Finding:
        clip = self.facts.gradient_clip
        clipped = f"It is clipped to {clip:g}, which keeps the steps in bounds" if clip else "Clipping is off"
        return Finding(
            GRADIENT_EXPLOSION,
            "warning" if clip else "problem",
            step,
            f"Around step {step:,} the gradient was again and again {times:.0f} times longer than usual ({three_digits(grad_norm)}). "
            f"{clipped}.",
            "The model has come to a steep place, where a small change of the weights changes the loss very much.",
            f"Lower the learning rate ({self._lower_rate:.2g})" + ("." if clip else ", or set the gradient clip to 1."),
            self.course().fork(
                {"optimizer.learning_rate": self._lower_rate} if clip else {"optimizer.gradient_clip": 1.0},
                before_step=step - 1,
            ),
        )

    @property
    def _lower_rate(self) -> float:
        return rounded(self.facts.learning_rate / _LOWER)


def first_finding(course: Course) -> Finding | None:
    """What the first rule that finds something says about the course of the run."""
    return next((finding for rule in COURSE_RULES if (finding := rule(course)) is not None), None)


def _slow(step: int, usual: float, now: float) -> Finding:
    return Finding(
        SLOW_STEPS,
        "warning",
        step,
        f"Since about step {step:,} training runs at {now:,.0f} tokens per second; {usual:,.0f} were usual before.",
        "Something else uses this machine, or the processor was slowed down because it became hot. The learning itself is not harmed.",
        "Look for other programs and other runs on this machine, or let the run rest until they are done.",
        Pause(),
    )
