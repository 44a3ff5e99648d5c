"""How far a job that is not a run has come, and the wish to cancel it: two small files in the job's folder.

The worker alone writes progress.json; pages and the command line alone make the mark `cancel`. Runs use metrics.db and
commands.db instead (`metrics.py`, `commands.py`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm_core.workspace.json_files import read_json, write_json
from llm_core.workspace.paths import Workspace, safe_join

PROGRESS = "progress.json"
CANCEL = "cancel"
LOG = "log.txt"


def job_folder(workspace: Workspace, job_id: str) -> Path:
    """Where a job keeps its progress, its log and its cancel mark; made if it is not there."""
    folder = safe_join(workspace.jobs, job_id)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_progress(workspace: Workspace, job_id: str, progress: Mapping[str, Any]) -> None:
    """Say how far the job is; this is also its sign of life. `written_at` is added."""
    write_json(job_folder(workspace, job_id) / PROGRESS, {**progress, "written_at": time.time()}, sync=False)


def read_progress(workspace: Workspace, job_id: str) -> dict[str, Any] | None:
    """What the job said last, with `written_at` (seconds since the epoch); None before its first word."""
    return read_json(safe_join(workspace.jobs, job_id, PROGRESS))


def request_cancel(workspace: Workspace, job_id: str) -> None:
    """Ask the job's worker to stop at its next convenience."""
    (job_folder(workspace, job_id) / CANCEL).touch()


def is_cancelled(workspace: Workspace, job_id: str) -> bool:
    """Whether somebody asked the job to stop."""
    return safe_join(workspace.jobs, job_id, CANCEL).exists()
