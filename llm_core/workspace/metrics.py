"""Writing what a run measures: points, events, samples, probes, acknowledgements, heartbeat, in the run's metrics.db.

One process writes, over one connection, and only while its lease is the one named in the file: the token is compared in the
same transaction as each commit, so a worker that was taken for dead and wakes up changes nothing. WAL with NORMAL
synchronisation: a commit costs little and a killed process loses nothing that was committed (a power cut may lose the last
commits). SQLite's WAL race needs two writing connections, which this file never has. Not here: reading (`metrics_read.py`).
"""

from __future__ import annotations

import math
import sqlite3
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from llm_core.config.errors import UserError
from llm_core.workspace.json_files import json_text
from llm_core.workspace.leases import LeaseLost, supersedes
from llm_core.workspace.process_identity import this_process
from llm_core.workspace.transactions import transaction

FILE_NAME = "metrics.db"
SCHEMA_VERSION = 1
BUSY_SECONDS = 10.0
JOURNAL_BYTES = 16 * 2**20
NUMBER, NAN = "number", "nan"
STATE_EVENT = "state"

_TABLES = (
    # SQLite stores NaN as NULL; `kind` keeps what it was.
    "CREATE TABLE points (id INTEGER PRIMARY KEY, segment INTEGER NOT NULL, key TEXT NOT NULL, step INTEGER NOT NULL,"
    " tokens INTEGER NOT NULL, seconds REAL NOT NULL, value REAL, kind TEXT NOT NULL)",
    "CREATE INDEX points_by_key ON points (key, id)",
    "CREATE TABLE segments (id INTEGER PRIMARY KEY, parent INTEGER, from_step INTEGER NOT NULL, token TEXT NOT NULL,"
    " at REAL NOT NULL)",
    "CREATE TABLE events (id INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, message TEXT NOT NULL,"
    " step INTEGER, data TEXT NOT NULL)",
    "CREATE TABLE samples (id INTEGER PRIMARY KEY, at REAL NOT NULL, segment INTEGER, step INTEGER NOT NULL,"
    " prompt TEXT NOT NULL, text TEXT NOT NULL, data TEXT NOT NULL)",
    "CREATE TABLE probes (id INTEGER PRIMARY KEY, at REAL NOT NULL, segment INTEGER, step INTEGER NOT NULL,"
    " key TEXT NOT NULL, payload BLOB NOT NULL)",
    "CREATE TABLE acks (id INTEGER PRIMARY KEY, at REAL NOT NULL, command_id TEXT NOT NULL UNIQUE, accepted INTEGER NOT NULL,"
    " step INTEGER NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL, reason TEXT NOT NULL)",
    "CREATE TABLE lease (id INTEGER PRIMARY KEY CHECK (id = 1), token TEXT NOT NULL, owner TEXT NOT NULL,"
    " taken_at REAL NOT NULL)",
    "CREATE TABLE heartbeat (id INTEGER PRIMARY KEY CHECK (id = 1), written_at REAL NOT NULL, progress TEXT NOT NULL)",
)

_Statement = tuple[str, tuple[Any, ...]]


