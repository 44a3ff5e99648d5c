"""Files on their way in: a private copy in the workspace from the click until the import has ended, however it ends.

A copy is a folder `uploads/<pid>-<random>/` with one file under its own name, so that messages and the text's name speak of
the file as the person knows it. The job that reads it removes it; what a killed process left is swept at the next
occasion. Bounded here: one file, and all kept files together. Not here: the jobs (`llm_core.backend.text_jobs`), what Streamlit holds in
memory before the click (`server.maxUploadSize`).
"""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import shutil
from pathlib import Path
from typing import BinaryIO

from llm_core.config.errors import NotFound, UserError
from llm_core.quantities import size
from llm_core.workspace.paths import Workspace, safe_join
from llm_core.workspace.process_identity import identify
from llm_core.workspace.registry import Registry

LARGEST_UPLOAD_BYTES = 200_000_000
LARGEST_KEPT_BYTES = 1_000_000_000
"""All files together that wait for their jobs: five of the largest."""

_COPIED_AT_ONCE = 2**20


def check_upload(stream: BinaryIO, remedy: str, largest_bytes: int = LARGEST_UPLOAD_BYTES) -> None:
    """Refuse a file that is too large before anything is copied; the browser's own limit binds nobody.

    Args:
        remedy: how a larger one comes in.

    Raises:
        UserError: it is larger.
    """
    size_bytes = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    if size_bytes > largest_bytes:
        what = "The file is too large to upload"
        raise UserError(what, value=size(size_bytes), limit=size(largest_bytes), remedy=remedy)


def keep_upload(
    workspace: Workspace, name: str, stream: BinaryIO, *, largest_kept_bytes: int = LARGEST_KEPT_BYTES
) -> str:
    """Copy a stream to a private file; returns the token by which the job finds it.

    Raises:
        UserError: `name` cannot be a file's name, or the kept files would be too many bytes together.
    """
    root = _uploads(workspace)
    root.mkdir(mode=0o700, exist_ok=True)
    token = f"{os.getpid()}-{secrets.token_hex(8)}"
    folder = safe_join(root, token)
    path = safe_join(folder, name)
    folder.mkdir(mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            while data := stream.read(_COPIED_AT_ONCE):
                file.write(data)
                file.flush()
                # Looked at anew each time, because others copy at the same moment.
                _check_room(root, token, largest_kept_bytes)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return token


def upload_path(workspace: Workspace, token: str) -> Path:
    """The file that was kept under this token; NotFound when it is gone."""
    folder = safe_join(_uploads(workspace), token)
    files = list(folder.iterdir()) if folder.is_dir() else []
    if len(files) != 1:
        raise NotFound("The uploaded file is gone", value=token, remedy="Upload it again")
    return files[0]


def discard_upload(workspace: Workspace, token: str) -> None:
    """Remove a kept file; nothing happens when it is gone already."""
    shutil.rmtree(safe_join(_uploads(workspace), token), ignore_errors=True)


def sweep_uploads(workspace: Workspace) -> None:
    """Remove kept files that no unfinished job will read: their job has ended, or their writer died before there was one."""
    root = _uploads(workspace)
    present = [folder.name for folder in root.iterdir()] if root.is_dir() else []
    if not present:
        return
    with Registry(workspace) as registry:
        jobs = [*registry.jobs("import"), *registry.jobs("tokenizer")]
    is_final = {job.config.get("upload"): job.is_final for job in jobs}
    for token in present:
        pid = token.partition("-")[0]
        writer_lives = pid.isdecimal() and identify(int(pid)) is not None
        if is_final.get(token, not writer_lives):
            with contextlib.suppress(OSError):
                discard_upload(workspace, token)


def _check_room(root: Path, token: str, largest_kept_bytes: int) -> None:
    """Raises UserError when this copy has grown too large beside those that wait."""
    kept: dict[str, int] = {}
    for folder in root.iterdir():
        with contextlib.suppress(FileNotFoundError):  # its job has just ended
            kept[folder.name] = sum(path.stat().st_size for path in folder.iterdir())
    if sum(kept.values()) > largest_kept_bytes:
        raise UserError(
            "There is no room for another upload beside those that wait to be read",
            value=size(sum(kept.values()) - kept.get(token, 0)),
            limit=f"{size(largest_kept_bytes)} with this one",
            remedy="Wait until the imports under way have ended, or cancel one; a file of this machine comes in by its path",
        )


def _uploads(workspace: Workspace) -> Path:
    return workspace.root / "uploads"
