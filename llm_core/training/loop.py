"""The loop: steps until the budget is used up, a person stops it, or the numbers break.

It decides when; the trainer does the step and observers do everything else. Not here: processes, leases, files (`llm_core.backend`).
"""

from __future__ import annotations

import gc
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from llm_core.training.observers import Control, Instruction, LogPoint, NoControl, Observer
from llm_core.training.trainer import StepReport, Trainer

_BROKEN_WEIGHTS = "After step {:,} the weights are no finite numbers any more."
_LOWER_OR_CLIP = "Start again from the last checkpoint with a lower learning rate, or clip the gradient."


@dataclass(frozen=True)
class TrainResult:
    """How the loop ended."""

    state: Literal["finished", "stopped", "paused", "diverged", "rolled back"]
    """A run that is rolled back has not ended: whoever called builds the trainer of `roll_back_to` and goes on."""
    reason: str
    remedy: str
    train_loss: float | None
    """Of the last step."""
    roll_back_to: int | None = None
    roll_back_command: str = ""


def train(trainer: Trainer, observers: Sequence[Observer] = (), control: Control | None = None) -> TrainResult:
    """Run the trainer to its end.

    The order at a step: control, step, log, evaluation, sample, checkpoint. A fresh run is evaluated before its first step; a resumed
    one is not, that figure is already there. A diverged run writes no checkpoint, nor does one whose weights broke in the last update:
    the last good one stays the newest.
    """
    # What exists by now stays for the whole run; frozen, it is not searched for garbage again and again.
    gc.collect()
    gc.freeze()
    try:
        return _train(trainer, observers, control or NoControl())
    finally:
        gc.unfreeze()


def _train(trainer: Trainer, observers: Sequence[Observer], control: Control) -> TrainResult:
    pace = _Pace(trainer)
    last: StepReport | None = None
    if trainer.step == 0:
        _tell_evaluation(trainer, observers, is_last=False)
        _tell_sample(trainer, observers)
    checkpointed_at = trainer.step
    while True:
        instruction: Instruction = control.poll(trainer)
        if instruction.roll_back_to is not None:
            back = (instruction.roll_back_to, instruction.roll_back_command)
            return TrainResult("rolled back", "", "", _loss(last), *back)
        saves = instruction.checkpoint or (instruction.end is not None and instruction.save)
        if saves or instruction.sample or instruction.end or trainer.is_done:
            last = _read(trainer, last)
            if last is not None and not last.is_finite:
                return _end_diverged(trainer, observers, pace, last)
        if trainer.is_done:
            if checkpointed_at != trainer.step:  # a person made this step the last one after it was done
                _tell_evaluation(trainer, observers, is_last=True)
                _tell_checkpoint(trainer, observers)
            if not trainer.has_finite_weights:
                return TrainResult("diverged", _BROKEN_WEIGHTS.format(trainer.step), _LOWER_OR_CLIP, _loss(last))
            return TrainResult("finished", "The budget is used up.", "", _loss(last))
        if instruction.sample:
            _tell_sample(trainer, observers)
        if saves and checkpointed_at != trainer.step:
            _tell_checkpoint(trainer, observers)
            checkpointed_at = trainer.step
        if instruction.end is not None:
            return TrainResult(instruction.end, instruction.reason, "Resume goes on from here.", _loss(last))
        trainer.advance()
        due = _Due(trainer)
        if not (due.anything or trainer.must_read):
            continue
        last = _read(trainer, last)
        assert last is not None, "a step has just been done"
        if not last.is_finite:
            return _end_diverged(trainer, observers, pace, last)
        if due.log:
            _tell_log(trainer, observers, pace, last)
        if due.evaluation:
            _tell_evaluation(trainer, observers, is_last=trainer.is_done)
        if due.sample:
            _tell_sample(trainer, observers)
        if due.checkpoint:
            _tell_checkpoint(trainer, observers)
            checkpointed_at = trainer.step


def _read(trainer: Trainer, last: StepReport | None) -> StepReport | None:
    """The newest report there is, the first that was not finite among them."""
    reports = trainer.take_reports()
    return reports[-1] if reports else last


class _Due:
    """What the step just done calls for. The last step calls for everything."""

    def __init__(self, trainer: Trainer) -> None:
        training, step, last = trainer.config.training, trainer.step, trainer.is_done
        self.log = last or step == 1 or step % training.log_interval == 0
        self.evaluation = last or step % training.eval_interval == 0
        self.sample = last or step % (training.sample_interval or training.eval_interval) == 0
        self.checkpoint = last or step % (training.checkpoint_interval or training.eval_interval) == 0
        self.anything = self.log or self.evaluation or self.sample or self.checkpoint


class _Pace:
    """Tokens per second between two log points; the first step is left out, it warms up and compiles."""

    def __init__(self, trainer: Trainer) -> None:
        self._tokens, self._seconds = trainer.tokens, trainer.seconds
        self._is_first = True

    def since_last(self, trainer: Trainer) -> float | None:
        tokens, seconds = trainer.tokens - self._tokens, trainer.seconds - self._seconds
        is_first, self._is_first = self._is_first, False
        self._tokens, self._seconds = trainer.tokens, trainer.seconds
        return None if is_first or tokens <= 0 or seconds <= 0 else tokens / seconds


def _end_diverged(trainer: Trainer, observers: Sequence[Observer], pace: _Pace, report: StepReport) -> TrainResult:
    _tell_log(trainer, observers, pace, report)
    what = "gradient" if math.isfinite(report.loss) else "loss"
    return TrainResult(
        "diverged",
        f"The {what} of step {report.step:,} is not a finite number (loss {report.loss}, gradient norm {report.grad_norm}). "
        "The weights were not touched.",
        f"Start again from the last checkpoint with a lower learning rate (it was {report.learning_rate:.2g}) or clip the gradient.",
        report.loss,
    )


def _loss(report: StepReport | None) -> float | None:
    return None if report is None else report.loss


def _tell_log(trainer: Trainer, observers: Sequence[Observer], pace: _Pace, report: StepReport) -> None:
    point = LogPoint(report, trainer.tokens, trainer.seconds, pace.since_last(trainer))
    for observer in observers:
        observer.on_log(trainer, point)


def _tell_evaluation(trainer: Trainer, observers: Sequence[Observer], *, is_last: bool) -> None:
    for observer in observers:
        observer.on_evaluation(trainer, is_last=is_last)


def _tell_sample(trainer: Trainer, observers: Sequence[Observer]) -> None:
    for observer in observers:
        observer.on_sample(trainer)


def _tell_checkpoint(trainer: Trainer, observers: Sequence[Observer]) -> None:
    """None of weights that the last update broke: a run that goes on from there would break again at once."""
    if not trainer.has_finite_weights:
        return
    for observer in observers:
        observer.on_checkpoint(trainer)
