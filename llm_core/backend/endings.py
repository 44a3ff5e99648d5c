"""How a job ends before its work is done: somebody asks for it, or a fault does it.

A module of its own because the worker's is `__main__` in its process: a class there would be another one than the jobs import.
Not here: what is written down about it (`worker.py`, `worker_train.py`).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

from llm_core.backend.memory_shortage import shortage_of
from llm_core.config.errors import UserError
from llm_core.quantities import size
from llm_core.workspace.disk_space import is_disk_full

CANCELLED = "cancelled"
ASKED_TO_END = "The process was asked to end."
_READ_LOG = "Read the log for the cause, then resume it"
SILENT_WORDS = ("The worker process gave no sign of life and was ended.", _READ_LOG)
"""Reason and remedy."""


class Cancelled(Exception):
    """The job was asked to end and has nothing more to save."""


@dataclass
class StopSignal:
    """Whether this process was asked to end (SIGTERM, Ctrl-C). The second request ends it at once."""

    requested: bool = False

    def install(self) -> Callable[[], None]:
        """Listen from now on; returns a function that puts the former handlers back. Main thread only."""

        def handle(number: int, _frame: FrameType | None) -> None:
            if self.requested:
                os._exit(128 + number)
            self.requested = True

        former = [(number, signal.signal(number, handle)) for number in (signal.SIGTERM, signal.SIGINT)]

        def restore() -> None:
            for number, handler in former:
                signal.signal(number, handler)

        return restore


def explain(error: Exception) -> tuple[str, str]:
    """Reason and remedy: an error for people in its own words, any other fault in general ones."""
    if isinstance(error, UserError):
        return str(UserError(error.what, value=error.value, limit=error.limit)), error.remedy
    name = type(error).__name__
    shortage = shortage_of(error)
    if shortage is not None:  # outside a training, which names what it needs itself (`memory_shortage_named`)
        asked = "" if shortage.asked_bytes is None else f": {size(shortage.asked_bytes)} more were asked for"
        return f"The memory was not enough{asked}.", "End other programs, or choose a smaller model or text."
    if is_disk_full(error):
        return "The disk is full.", "Free some space, then resume; all that was saved before is whole."
    first = str(error).splitlines()[0] if str(error) else ""
    return (
        f"An unexpected fault ended it: {name}: {first}",
        "The log tells where. Resume goes on from the last checkpoint.",
    )


def last_words(exit_status: int | None) -> tuple[str, str]:
    """Reason and remedy for a worker that ended before it could say anything.

    Args:
        exit_status: as `subprocess` tells it, minus the signal's number where one ended it; None where nobody knows.
    """
    if exit_status == -signal.SIGKILL:
        return (
            "The worker process was killed from outside, as the system does when memory runs out.",
            "If it was memory, fork the run with a smaller training.batch_size; Train says how much a run needs. Else resume it",
        )
    if exit_status is not None and exit_status < 0:
        return f"The worker process was ended by signal {-exit_status} ({signal.strsignal(-exit_status)}).", _READ_LOG
    return "The worker process ended without a word.", _READ_LOG
