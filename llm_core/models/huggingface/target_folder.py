"""A folder for a person that appears whole or not at all: made beside its place, then renamed into it.

Not here: folders inside the workspace (`llm_core.text.folders`).
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from llm_core.config.errors import UserError
from llm_core.workspace.json_files import sync_file, sync_folder


@contextmanager
def new_folder(target: Path) -> Generator[Path]:
    """A folder to fill; it becomes `target` when the block ends well and is removed when it does not.

    Raises:
        UserError: the target is a file or a folder with something in it, or cannot be made.
    """
    final = target.expanduser().resolve()
    check_target(final)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = final.with_name(f".{final.name[:100]}.tmp-{secrets.token_hex(4)}")
        temporary.mkdir()
    except OSError as error:
        raise UserError(
            f"The folder cannot be made: {error.strerror}", value=final, remedy="Give a place that you may write to"
        ) from error
    try:
        yield temporary
        for path in temporary.iterdir():
            sync_file(path)
        sync_folder(temporary)
        check_target(final)
        temporary.rename(final)  # replaces an empty folder, and the kernel refuses any other
        sync_folder(final.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_target(target: Path) -> None:
    """Raise UserError unless nothing is there, or an empty folder."""
    if target.is_dir():
        try:
            is_empty = not any(target.iterdir())
        except OSError as error:
            raise UserError(f"The folder cannot be read: {error.strerror}", value=target) from error
        if not is_empty:
            raise UserError(
                "The folder has something in it", value=target, limit="a new or an empty folder",
                remedy="Give another folder; nothing is overwritten",
            )  # fmt: skip
    elif target.exists():
        raise UserError("This is a file", value=target, limit="a new or an empty folder", remedy="Give another place")
