"""The table of jobs: what was asked for, who holds it, how it ended. A run is the job kind `train`.

Many processes write here (pages, command line, supervisor, workers), so each change is one short transaction that names
the state it expects and must change exactly one row; a writer whose lease has passed on changes none and learns it.
The journal is a rollback journal with full synchronisation: what was accepted survives a power cut, and SQLite's WAL mode,
which had a rare corrupting race with several writers until 3.51.3, is not used. Not here: reading (`registry_reading.py`),
heartbeats and what a run measured (`metrics.py`).
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from llm_core.config.errors import Refused
from llm_core.workspace import registry_file
from llm_core.workspace.job_record import (
    FAILED,
    FINAL,
    FINISHED,
    HELD,
    JOB_KINDS,
    PAUSED,
    QUEUED,
    RUNNING,
    STARTING,
    STATES,
    STOPPED,
    TRANSITIONS,
    JobRecord,
)
from llm_core.workspace.json_files import json_text, read_json, write_json
from llm_core.workspace.leases import new_token
from llm_core.workspace.paths import check_name, safe_join
from llm_core.workspace.process_identity import ProcessIdentity
from llm_core.workspace.queue_order import end_place, front_place, place_before
from llm_core.workspace.registry_reading import RegistryReader
from llm_core.workspace.registry_rows import (
    change_one,
    check_name_is_free,
    get_record,
    held_record,
    marks,
    record_from_row,
)
from llm_core.workspace.run_colors import next_style

MAXIMUM_ATTEMPTS = 3

_NO_LEASE: dict[str, Any] = {"owner": None, "lease_token": None, "gpus": "[]"}


class Registry(RegistryReader):
    """The registry of one workspace over one connection; threads may share it, processes open their own.

    Raises, from every method: LeaseLost when `token` is no longer the job's; NotFound for an id that does not exist;
    Refused when the state does not allow it; RegistryUnavailable when the file cannot be reached, nothing having happened.
    """

    def add(
        self,
        kind: str,
        name: str,
        config: Mapping[str, Any],
        *,
        state: str = QUEUED,
        foreground: bool = False,
        once: str | None = None,
        max_attempts: int = MAXIMUM_ATTEMPTS,
        result: Mapping[str, Any] | None = None,
        prepare: Callable[[str], None] | None = None,
    ) -> JobRecord:
        """A new job, on the disk before this returns.

        Args:
            state: `queued`, or a final state for a job whose work is already done (an imported model).
            foreground: the caller runs it itself; the supervisor leaves it alone.
            once: a key of the caller's intention (a form shown once, say). The second call with the same key returns the
                job that the first one made, so that a double click makes one run.
            result: what is known of a job whose work is already done.
            prepare: called with the new id before anybody can see the job, to put files in its place. When it fails
                there is no job, and what it left in the job's run folder is cleared away.

        Raises:
            NameTaken: a run has this name, or another unfinished job of this kind.
        """
        assert kind in JOB_KINDS and state in (QUEUED, *FINAL), (kind, state)
        check_name(name)
        now = time.time()
        job_id = secrets.token_hex(5)
        with self._writing() as connection:
            if once is not None:
                row = connection.execute("SELECT * FROM jobs WHERE once = ?", (once,)).fetchone()
                if row is not None:
                    return record_from_row(row)
            check_name_is_free(connection, kind, name)
            color, dash = "", ""
            if kind == "train":
                styles = connection.execute("SELECT color, dash FROM jobs WHERE kind = 'train'")
                color, dash = next_style((row["color"], row["dash"]) for row in styles)
            connection.execute(
                "INSERT INTO jobs (id, kind, name, state, config, created_at, queued_at, ended_at, max_attempts, color, dash,"
                " foreground, once, result, place) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(job_id, kind, name, state, json_text(config), now, now, now if state in FINAL else None),
                    *(max_attempts, color, dash, int(foreground), once, json_text(result or {})),
                    end_place(connection),
                ),
            )
            if prepare is not None:
                self._prepare(job_id, prepare)
            return get_record(connection, job_id)

    def adopt(self, run_id: str) -> JobRecord | None:
        """Take in a run whose folder somebody put among the runs; None where that folder holds none. One that is known stays as it is."""
        with self._writing() as connection:
            known = connection.execute("SELECT 1 FROM jobs WHERE id = ?", (run_id,)).fetchone() is not None
            if not known and not registry_file.add_copied_run(connection, safe_join(self.workspace.runs, run_id)):
                return None
            return get_record(connection, run_id)

    def claim(
        self,
        owner: ProcessIdentity,
        kinds: Collection[str],
        job_id: str | None = None,
        *,
        assign: Callable[[JobRecord], Collection[str] | None] | None = None,
    ) -> JobRecord | None:
        """Take the first queued job of these kinds, or exactly `job_id`; None when there is none to take.

        The job becomes `starting` with a new lease token and one more attempt. Without `job_id`, jobs that somebody runs in
        the foreground are left alone.

        Args:
            assign: given the job, the GPUs it gets; None leaves it, and all behind it, in the queue.
        """
        chosen = "id = ?" if job_id is not None else "foreground = 0"
        values: list[str] = [*kinds, *([job_id] if job_id is not None else [])]
        with self._writing() as connection:
            row = connection.execute(
                f"SELECT * FROM jobs WHERE state = 'queued' AND kind IN ({marks(kinds)}) AND {chosen}"
                " ORDER BY place, rowid LIMIT 1",
                values,
            ).fetchone()
            if row is None:
                return None
            gpus = () if assign is None else assign(record_from_row(row))
            if gpus is None:
                return None
            number = row["leases"] + 1
            taken = connection.execute(
                "UPDATE jobs SET state = 'starting', reason = '', remedy = '', owner = ?, lease_token = ?, leases = ?,"
                " attempts = attempts + 1, ended_at = NULL, gpus = ? WHERE id = ? AND state = 'queued' RETURNING *",
                (json_text(owner.to_json()), new_token(number), number, json_text(list(gpus)), row["id"]),
            ).fetchall()
            assert len(taken) == 1, "the job was seen queued in this very transaction"
            return record_from_row(taken[0])

    def hand_over(self, job_id: str, token: str, owner: ProcessIdentity) -> JobRecord:
        """Name the process that now works under this lease: the worker, after the supervisor that claimed for it."""
        with self._writing() as connection:
            change_one(connection, job_id, token, {"owner": json_text(owner.to_json())})
            return get_record(connection, job_id)

    def move(
        self,
        job_id: str,
        to: str,
        *,
        token: str | None = None,
        expect: str | Collection[str] | None = None,
        reason: str = "",
        remedy: str = "",
        result: Mapping[str, Any] | None = None,
    ) -> JobRecord:
        """Bring a job to another state.

        A move to `queued`, `paused` or a final state ends the lease, so that its holder can write no more.

        Args:
            token: the lease under which the caller acts; without one the caller acts as supervisor or as the person.
            expect: the state or states the caller believes the job to be in; in another one the move is refused.
            result: merged into the job's result.
        """
        assert to in STATES and to != STARTING, to
        expected = {expect} if isinstance(expect, str) else expect
        with self._writing() as connection:
            record = held_record(connection, job_id, token)
            if to not in TRANSITIONS[record.state] or (expected is not None and record.state not in expected):
                raise Refused(f"A job that is {record.state} cannot become {to}", value=f"{record.name} ({record.id})")
            changes: dict[str, Any] = {"state": to, "reason": reason, "remedy": remedy}
            if result is not None:
                changes["result"] = json_text({**record.result, **result})
            if to == RUNNING and record.started_at is None:
                changes["started_at"] = time.time()
            if to not in HELD:
                changes |= _NO_LEASE
            if to == QUEUED:
                changes |= {"queued_at": time.time(), "place": front_place(connection)}
            if to in FINAL:
                changes["ended_at"] = time.time()
            change_one(connection, job_id, token, changes, state=record.state)
            return get_record(connection, job_id)

    def requeue(self, job_id: str, token: str, reason: str, remedy: str = "Resume it to go on") -> JobRecord:
        """Give a job whose worker is gone back to the queue, before the others: it had begun.

        After its last attempt, or when a person ran it in the foreground (nobody else would start it), it ends as `failed`.
        """
        with self._writing() as connection:
            record = held_record(connection, job_id, token)
            if record.state not in HELD:
                raise Refused(f"A job that is {record.state} has no worker to lose", value=job_id)
            if record.foreground:
                return self.move(job_id, FAILED, token=token, reason=reason, remedy=remedy)
            if record.attempts >= record.max_attempts:
                times = "once" if record.attempts == 1 else f"{record.attempts} times"
                return self.move(
                    *(job_id, FAILED),
                    token=token,
                    reason=f"{reason} It was tried {times}.",
                    remedy=remedy,
                )
            return self.move(job_id, QUEUED, token=token, reason=reason)

    def resume(
        self,
        job_id: str,
        *,
        foreground: bool = False,
        even_finished: bool = False,
        fresh_attempts: bool = True,
        prepare: Callable[[], object] | None = None,
    ) -> JobRecord:
        """Put an ended or paused job, or one whose worker is gone, back into the queue with fresh attempts.

        A paused job, and one that nobody wanted to end, keep their place before the others. The others wait at the end.

        Args:
            even_finished: also one that has finished (a run that is rolled back has something to do again).
            fresh_attempts: False where no person asks for it, so that it cannot go on for ever.
            prepare: called before anybody can take the job, and only when it is not refused.

        Raises:
            Refused: it is finished, is queued already, or a live worker holds it (the message names its pid).
        """
        with self._writing() as connection:
            record = get_record(connection, job_id)
            value = f"{record.name} ({record.id})"
            if record.state == FINISHED and not even_finished:
                raise Refused("A finished run cannot go on", value=value, remedy="Start a new run with a larger budget")
            if record.state == QUEUED:
                raise Refused("It is waiting in the queue already", value=value, remedy="Wait until it starts")
            if record.is_held:
                assert record.owner is not None
                what = f"It is {record.state} in process {record.owner.pid}"
                raise Refused(what, value=value, remedy=f"Stop it first: glassbox stop {record.name}")
            changes: dict[str, Any] = {"state": QUEUED, "reason": "", "remedy": "", "ended_at": None}
            changes |= {"attempts": 0} if fresh_attempts else {}
            is_next = record.state == PAUSED or not fresh_attempts
            place = front_place(connection) if is_next else end_place(connection)
            changes |= {**_NO_LEASE, "foreground": int(foreground), "queued_at": time.time(), "place": place}
            change_one(connection, job_id, None, changes, state=record.state)
            if prepare is not None:
                prepare()
            return get_record(connection, job_id)

    def cancel(self, job_id: str) -> JobRecord:
        """End a job that no worker has: `stopped`, reason "cancelled" for one that waits. Refused once a worker has it."""
        with self._writing() as connection:
            paused = get_record(connection, job_id).state == PAUSED
            reason = "Stopped while it was paused." if paused else "cancelled"
            return self.move(job_id, STOPPED, expect=(QUEUED, PAUSED), reason=reason)

    def move_in_queue(self, job_id: str, *, before: str | None = None) -> JobRecord:
        """Let a job wait right before another one, or at the end. Refused when either does not wait any more."""
        with self._writing() as connection:
            _still_waiting(get_record(connection, job_id))
            if before is None or before == job_id:
                place = end_place(connection) if before is None else None
            else:
                _still_waiting(get_record(connection, before))
                place = place_before(connection, before, job_id)
            if place is not None:
                change_one(connection, job_id, None, {"place": place}, state=QUEUED)
            return get_record(connection, job_id)

    def move_to_front(self, job_id: str) -> JobRecord:
        """Let a job be the next. Refused when it does not wait any more."""
        with self._writing() as connection:
            _still_waiting(get_record(connection, job_id))
            change_one(connection, job_id, None, {"place": front_place(connection)}, state=QUEUED)
            return get_record(connection, job_id)

    def edit_queued(self, job_id: str, config: Mapping[str, Any]) -> JobRecord:
        """Give a job that waits other settings, and another name where they hold one; it keeps its place.

        Raises:
            Refused: a worker has it, or had it before: what it has done was done under its old settings.
            NameTaken: as for `add`.
        """
        with self._writing() as connection:
            record = get_record(connection, job_id)
            check_editable(record)
            name = str(config.get("name") or record.name)
            check_name(name)
            if name != record.name:
                check_name_is_free(connection, record.kind, name)
            changes = {"name": name, "config": json_text(config)}
            change_one(connection, job_id, None, changes, state=QUEUED)
            if record.kind == "train":
                self._save_config(job_id, {**config, "name": name})
            return get_record(connection, job_id)

    def set_result(self, job_id: str, token: str, result: Mapping[str, Any]) -> JobRecord:
        """Merge values into the job's result; NaN becomes null."""
        with self._writing() as connection:
            record = held_record(connection, job_id, token)
            change_one(connection, job_id, token, {"result": json_text({**record.result, **result})})
            return get_record(connection, job_id)

    def rename(self, job_id: str, name: str) -> JobRecord:
        """Give a job another name, in its configuration too, so that a rebuilt registry knows it."""
        check_name(name)
        with self._writing() as connection:
            record = get_record(connection, job_id)
            if name == record.name:
                return record
            check_name_is_free(connection, record.kind, name)
            config = {**record.config, "name": name} if "name" in record.config else record.config
            change_one(connection, job_id, None, {"name": name, "config": json_text(config)})
            if record.kind == "train":
                self._save_config(job_id, {"name": name})
            return get_record(connection, job_id)

    def delete(self, job_id: str, remove: Callable[[], None] | None = None) -> JobRecord:
        """Forget a job; returns what it was. `remove` takes its files away, after the check and before the commit.

        Raises:
            Refused: a worker holds it.
        """
        with self._writing() as connection:
            record = get_record(connection, job_id)
            if record.is_held:
                what = f"A run cannot be deleted while it is {record.state}"
                raise Refused(what, value=f"{record.name} ({record.id})", remedy="Stop it first")
            if remove is not None:
                remove()
            gone = connection.execute("DELETE FROM jobs WHERE id = ? AND state = ?", (job_id, record.state))
            assert gone.rowcount == 1, "the job was seen in this very transaction"
            return record

    def note(self, kind: str, message: str, job_id: str | None = None) -> None:
        """Keep a visible event: something that a person should learn and that belongs to no running worker."""
        with self._writing() as connection:
            registry_file.add_event(connection, kind, message, job_id)

    def _save_config(self, run_id: str, changes: Mapping[str, Any]) -> None:
        """Keep the run's own file of settings in step, where there is one already."""
        path = safe_join(self.workspace.runs, run_id, "config.json")
        saved = read_json(path)
        if saved is not None:
            write_json(path, {**saved, **changes})

    def _prepare(self, job_id: str, prepare: Callable[[str], None]) -> None:
        try:
            prepare(job_id)
        except BaseException:
            shutil.rmtree(safe_join(self.workspace.runs, job_id), ignore_errors=True)
            raise


def check_editable(record: JobRecord) -> None:
    """Raise Refused for a job whose settings cannot be changed: it does not wait, or it was begun with them."""
    _still_waiting(record)
    if record.started_at is not None:
        remedy = "Fork it from one of its checkpoints, with the changes"
        raise Refused("It has begun already and goes on with its settings", value=record.name, remedy=remedy)


def _still_waiting(record: JobRecord) -> None:
    if record.state != QUEUED:
        what = "It does not wait in the queue any more"
        raise Refused(what, value=f"{record.name} is {record.state}", remedy="Look at the queue again")
