"""Is there room on the disk? Asked before something large is written, so that nothing is left half written.

The answer can be out of date a moment later; what then fails in the middle of a write is recognised by `is_disk_full`.
Not here: who asks (`llm_core.backend.run_recorder`), thinning checkpoints (`checkpoints.py`).
"""

from __future__ import annotations

import errno
import shutil
import sqlite3
from pathlib import Path

from llm_core.config.errors import UserError
from llm_core.quantities import size

# Left free beside what is written: points, log and registry go on growing, and file systems slow down when they are brimful.
MARGIN_BYTES = 50_000_000
_MARGIN_SHARE = 0.03
# A run that goes on writing points rests at this, while there still is room to write down why.
LAST_WORDS_BYTES = 10_000_000
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
# The second: there was no room for the index beside a file in WAL mode.
_SQLITE_FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE})


class DiskNearlyFull(UserError):
    """What is to be written would not fit on the disk, or did not; what was there before is whole."""


def free_bytes(folder: Path) -> int:
    """Bytes that this user may still write below a folder, which need not exist yet."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def require_space(folder: Path, needed_bytes: int, *, what: str = "a file", margin_bytes: int = MARGIN_BYTES) -> None:
    """Raise DiskNearlyFull unless `needed_bytes` fit below the folder with a margin.

    Args:
        what: what is to be written, to stand in a sentence.
    """
    free = free_bytes(folder)
    if free < needed_bytes + max(margin_bytes, _MARGIN_SHARE * needed_bytes):
        raise DiskNearlyFull(
            f"The disk is nearly full: {what} of {size(needed_bytes)} might not fit",
            value=f"{size(free)} free",
            limit=f"{size(needed_bytes)} and {size(margin_bytes)} to spare",
            remedy="Delete runs or other files, then resume; all that was saved is whole",
        )


def require_room_for_last_words(folder: Path) -> None:
    """Raise DiskNearlyFull where a growing run could soon not even say why it rests."""
    free = free_bytes(folder)
    if free < LAST_WORDS_BYTES:
        raise DiskNearlyFull(
            "The disk is nearly full",
            value=f"{size(free)} free",
            limit=f"{size(LAST_WORDS_BYTES)} to spare",
            remedy="Delete runs or other files, then resume; all that was saved is whole",
        )


def is_disk_full(error: BaseException) -> bool:
    """Whether a failed write failed for want of space (or of quota). Libraries written in Rust keep the number in their text alone."""
    if isinstance(error, OSError):
        return error.errno in _FULL
    if isinstance(error, sqlite3.OperationalError):
        return getattr(error, "sqlite_errorcode", None) in _SQLITE_FULL
    return any(f"(os error {number})" in str(error) for number in _FULL)


def disk_full(folder: Path, *, what: str) -> DiskNearlyFull:
    """What to raise from an error that `is_disk_full` recognised."""
    return DiskNearlyFull(
        f"The disk became full while {what} was written",
        value=f"{size(free_bytes(folder))} free",
        remedy="Delete runs or other files, then resume; all that was saved before is whole",
    )
