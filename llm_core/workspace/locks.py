"""Locks that the kernel gives back when their holder dies, however it dies.

A lock is a file held with flock; the file stays behind and means nothing by itself. The descriptor is not inherited, so a
child process never keeps its parent's lock. Not for: network filesystems, guarding single writes (`registry.py` does that).
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

# `is_locked` has to take the lock for a moment to learn that it is free. Whoever meets that moment tries again.
_ATTEMPTS = 5
_PAUSE_SECONDS = 0.004


class FileLock:
    """A lock on a path; released by `release`, by leaving the `with` block, or by the end of the process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def try_acquire(self, shared: bool = False) -> bool:
        """Take the lock if it is free, without waiting; a shared one goes together with other shared ones."""
        assert self._descriptor is None, f"{self.path} is already held by this lock"
        self._descriptor = _try_lock(self.path, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        return self._descriptor is not None

    def release(self) -> None:
        """Give the lock back; does nothing when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> FileLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def is_locked(path: Path) -> bool:
    """Whether some process holds the lock, shared or not. True only says so for this moment."""
    if not path.exists():
        return False
    descriptor = _try_lock(path, fcntl.LOCK_EX)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def _try_lock(path: Path, operation: int) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for attempt in range(_ATTEMPTS):
        try:
            fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            if attempt + 1 < _ATTEMPTS:
                time.sleep(_PAUSE_SECONDS)
            continue
        return descriptor
    os.close(descriptor)
    return None
