"""Files on their way in: a private copy in the workspace from the click until the import has ended, however it ends.

A copy is a folder `uploads/<pid>-<random>/` with one file under its own name, so that messages and the text's name speak of
the file as the person knows it. The job that reads it removes it; what a killed process left is swept at the next
occasion. Not here: the jobs (`llm_core.backend.text_jobs`).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from pathlib import Path
from typing import BinaryIO

from llm_core.config.errors import NotFound
from llm_core.workspace.paths import Workspace, safe_join
from llm_core.workspace.process_identity import identify
from llm_core.workspace.registry import Registry

_COPIED_AT_ONCE = 2**20


def keep_upload(workspace: Workspace, name: str, stream: BinaryIO) -> str:
    """Copy a stream to a private file; returns the token by which the job finds it.

    Raises:
        UserError: `name` cannot be a file's name.
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
            shutil.copyfileobj(stream, file, _COPIED_AT_ONCE)
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


def _uploads(workspace: Workspace) -> Path:
    return workspace.root / "uploads"
