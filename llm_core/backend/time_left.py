"""How long a run will still take, and between which bounds: steps as they went lately, and the measurements and samples still to come.

Steps on a shared machine are now quicker, now slower; the bounds are what stretches of this run have shown. Pure arithmetic on times
that others measured. Not here: an estimate before the start (`estimates.py`), who measures (`run_recorder.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llm_core.config.learning import TrainingConfig

_KEPT_MARKS = 512
_STRETCHES = 10
# The steps that tell how quick the next ones are: the newer half, at most so much of the run, so that a slower machine is believed.
_RECENT_SHARE, _RECENT_SHARE_OF_RUN = 0.5, 0.1
# No forecast is better than this; one from few stretches is worse.
_LEAST_SPREAD, _SPREAD_OF_ONE = 0.1, 0.5
# A forward pass is about a third of a training step: what a measurement takes before one was timed.
_EVALUATION_SHARE_OF_TRAINING = 1 / 3


@dataclass(frozen=True)
class TimeRange:
    """Seconds left."""

    low: float
    usual: float
    high: float


@dataclass(frozen=True)
class Ahead:
    """What a run has still to do."""

    steps: int
    evaluations: int
    """Short ones; the last, over all validation text, is counted by its length."""
    last_evaluation: float
    """How many short ones the last one is worth."""
    samples: int
    checkpoints: int


def work_ahead(training: TrainingConfig, step: int, total_steps: int, validation_tokens: int) -> Ahead:
    """What comes after `step` of a run that ends at `total_steps`, as the loop decides it."""

    def times(interval: int) -> int:
        """Moments before the last step, which calls for everything itself."""
        return max(0, (total_steps - 1) // interval - step // interval)

    short = min(training.eval_tokens or validation_tokens, validation_tokens)
    is_open = step < total_steps
    return Ahead(
        steps=max(0, total_steps - step),
        evaluations=times(training.eval_interval),
        last_evaluation=validation_tokens / max(1, short) if is_open else 0.0,
        samples=times(training.sample_interval or training.eval_interval) + is_open,
        checkpoints=times(training.checkpoint_interval or training.eval_interval) + is_open,
    )


class TimeLeft:
    """Gathers times while a run goes on. All in seconds."""

    def __init__(self) -> None:
        self._marks: list[tuple[int, float]] = []
        self._took: dict[str, float] = {}

    def stepped(self, step: int, seconds: float) -> None:
        """`seconds` of training lie behind after `step` steps. A step behind the last one begins anew: the run was rolled back."""
        if self._marks and step < self._marks[-1][0]:
            self._marks.clear()
        if not self._marks or step > self._marks[-1][0]:
            self._marks.append((step, seconds))
        if len(self._marks) > _KEPT_MARKS:
            self._marks = self._marks[::2]

    def took(self, what: str, seconds: float) -> None:
        """One "evaluation" (a short one), "sample" or "checkpoint"; the newest counts half, all before it the other half."""
        self._took[what] = (self._took.get(what, seconds) + seconds) / 2

    def left(self, ahead: Ahead, evaluation_tokens: int, tokens_per_step: int) -> TimeRange | None:
        """The time left; None before the second logged step.

        Args:
            evaluation_tokens: of a short evaluation, for its duration before one was timed.
        """
        paces = self._seconds_per_step(ahead.steps)
        if paces is None:
            return None
        low, usual, high = paces
        guess = _EVALUATION_SHARE_OF_TRAINING * usual * evaluation_tokens / max(1, tokens_per_step)
        rest = (ahead.evaluations + ahead.last_evaluation) * self._took.get("evaluation", guess)
        rest += ahead.samples * self._took.get("sample", 0.0) + ahead.checkpoints * self._took.get("checkpoint", 0.0)
        return TimeRange(
            ahead.steps * low + rest * low / usual, ahead.steps * usual + rest, ahead.steps * high + rest * high / usual
        )

    def _seconds_per_step(self, steps_ahead: int) -> tuple[float, float, float] | None:
        """At best, usually, at worst. The first mark includes warming up and is only where the count begins."""
        if len(self._marks) < 2:
            return None
        steps, seconds = np.array(self._marks, dtype=float).T
        recent = min(_RECENT_SHARE * (steps[-1] - steps[0]), _RECENT_SHARE_OF_RUN * (steps[-1] + steps_ahead))
        begin = min(int(np.searchsorted(steps, steps[-1] - recent)), len(steps) - 2)
        usual = float((seconds[-1] - seconds[begin]) / (steps[-1] - steps[begin]))
        if usual <= 0:
            return None
        stretches = _paces(steps, seconds)
        spread = max(_LEAST_SPREAD, _SPREAD_OF_ONE / len(stretches))
        low, high = (float(pace) for pace in np.quantile(stretches, (0.1, 0.9)))
        return min(low, usual) * (1 - spread), usual, max(high, usual) * (1 + spread)


def _paces(steps: npt.NDArray[np.float64], seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Seconds per step in up to ten stretches of equally many steps."""
    edges = np.unique(np.searchsorted(steps, np.linspace(steps[0], steps[-1], _STRETCHES + 1)))
    return np.diff(seconds[edges]) / np.diff(steps[edges])
