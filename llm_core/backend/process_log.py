"""What a process says goes to its log file through standard error; a disk that has no room for it must not end the process.

Not here: the files (`launcher.py`), events that people read (`llm_core.workspace.metrics`).
"""

from __future__ import annotations

import contextlib
import sys
import traceback


def say(text: object) -> None:
    """One line."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def say_where_it_broke() -> None:
    """The exception that is being handled, with the way to it."""
    with contextlib.suppress(OSError):
        traceback.print_exc()
