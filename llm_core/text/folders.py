"""Folders that appear whole or not at all: built under another name, renamed into place, removed on failure.

A build that was killed leaves a folder `.building-<pid>-...`, which the next build beside it removes.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from llm_core.workspace.json_files import sync_file, sync_folder
from llm_core.workspace.process_identity import identify

_PREFIX = ".building-"


@contextmanager
def building(parent: Path) -> Generator[Path]:
    """A new empty folder under `parent`; whatever is still in it when the block ends, however it ends, is removed."""
    parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(parent)
    folder = parent / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, final: Path) -> bool:
    """Rename a finished folder into place, its files on the disk first.

    Returns:
        False when somebody else published the same name first; the folder is then left to be removed.
    """
    for path in folder.iterdir():
        sync_file(path)
    sync_folder(folder)
    try:
        folder.rename(final)  # the kernel refuses to replace a folder that is not empty
    except OSError:
        if final.is_dir():
            return False
        raise
    sync_folder(final.parent)
    return True


def remove_folder(folder: Path) -> int:
    """Delete a folder so that it is gone at once for every reader; returns the bytes freed."""
    size_bytes = folder_bytes(folder)
    doomed = folder.with_name(f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}")
    folder.rename(doomed)
    shutil.rmtree(doomed)
    return size_bytes


def folder_bytes(folder: Path) -> int:
    """Size of the files in a folder without subfolders."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def published(parent: Path) -> list[Path]:
    """The finished folders under `parent`, by name."""
    if not parent.is_dir():
        return []
    return sorted(path for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))


def _remove_abandoned(parent: Path) -> None:
    for path in parent.glob(f"{_PREFIX}*"):
        pid = path.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdecimal() and identify(int(pid)) is None:
            shutil.rmtree(path, ignore_errors=True)
