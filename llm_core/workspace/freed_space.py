"""What a deletion would free: forks share checkpoint files with the run they come from, and a shared file stays until its last name goes.

Not here: the deletion (`runs.py`), room for what is to be written (`disk_space.py`).
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path


def freed_bytes(folders: Iterable[Path]) -> int:
    """Bytes that come free when all of these folders go; files that vanish meanwhile count as nothing."""
    sizes: dict[tuple[int, int], int] = {}
    names_left: dict[tuple[int, int], int] = {}
    for folder in folders:
        for path in folder.rglob("*"):
            try:
                status = path.lstat()
            except FileNotFoundError:
                continue
            if stat.S_ISREG(status.st_mode):
                file = (status.st_dev, status.st_ino)
                sizes[file] = status.st_size
                names_left[file] = names_left.get(file, status.st_nlink) - 1
    return sum(size for file, size in sizes.items() if names_left[file] <= 0)
