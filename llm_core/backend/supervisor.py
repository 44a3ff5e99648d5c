"""The supervisor: one process per workspace that gives queued jobs to workers and takes back what dead workers held.

It holds a file lock, so there is never a second one; it only reads leases and adopts workers that live already, so it may be killed and
started again at any time. Not here: doing jobs (`worker.py`), starting processes (`launcher.py`).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import FrameType

from llm_core.backend.launcher import start_worker
from llm_core.config.errors import UserError
from llm_core.config.timing import Timing
from llm_core.workspace.job_progress import read_progress
from llm_core.workspace.job_record import FINAL, HELD, JOB_KINDS, PAUSED, QUEUED, JobRecord
from llm_core.workspace.leases import LeaseLost
from llm_core.workspace.locks import FileLock, is_locked
from llm_core.workspace.metrics import seal_metrics
from llm_core.workspace.metrics_read import heartbeat
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.process_identity import identify, this_process
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import run_folder

# One training at a time; short jobs run beside it.
_TRAINING_SLOTS = 1
_SHORT_JOB_SLOTS = 2
_SHORT_KINDS = tuple(kind for kind in JOB_KINDS if kind != "train")


@dataclass
class _Watched:
    """What the supervisor remembers of a held job between two looks."""

    seen_since: float = field(default_factory=time.monotonic)
    terminated_at: float | None = None
    killed: bool = False


class Supervisor:
    """Looks at the registry every `poll_seconds`."""

    def __init__(self, workspace: Workspace, timing: Timing) -> None:
        self.workspace = workspace
        self.timing = timing
        self._watched: dict[tuple[str, str], _Watched] = {}
        self._training: set[str] = set()
        with Registry(workspace) as registry:
            # A page may have been reading when the last supervisor was there.
            self._unsealed = {record.id for record in registry.jobs("train", [*FINAL, PAUSED])}

    def look(self) -> bool:
        """One round: judge leases, start what fits. True while there is anything to do."""
        with Registry(self.workspace) as registry:
            held = registry.jobs(states=HELD)
            for record in held:
                self._judge(registry, record)
            self._start(registry, ("train",), _TRAINING_SLOTS)
            self._start(registry, _SHORT_KINDS, _SHORT_JOB_SLOTS)
            open_jobs = registry.jobs(states=[*HELD, QUEUED])
        training = {record.id for record in open_jobs if record.kind == "train" and record.state in HELD}
        # A worker seals its run itself, except while a page reads it, or when it died.
        self._unsealed = (self._unsealed | self._training) - training
        self._training = training
        held_leases = {(record.id, record.lease_token) for record in open_jobs}
        self._watched = {key: watched for key, watched in self._watched.items() if key in held_leases}
        self._unsealed = {run_id for run_id in self._unsealed if not seal_metrics(run_folder(self.workspace, run_id))}
        return any(not record.foreground for record in open_jobs)

    def _start(self, registry: Registry, kinds: Sequence[str], slots: int) -> None:
        busy = sum(1 for record in registry.jobs(states=HELD) if record.kind in kinds)
        while busy < slots:
            record = registry.claim(this_process(), kinds)
            if record is None:
                return
            assert record.lease_token is not None
            child = start_worker(self.workspace, record)
            owner = identify(child.pid)
            if owner is not None:
                with contextlib.suppress(LeaseLost):  # a very short job may be done before we name its worker
                    registry.hand_over(record.id, record.lease_token, owner)
            busy += 1

    def _judge(self, registry: Registry, record: JobRecord) -> None:
        """Free the lease of a dead worker at once, of a silent one after it was ended."""
        token, owner = record.lease_token, record.owner
        assert token is not None
        watched = self._watched.setdefault((record.id, token), _Watched())
        try:
            if owner is None or not owner.alive():
                registry.requeue(record.id, token, "The worker process ended without a word.")
                return
        except LeaseLost:
            return  # the worker ended in order between our two looks
        if record.foreground or owner.pid == os.getpid() or not self._is_silent(record, watched):
            return
        now = time.monotonic()
        if watched.terminated_at is None:
            watched.terminated_at = now
            registry.note("silent", f"{record.name}: no sign of life, asking process {owner.pid} to end", record.id)
            owner.send_signal(signal.SIGTERM)
        elif not watched.killed and now - watched.terminated_at > self.timing.term_grace_seconds:
            watched.killed = True
            owner.send_signal(signal.SIGKILL)

    def _is_silent(self, record: JobRecord, watched: _Watched) -> bool:
        """Whether the worker has been quiet for too long; one that has just started may take longer, it loads its libraries."""
        since_seen = time.monotonic() - watched.seen_since
        if record.kind == "train":
            beat = heartbeat(run_folder(self.workspace, record.id))
            written_at = None if beat is None else beat.written_at
        else:
            progress = read_progress(self.workspace, record.id)
            written_at = None if progress is None else progress.get("written_at")
        silence = since_seen if written_at is None else min(since_seen, time.time() - written_at)
        if silence >= since_seen:  # not one sign of life since this supervisor first saw it
            return silence > self.timing.start_seconds
        return silence > self.timing.lease_seconds


def run_supervisor(workspace: Workspace, timing: Timing) -> int:
    """Hold the lock and look until idle; returns the exit status. A second supervisor leaves at once."""
    lock = FileLock(workspace.supervisor_lock)
    if not lock.try_acquire():
        return 0
    stopping = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    supervisor = Supervisor(workspace, timing)
    busy_at = time.monotonic()
    with lock:
        while not stopping:
            if supervisor.look() or is_locked(workspace.web_lock):
                busy_at = time.monotonic()
            elif time.monotonic() - busy_at > timing.idle_seconds:
                break
            time.sleep(timing.poll_seconds)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of the process."""
    parser = argparse.ArgumentParser(prog="glassbox supervisor", description="Gives queued jobs to workers.")
    parser.add_argument("--workspace", required=True)
    options = parser.parse_args(arguments)
    try:
        return run_supervisor(open_workspace(options.workspace), Timing.from_environment())
    except UserError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