class MetricsWriter:
    """The one writer of a run's metrics.db; opening it takes the lease there. Threads of the process may share it.

    What `point`, `event`, `sample`, `probe` and `record_state` are given waits in memory until `commit`; the others commit.

    Raises:
        UserError: at opening, when a newer version wrote the file.
        LeaseLost: at opening when a newer lease is named there, later when the file names another than ours.
        OSError, sqlite3.OperationalError: the disk is full or unwritable; what was waiting is kept for the next commit.
    """

    def __init__(self, run_folder: Path, lease_token: str) -> None:
        self._token = lease_token
        self._lock = threading.RLock()
        self._waiting: list[_Statement] = []
        self._segment: int | None = None
        run_folder.mkdir(parents=True, exist_ok=True)
        self._connection = _open_or_set_aside(run_folder / FILE_NAME)
        try:
            self._take_lease()
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> MetricsWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def point(self, key: str, step: int, tokens: int, seconds: float, value: float) -> None:
        """One measured value. NaN is kept as such; infinities are ordinary values.

        Args:
            step: number of the optimizer update it belongs to.
            tokens: tokens trained on so far.
            seconds: training time so far, without pauses, summed over attempts.
        """
        number = float(value)
        is_nan = math.isnan(number)
        with self._lock:
            values = (self._current_segment(), key, int(step), int(tokens), float(seconds), None if is_nan else number)
            self._wait(
                "INSERT INTO points (segment, key, step, tokens, seconds, value, kind) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*values, NAN if is_nan else NUMBER),
            )

    def event(self, kind: str, message: str, step: int | None = None, data: Mapping[str, Any] | None = None) -> None:
        """Something worth telling: a checkpoint, a warning, a skipped file."""
        values = (time.time(), kind, message, step, json_text(data or {}))
        self._wait("INSERT INTO events (at, kind, message, step, data) VALUES (?, ?, ?, ?, ?)", values)

    def record_state(
        self, state: str, *, reason: str = "", remedy: str = "", result: Mapping[str, Any] | None = None
    ) -> None:
        """The state the run enters, beside the registry's word, so that the run folder alone tells how the run ended."""
        self.event(
            STATE_EVENT,
            reason or state,
            data={"state": state, "reason": reason, "remedy": remedy, "result": result or {}},
        )

    def sample(self, step: int, prompt: str, text: str, data: Mapping[str, Any] | None = None) -> None:
        """Text that the model wrote after `step` updates; `data` tells how it was sampled."""
        with self._lock:
            values = (time.time(), self._current_segment(), step, prompt, text, json_text(data or {}))
            self._wait("INSERT INTO samples (at, segment, step, prompt, text, data) VALUES (?, ?, ?, ?, ?, ?)", values)

    def probe(self, step: int, key: str, payload: bytes) -> None:
        """A small array (attention of a fixed text, a histogram) as bytes, the caller's encoding."""
        with self._lock:
            values = (time.time(), self._current_segment(), step, key, payload)
            self._wait("INSERT INTO probes (at, segment, step, key, payload) VALUES (?, ?, ?, ?, ?)", values)

    def ack(
        self, command_id: str, accepted: bool, step: int, before: object = None, after: object = None, reason: str = ""
    ) -> None:
        """The answer to a command: done or refused, at which step, what changed. Commits."""
        values = (time.time(), command_id, int(accepted), step, json_text(before), json_text(after), reason)
        self._wait(
            "INSERT OR REPLACE INTO acks (at, command_id, accepted, step, before, after, reason)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            values,
        )
        self.commit()

    def heartbeat(self, progress: Mapping[str, Any]) -> None:
        """Say that the worker lives and how far it is. Commits, together with everything that waits."""
        self._wait("INSERT OR REPLACE INTO heartbeat VALUES (1, ?, ?)", (time.time(), json_text(progress)))
        self.commit()

    def begin_segment(self, parent: int | None, from_step: int) -> int:
        """Start a stretch of the curve that goes on from `parent` after `from_step` updates; later points belong to it.

        What the parent holds beyond `from_step` stays in the file and is no longer part of the run (`surviving`). Commits.
        """
        with self._lock:
            self.commit()
            values = (parent, from_step, self._token, time.time())
            with transaction(self._connection):
                self._check_lease()
                cursor = self._connection.execute(
                    "INSERT INTO segments (parent, from_step, token, at) VALUES (?, ?, ?, ?)", values
                )
            assert cursor.lastrowid is not None
            self._segment = cursor.lastrowid
            return self._segment

    def commit(self) -> None:
        """Write what waits, if the lease is still ours; nothing is written and nothing lost otherwise."""
        with self._lock:
            if not self._waiting:
                return
            with transaction(self._connection):
                self._check_lease()
                for statement, values in self._waiting:
                    self._connection.execute(statement, values)
            self._waiting.clear()

    def close(self) -> None:
        """Commit what waits and close; after LeaseLost what waits is dropped, as it must be."""
        with self._lock:
            try:
                self.commit()
            finally:
                self._connection.close()

    def _wait(self, statement: str, values: tuple[Any, ...]) -> None:
        with self._lock:
            self._waiting.append((statement, values))

    def _take_lease(self) -> None:
        with transaction(self._connection):
            row = self._connection.execute("SELECT token FROM lease").fetchone()
            stored = None if row is None else str(row[0])
            if supersedes(stored, self._token):
                raise LeaseLost(f"A newer lease ({stored}) holds this run; ours is {self._token}")
            owner = json_text(this_process().to_json())
            values = (self._token, owner, time.time())
            self._connection.execute("INSERT OR REPLACE INTO lease VALUES (1, ?, ?, ?)", values)

    def _check_lease(self) -> None:
        row = self._connection.execute("SELECT token FROM lease").fetchone()
        if row is None or row[0] != self._token:
            raise LeaseLost(f"Another lease ({None if row is None else row[0]}) holds this run; ours was {self._token}")

    def _current_segment(self) -> int:
        """The segment begun last; a run whose caller never begins one gets a root."""
        if self._segment is None:
            row = self._connection.execute("SELECT max(id) FROM segments").fetchone()
            self._segment = self.begin_segment(None, 0) if row[0] is None else int(row[0])
        return self._segment


def seal_metrics(run_folder: Path) -> bool:
    """Fold the WAL into metrics.db and leave one ordinary file that a read-only folder can serve.

    Call it at a final state, after the writer is closed. False when a reader or the writer is still connected: call again.
    """
    path = run_folder / FILE_NAME
    if not path.exists():
        return True
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=0.0, isolation_level=None)
    except sqlite3.OperationalError:
        return False  # not ours to open, or not now
    try:
        busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            return False
        return connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0] == "delete"
    except sqlite3.OperationalError:
        return False
    except sqlite3.DatabaseError:
        return True  # damaged: asking again would not help, and reading it says so
    finally:
        connection.close()


def _open_or_set_aside(path: Path) -> sqlite3.Connection:
    """The file opened for writing; a damaged one is set aside so that the run can go on, and an event says so."""
    try:
        return _open(path)
    except sqlite3.DatabaseError as error:
        if type(error) is not sqlite3.DatabaseError:  # locked, full or unwritable is not damaged
            raise
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    for suffix in ("-wal", "-shm", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    connection = _open(path)
    message = f"The file of points was damaged. It is kept as {aside.name}; the curve starts anew from here."
    with transaction(connection):
        values = (time.time(), "metrics_set_aside", message, None, "{}")
        connection.execute("INSERT INTO events (at, kind, message, step, data) VALUES (?, ?, ?, ?, ?)", values)
    return connection


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA journal_size_limit = {JOURNAL_BYTES}")
        with transaction(connection):
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise UserError(
                    "The points of this run were written by a newer Glassbox", value=path, remedy="Update Glassbox"
                )
            if version == 0:
                for statement in _TABLES:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    except BaseException:
        connection.close()
        raise
    return connection
