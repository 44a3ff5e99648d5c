"""How long work on text tells how far it is and learns that it should stop.

Every long function takes `progress(phase, done, total)` and `cancelled()`; phases are the words a page shows. Not here:
where progress is stored (`llm_core.workspace.job_progress`), throttling, which is the receiver's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from llm_core.quantities import size

ProgressHook = Callable[[str, int, int | None], None]
"""phase, how much is done, how much there is in all (None when unknown)."""

CancelHook = Callable[[], bool]
"""Whether the work should stop at its next convenience."""

CHECKING_FILE: Final = "checking the file"
READING_TEXT: Final = "reading text"
READING_ROWS: Final = "reading rows"
"""For sources whose size in bytes says nothing: Parquet tables, data sets of the Hub."""
STORING_TEXT: Final = "storing text"
WRITING_TEXT: Final = "making text"
"""A built-in text."""
READING_TRAINING_PART: Final = "reading the training part"
LEARNING_MERGES: Final = "learning merges"
"""Counts vocabulary entries; the library learns them in one go, so the count jumps from nothing to all."""
LEARNING_PIECES: Final = "learning pieces"
"""As merges, for vocabularies that are not made of them."""
CUTTING_TOKENS: Final = "cutting tokens"
COUNTING_TOKENS: Final = "counting tokens"
DOWNLOADING: Final = "downloading"
READING_TENSORS: Final = "reading tensors"
WRITING_FILES: Final = "writing files"
PACKING: Final = "packing"

UNITS: Final[Mapping[str, str]] = MappingProxyType(
    {
        CHECKING_FILE: "bytes",
        READING_TEXT: "bytes",
        READING_ROWS: "rows",
        STORING_TEXT: "bytes",
        WRITING_TEXT: "characters",
        READING_TRAINING_PART: "characters",
        LEARNING_MERGES: "entries",
        LEARNING_PIECES: "entries",
        CUTTING_TOKENS: "characters",
        COUNTING_TOKENS: "tokens",
        DOWNLOADING: "bytes",
        READING_TENSORS: "tensors",
        PACKING: "bytes",
    }
)
"""What each phase counts."""


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


def progress_words(phase: str, done: int, total: int | None) -> str:
    """`reading text, 12.1 MB of 1.12 GB`; a phase that counts nothing yet is named alone."""
    if not done and not total:
        return phase
    unit = UNITS.get(phase, "")
    if unit == "bytes":
        return f"{phase}, {size(done)}" + ("" if total is None else f" of {size(total)}")
    return f"{phase}, {done:,}" + ("" if total is None else f" of {total:,}") + f" {unit}".rstrip()
