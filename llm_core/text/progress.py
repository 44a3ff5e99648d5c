"""How long work on text tells how far it is and learns that it should stop.

Every long function takes `progress(phase, done, total)` and `cancelled()`; phases are the words a page shows. Not here:
where progress is stored (`llm_core.workspace.job_progress`), throttling, which is the receiver's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

ProgressHook = Callable[[str, int, int | None], None]
"""phase, how much is done, how much there is in all (None when unknown)."""

CancelHook = Callable[[], bool]
"""Whether the work should stop at its next convenience."""

READING_TEXT: Final = "reading text"
"""Counts bytes of the file, or rows where a source has no size."""

WRITING_TEXT: Final = "making text"
"""Counts characters of a built-in text."""

LEARNING_MERGES: Final = "learning merges"
"""Counts vocabulary entries."""

CUTTING_TOKENS: Final = "cutting tokens"
"""Counts characters."""

COUNTING_TOKENS: Final = "counting tokens"
"""Counts tokens."""


class Cancelled(Exception):
    """The work was stopped on request; nothing of it is left behind."""


def no_progress(phase: str, done: int, total: int | None) -> None:
    """A ProgressHook that tells nobody."""


def never_cancelled() -> bool:
    """A CancelHook for work that nobody can stop."""
    return False


def stop_if_cancelled(cancelled: CancelHook) -> None:
    """Raise Cancelled when the hook says so."""
    if cancelled():
        raise Cancelled
