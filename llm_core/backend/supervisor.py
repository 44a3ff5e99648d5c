"""The supervisor: one process per workspace that gives queued jobs to workers and takes back what dead workers held.

It holds a file lock, so there is never a second one; it only reads leases and adopts workers that live already, so it may be killed and
started again at any time. Not here: doing jobs (`worker.py`), starting processes (`launcher.py`), which GPU is whose (`device_slots.py`).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass
from threading import Thread
from types import FrameType

from llm_core.backend.device_slots import assign_gpus, visible_gpus
from llm_core.backend.endings import ASKED_TO_END, SILENT_WORDS, last_words
from llm_core.backend.launcher import start_worker
from llm_core.backend.notices import tell_ending
from llm_core.backend.process_log import say
from llm_core.config.errors import NotFound, Refused, UserError
from llm_core.config.slots import Slots
from llm_core.config.timing import Timing
from llm_core.workspace.adopted_runs import CopiedRuns
from llm_core.workspace.job_progress import read_progress
from llm_core.workspace.job_record import FINAL, HELD, JOB_KINDS, PAUSED, QUEUED, STOPPED, JobRecord
from llm_core.workspace.leases import LeaseLost
from llm_core.workspace.locks import FileLock, is_locked
from llm_core.workspace.metrics import seal_metrics
from llm_core.workspace.metrics_read import heartbeat
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.process_identity import identify, this_process
from llm_core.workspace.registry import Registry
from llm_core.workspace.registry_connection import RegistryUnavailable
from llm_core.workspace.runs import run_folder

_SHORT_KINDS = tuple(kind for kind in JOB_KINDS if kind != "train")


@dataclass
class _Watched:
    """What the supervisor remembers of a held job between two looks.

    Silence is counted in the time that the supervisor itself was awake, from one sign of life to another one: no clock that is set, and
    no machine that slept, makes a worker look dead.
    """

    looked_at: float | None = None
    sign_of_life: float | None = None
    has_shown_life: bool = False
    silent_seconds: float = 0.0
    terminated_at: float | None = None
    killed: bool = False


class Supervisor:
    """Looks at the registry every `poll_seconds`.

    Args:
        registry: stays open as long as the supervisor looks.
        gpus: those that trainings may use, as CUDA_VISIBLE_DEVICES names them.
    """

    def __init__(self, registry: Registry, timing: Timing, slots: Slots, gpus: Sequence[str] = ()) -> None:
        self.workspace = registry.workspace
        self.timing = timing
        self.gpus = tuple(gpus)
        self.training_slots = slots.training_slots or max(1, len(self.gpus))
        self.short_job_slots = slots.short_job_slots
        self._registry = registry
        self._watched: dict[tuple[str, str], _Watched] = {}
        # Workers that this supervisor started itself, by their lease: of these it learns how they ended.
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._training: set[str] = set()
        self._faults: set[str] = set()
        self._resting: dict[str, float] = {}
        self._copied = CopiedRuns(self.workspace)
        # A page may have been reading when the last supervisor was there.
        self._unsealed = {record.id for record in registry.jobs("train", [*FINAL, PAUSED])}

    def look(self) -> bool:
        """One round: judge leases, start what fits. True while there is anything to do.

        Raises:
            RegistryUnavailable: another program holds the file; the next look may be luckier.
        """
        for record in self._registry.jobs(states=HELD):
            with self._fault_said_once(record.id):
                self._judge(record)
        with self._fault_said_once("copied runs"):
            self._copied.take_in(self._registry)
        while self._start_training():
            pass
        while self._start_short_job():
            pass
        open_jobs = self._registry.jobs(states=[*HELD, QUEUED, PAUSED])
        self._tell_what_was_stopped_at_rest(open_jobs)
        training = {record.id for record in open_jobs if record.kind == "train" and record.state in HELD}
        # A worker seals its run itself, except while a page reads it, or when it died.
        self._unsealed = (self._unsealed | self._training) - training
        self._training = training
        held_leases = {(record.id, record.lease_token) for record in open_jobs}
        for key, watched in self._watched.items():
            if watched.terminated_at is not None and key not in held_leases:
                self._take_back(key[0])
        self._watched = {key: watched for key, watched in self._watched.items() if key in held_leases}
        tokens = {record.lease_token for record in open_jobs}
        self._children = {token: child for token, child in self._children.items() if token in tokens}
        self._unsealed = {run_id for run_id in self._unsealed if not self._seal(run_id)}
        return any(record.state != PAUSED and not record.foreground for record in open_jobs)

    def _tell_what_was_stopped_at_rest(self, open_jobs: Sequence[JobRecord]) -> None:
        """A run that is paused, or waits to go on, has no worker to tell its webhook that somebody has stopped it.

        One that never began has no end that anybody waits for. What was stopped while no supervisor was there is not told.
        """
        for run_id in self._resting.keys() - {record.id for record in open_jobs}:
            with contextlib.suppress(NotFound):  # deleted as well
                record = self._registry.get(run_id)
                # Queued anew it got a worker, which has told.
                if record.state == STOPPED and record.queued_at == self._resting[run_id]:
                    Thread(target=_tell, args=(record,), daemon=True).start()
        self._resting = {
            record.id: record.queued_at
            for record in open_jobs
            if record.kind == "train"
            and (record.state == PAUSED or (record.state == QUEUED and record.started_at and not record.foreground))
        }

    def _seal(self, run_id: str) -> bool:
        """Whether this run needs no further look: its file is sealed, or cannot be touched at all."""
        with self._fault_said_once(run_id):
            return seal_metrics(run_folder(self.workspace, run_id))
        return True

    @contextlib.contextmanager
    def _fault_said_once(self, place: str) -> Generator[None]:
        """One run whose files cannot be read must not keep the others from their turn: it is noted, and the look goes on."""
        try:
            yield
        except RegistryUnavailable:
            raise
        except (UserError, OSError, sqlite3.Error) as error:
            if place not in self._faults:
                self._faults.add(place)
                self._registry.note("unreadable", f"{place}: {error}")

    def _take_back(self, run_id: str) -> None:
        """A silent worker that woke up when it was asked to end has stopped its run in good order; but nobody wanted that."""
        with contextlib.suppress(NotFound, Refused):
            record = self._registry.get(run_id)
            was_ours = record.kind == "train" and record.state == STOPPED and record.reason == ASKED_TO_END
            if was_ours and not record.foreground and record.attempts < record.max_attempts:
                self._registry.resume(run_id, fresh_attempts=False)
                self._registry.note("silent", f"{record.name}: its worker woke up and stopped; it goes on anew", run_id)

    def _start_training(self) -> bool:
        training = self._registry.jobs("train", HELD)

        def assign(record: JobRecord) -> Collection[str] | None:
            return assign_gpus(record.config, training, self.gpus, self.training_slots)

        return self._started(self._registry.claim(this_process(), ("train",), assign=assign))

    def _start_short_job(self) -> bool:
        busy = sum(1 for record in self._registry.jobs(states=HELD) if record.kind != "train")
        if busy >= self.short_job_slots:
            return False
        return self._started(self._registry.claim(this_process(), _SHORT_KINDS))

    def _started(self, record: JobRecord | None) -> bool:
        if record is None:
            return False
        assert record.lease_token is not None
        child = start_worker(self.workspace, record)
        self._children[record.lease_token] = child
        owner = identify(child.pid)
        with contextlib.suppress(LeaseLost):  # a very short job may be done before we name its worker
            if owner is None:
                words = last_words(self._exit_status(record.lease_token))
                self._registry.requeue(record.id, record.lease_token, *words)
            else:
                self._registry.hand_over(record.id, record.lease_token, owner)
        return True

    def _exit_status(self, token: str) -> int | None:
        """Of a dead worker that this supervisor started; None where another one did."""
        with contextlib.suppress(KeyError, subprocess.TimeoutExpired):
            # Another thread collects it, a moment after the process is gone.
            return self._children[token].wait(1)
        return None

    def _judge(self, record: JobRecord) -> None:
        """Free the lease of a dead worker at once, of a silent one after it was ended."""
        token, owner = record.lease_token, record.owner
        assert token is not None
        watched = self._watched.setdefault((record.id, token), _Watched())
        try:
            if owner is None or not owner.alive():
                words = SILENT_WORDS if watched.terminated_at is not None else last_words(self._exit_status(token))
                given_back = self._registry.requeue(record.id, token, *words)
                Thread(target=_tell, args=(given_back,), daemon=True).start()
                return
        except LeaseLost:
            return  # the worker ended in order between our two looks
        if record.foreground or owner.pid == os.getpid() or not self._is_silent(record, watched):
            return
        if not owner.was_started_with(str(self.workspace.root)):
            # A workspace that was copied while a run went on names a process that works for the original.
            with contextlib.suppress(LeaseLost):
                self._registry.requeue(record.id, token, "Its worker belongs to another workspace.")
            return
        now = time.monotonic()
        if watched.terminated_at is None:
            watched.terminated_at = now
            self._registry.note(
                "silent", f"{record.name}: no sign of life, asking process {owner.pid} to end", record.id
            )
            owner.send_signal(signal.SIGTERM)
        elif not watched.killed and now - watched.terminated_at > self.timing.term_grace_seconds:
            watched.killed = True
            owner.send_signal(signal.SIGKILL)

    def _is_silent(self, record: JobRecord, watched: _Watched) -> bool:
        """Whether the worker has been quiet for too long; one that has just started may take longer, it loads its libraries."""
        if record.kind == "train":
            beat = heartbeat(run_folder(self.workspace, record.id))
            written_at = None if beat is None else beat.written_at
        else:
            progress = read_progress(self.workspace, record.id)
            written_at = None if progress is None else progress.get("written_at")
        now = time.monotonic()
        if watched.looked_at is None:
            watched.sign_of_life = written_at  # perhaps one that a former worker left
        elif written_at != watched.sign_of_life:
            watched.sign_of_life, watched.has_shown_life, watched.silent_seconds = written_at, True, 0.0
        else:
            # A supervisor that was itself away for long heard nothing in that time.
            watched.silent_seconds += min(now - watched.looked_at, self.timing.lease_seconds / 4)
        watched.looked_at = now
        limit = self.timing.lease_seconds if watched.has_shown_life else self.timing.start_seconds
        return watched.silent_seconds > limit


def _tell(record: JobRecord) -> None:
    """A run that has no worker any more tells its webhook as well, beside the supervisor's work."""
    if told := tell_ending(record):
        say(told)


def run_supervisor(workspace: Workspace, timing: Timing, slots: Slots) -> int:
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
    busy_at = time.monotonic()
    with lock, Registry(workspace) as registry:
        supervisor = Supervisor(registry, timing, slots, visible_gpus())
        while not stopping:
            if look_patiently(supervisor) or is_locked(workspace.web_lock):
                busy_at = time.monotonic()
            elif time.monotonic() - busy_at > timing.idle_seconds:
                break
            time.sleep(timing.poll_seconds)
    return 0


def look_patiently(supervisor: Supervisor) -> bool:
    """One look; where the registry cannot be reached that is said, and the next look may be luckier."""
    try:
        return supervisor.look()
    except RegistryUnavailable as error:
        say(error)
        return False


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of the process."""
    parser = argparse.ArgumentParser(prog="glassbox supervisor", description="Gives queued jobs to workers.")
    parser.add_argument("--workspace", required=True)
    options = parser.parse_args(arguments)
    try:
        return run_supervisor(open_workspace(options.workspace), Timing.from_environment(), Slots.from_environment())
    except UserError as error:
        say(error)
        return 2


if __name__ == "__main__":
    sys.exit(main())
