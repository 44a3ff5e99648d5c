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

from llm_core.config.errors import UserError

CANCELLED = "cancelled"


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
    if isinstance(error, MemoryError) or name == "OutOfMemoryError" or "can't allocate memory" in str(error):
        return (
            f"The memory was not enough ({str(error).splitlines()[0] if str(error) else name}).",
            "Lower the batch size, the context or the width, then start again.",
        )
    if isinstance(error, OSError) and error.errno == 28:
        return "The disk is full.", "Free some space, then resume; the last checkpoint is whole."
    first = str(error).splitlines()[0] if str(error) else ""
    return (
        f"An unexpected fault ended it: {name}: {first}",
        "The log tells where. Resume goes on from the last checkpoint.",
    )
