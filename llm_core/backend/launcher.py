"""Starting processes that outlive whoever starts them: supervisor, workers, inference.

Each gets a session of its own, no terminal, no inherited sockets or locks, and a log file. Never a fork of this process: a forked child
would keep the web server's port and the workspace's locks. Not here: what the processes do.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from llm_core.backend.device_slots import VISIBLE
from llm_core.backend.thread_waiting import thread_environment
from llm_core.workspace.job_progress import job_folder
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.locks import is_locked
from llm_core.workspace.paths import Workspace
from llm_core.workspace.runs import LOG, run_folder


def start_detached(
    module: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start `python -m module arguments…` so that it goes on when this process ends; output is appended to the log.

    Args:
        environment: what it gets beside this process's own.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    package_parent = str(Path(__file__).resolve().parents[2])
    paths = [package_parent, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    own = {"PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)), "PYTHONUNBUFFERED": "1"}
    own["PYTHONSAFEPATH"] = "1"  # a file of the present folder must never take the place of a module
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            close_fds=True,
            env={**os.environ, **own, **thread_environment(), **(environment or {})},
        )
    # Somebody has to collect its exit status, or it would stay a zombie for as long as this process lives.
    threading.Thread(target=process.wait, name=f"reap {process.pid}", daemon=True).start()
    return process


def start_supervisor(workspace: Workspace) -> bool:
    """Start a supervisor unless one holds the lock; True when one was started. Two at once are harmless: the second leaves."""
    if is_locked(workspace.supervisor_lock):
        return False
    start_detached("llm_core.backend.supervisor", ["--workspace", str(workspace.root)], workspace.supervisor_log)
    return True


def start_worker(workspace: Workspace, record: JobRecord) -> subprocess.Popen[bytes]:
    """Start the worker of a claimed job under its lease; of all GPUs it sees those that are the job's."""
    assert record.lease_token is not None
    arguments = ["--workspace", str(workspace.root), "--job", record.id, "--token", record.lease_token]
    environment = {VISIBLE: ",".join(record.gpus)} if record.gpus else None
    return start_detached("llm_core.backend.worker", arguments, job_log(workspace, record), environment)


def job_log(workspace: Workspace, record: JobRecord) -> Path:
    """Where a job's worker writes what it says."""
    folder = run_folder(workspace, record.id) if record.kind == "train" else job_folder(workspace, record.id)
    return folder / LOG
