"""What the loop tells the world, and what it may be told, as two small interfaces.

The loop neither measures nor samples nor writes: observers do, at the moments named here. Not here: the loop (`loop.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from llm_core.training.trainer import StepReport, Trainer

Ending = Literal["stopped", "paused"]


@dataclass(frozen=True)
class LogPoint:
    """What is known at a logged step."""

    report: StepReport
    tokens: int
    seconds: float
    tokens_per_second: float | None
    """Since the point before; None at the first step, which includes warming up and compiling."""


class Observer:
    """Does nothing; override what matters. Time spent here is not training time."""

    def on_log(self, trainer: Trainer, point: LogPoint) -> None:
        """At step 1, every `log_interval`, the last step, and a step that diverged."""

    def on_evaluation(self, trainer: Trainer, *, is_last: bool) -> None:
        """Before the first step, every `eval_interval`, and after the last step (`is_last`)."""

    def on_sample(self, trainer: Trainer) -> None:
        """When a sample is due."""

    def on_checkpoint(self, trainer: Trainer) -> None:
        """When a checkpoint is due: by interval, on request, and at every orderly end."""


@dataclass(frozen=True)
class Instruction:
    """What a person asked for while the run goes on. Settings that change are changed before this is given."""

    end: Ending | None = None
    save: bool = True
    """At the end: whether a checkpoint is written first."""
    reason: str = ""
    """Of the end."""
    checkpoint: bool = False
    sample: bool = False
    roll_back_to: int | None = None
    """The step of the checkpoint to go back to; the run then begins anew from there."""
    roll_back_command: str = ""


class Control(Protocol):
    """Asked once before each step."""

    def poll(self, trainer: Trainer) -> Instruction:
        """What to do now; must be quick."""
        ...


class NoControl:
    """Nobody interferes."""

    def poll(self, trainer: Trainer) -> Instruction:
        return Instruction()
