"""The registry's file: its tables, how it is opened and checked, and how it is made again when it is damaged or gone.

A damaged file is set aside, never deleted, and a new one is built from the run folders, which hold everything of a run but
its colour, and from the copy of the queue; an event tells the person. Not here: what the rows mean and how they change (`registry.py`).
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_core.config.errors import NotFound, UserError
from llm_core.workspace.checkpoints import list_checkpoints
from llm_core.workspace.job_record import FINAL, FINISHED, PAUSED, RUNNING, STOPPED
from llm_core.workspace.json_files import json_text, read_json
from llm_core.workspace.leases import token_number
from llm_core.workspace.locks import FileLock
from llm_core.workspace.metrics_read import Lease, RecordedState, last_state, read_lease
from llm_core.workspace.paths import Workspace, check_name, safe_join
from llm_core.workspace.queue_copy import read_copy
from llm_core.workspace.run_colors import next_style
from llm_core.workspace.transactions import transaction

SCHEMA_VERSION = 2
BUSY_SECONDS = 10.0
_LOCK_PAUSE_SECONDS = 0.02

_TABLES = (
    """
    CREATE TABLE jobs (
        id TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        state TEXT NOT NULL,
        reason TEXT NOT NULL DEFAULT '',
        remedy TEXT NOT NULL DEFAULT '',
        config TEXT NOT NULL,
        created_at REAL NOT NULL,
        queued_at REAL NOT NULL,
        started_at REAL,
        ended_at REAL,
        attempts INTEGER NOT NULL DEFAULT 0,
        max_attempts INTEGER NOT NULL,
        owner TEXT,
        lease_token TEXT,
        leases INTEGER NOT NULL DEFAULT 0,
        result TEXT NOT NULL DEFAULT '{}',
        color TEXT NOT NULL DEFAULT '',
        dash TEXT NOT NULL DEFAULT '',
        foreground INTEGER NOT NULL DEFAULT 0,
        once TEXT,
        place REAL NOT NULL DEFAULT 0,
        gpus TEXT NOT NULL DEFAULT '[]'
    )
    """,
    "CREATE UNIQUE INDEX one_run_a_name ON jobs (name) WHERE kind = 'train'",
    "CREATE UNIQUE INDEX one_job_an_intention ON jobs (once) WHERE once IS NOT NULL",
    "CREATE INDEX jobs_by_state ON jobs (state, kind)",
    "CREATE TABLE events (id INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, message TEXT NOT NULL, job_id TEXT)",
)


# What brings a registry of each older version to the next one.
_UPGRADES = {
    1: (
        "ALTER TABLE jobs ADD COLUMN place REAL NOT NULL DEFAULT 0",  # in the queue: smaller comes first
        "UPDATE jobs SET place = queued_at",
        "ALTER TABLE jobs ADD COLUMN gpus TEXT NOT NULL DEFAULT '[]'",
    )
}


@dataclass(frozen=True)
class RegistryEvent:
    """Something that happened to the registry itself, or a note that belongs to no running worker."""

    id: int
    at: float
    kind: str
    message: str
    job_id: str | None


def connect(workspace: Workspace, busy_seconds: float = BUSY_SECONDS) -> tuple[sqlite3.Connection, int]:
    """A checked connection to the registry and the inode of its file; makes or rebuilds the file where needed.

    Raises:
        NotFound: the workspace folder is gone.
        UserError: the file was made by a newer version.
    """
    if not workspace.root.is_dir():
        raise NotFound("The workspace folder is gone", value=workspace.root, remedy="Start again with a new workspace")
    try:
        return _open(workspace, busy_seconds)
    except sqlite3.DatabaseError as error:
        if not _is_damage(error):
            raise
    with FileLock(workspace.root / "registry-repair.lock") as lock:
        deadline = time.monotonic() + BUSY_SECONDS
        while not lock.try_acquire():
            if time.monotonic() > deadline:
                raise UserError("The registry is being repaired by another process", remedy="Try again in a minute")
            time.sleep(_LOCK_PAUSE_SECONDS)
        try:
            return _open(workspace, busy_seconds)  # somebody else may have repaired it by now
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            _set_aside(workspace)
        return _open(workspace, busy_seconds)


def read_events(connection: sqlite3.Connection, after_id: int) -> list[RegistryEvent]:
    """Events with a larger id, oldest first."""
    rows = connection.execute("SELECT id, at, kind, message, job_id FROM events WHERE id > ? ORDER BY id", (after_id,))
    return [RegistryEvent(*row) for row in rows]


def add_event(connection: sqlite3.Connection, kind: str, message: str, job_id: str | None = None) -> None:
    """Append one event within the caller's transaction."""
    values = (time.time(), kind, message, job_id)
    connection.execute("INSERT INTO events (at, kind, message, job_id) VALUES (?, ?, ?, ?)", values)


def _open(workspace: Workspace, busy_seconds: float) -> tuple[sqlite3.Connection, int]:
    connection = sqlite3.connect(
        workspace.database, timeout=busy_seconds, isolation_level=None, check_same_thread=False
    )
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA synchronous = FULL")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise UserError(
                "The registry was made by a newer Glassbox",
                value=f"schema {version}",
                limit=f"schema {SCHEMA_VERSION}",
                remedy="Update Glassbox, or use another workspace",
            )
        if version == 0:
            _create(connection, workspace)
        else:
            problems = [str(row[0]) for row in connection.execute("PRAGMA quick_check(5)")]
            if problems != ["ok"]:
                raise sqlite3.DatabaseError("; ".join(problems))
            if version < SCHEMA_VERSION:
                _upgrade(connection)
        return connection, workspace.database.stat().st_ino
    except BaseException:
        connection.close()
        raise


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Damage is a DatabaseError itself; its subclasses (locked, disk full, cannot open, ...) are not."""
    return type(error) is sqlite3.DatabaseError


def _set_aside(workspace: Workspace) -> None:
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    journal = workspace.root / "glassbox.db-journal"
    if journal.exists():
        journal.rename(workspace.root / f"glassbox.db.damaged-{stamp}-journal")
    workspace.database.rename(workspace.root / f"glassbox.db.damaged-{stamp}")


def _create(connection: sqlite3.Connection, workspace: Workspace) -> None:
    """Make the tables and fill them from the run folders, in one transaction: nobody sees a half-filled registry."""
    with transaction(connection):
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            for statement in _TABLES:
                connection.execute(statement)
            _rebuild(connection, workspace)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _upgrade(connection: sqlite3.Connection) -> None:
    with transaction(connection):
        version = connection.execute("PRAGMA user_version").fetchone()[0]  # another process may have been quicker
        for number in range(version, SCHEMA_VERSION):
            for statement in _UPGRADES[number]:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _rebuild(connection: sqlite3.Connection, workspace: Workspace) -> None:
    folders = [folder for folder in workspace.runs.glob("*") if not folder.name.startswith(".")]
    rows = {folder.name: row for folder in folders if (row := _row_from_folder(folder)) is not None}
    for number, waiting in enumerate(read_copy(workspace)):
        found = _waiting_row(workspace, waiting)
        if found is not None:
            rows[found["id"]] = {**found, "place": float(number)}
    for row in sorted(rows.values(), key=lambda row: row["created_at"]):
        _insert_found(connection, row)
    aside = sorted(path.name for path in workspace.root.glob("glassbox.db.damaged-*") if path.suffix != "-journal")
    if rows or aside:
        kept = f" The damaged file is kept as {aside[-1]}." if aside else ""
        runs = "1 run was" if len(rows) == 1 else f"{len(rows)} runs were"
        lost = "Jobs other than runs have to be asked for again."
        add_event(
            connection, "registry_rebuilt", f"The list of runs was damaged or gone. {runs} found again. {lost}{kept}"
        )


def _waiting_row(workspace: Workspace, row: dict[str, Any]) -> dict[str, Any] | None:
    """A row of the queue's copy, with what its run folder adds; None where a worker has taken the run since."""
    try:
        folder = safe_join(workspace.runs, row["id"])
    except UserError:
        return None  # no id that we ever gave
    lease, _ = _lease_and_state(folder)
    if lease is None:
        return row
    if lease.taken_at >= row["queued_at"]:
        return None
    return {**row, "started_at": lease.taken_at, "leases": token_number(lease.token) or 0}


def add_copied_run(connection: sqlite3.Connection, folder: Path) -> bool:
    """A row for a run whose folder somebody put among the runs, in the caller's transaction; False where no run ever started there."""
    row = _row_from_folder(folder)
    if row is None:
        return False
    if row["state"] == RUNNING:
        # Whoever lives under this lease works in the folder that this one was copied from.
        row |= {"state": STOPPED, "reason": "It was copied while it went on.", "ended_at": row["created_at"]}
        row |= {"remedy": "Resume it to go on from its last checkpoint", "lease_token": None, "owner": None}
    _insert_found(connection, row)
    return True


def _insert_found(connection: sqlite3.Connection, row: dict[str, Any]) -> None:
    """Insert a run that was found on disk, under a name and in a colour that no other run has."""
    others = connection.execute("SELECT name, color, dash FROM jobs WHERE kind = 'train'").fetchall()
    row["name"] = _usable_name(row["name"], row["id"], {other["name"] for other in others})
    row["color"], row["dash"] = next_style((other["color"], other["dash"]) for other in others)
    connection.execute(f"INSERT INTO jobs ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", [*row.values()])


def _row_from_folder(folder: Path) -> dict[str, Any] | None:
    """What the registry would say of a run, from its folder alone; None where no run ever started."""
    config_path = folder / "config.json"
    config = read_json(config_path)
    if config is None:
        return None
    created_at = config_path.stat().st_mtime
    row: dict[str, Any] = {"id": folder.name, "kind": "train", "name": str(config.get("name") or folder.name)}
    row |= {"config": json_text(config), "created_at": created_at, "queued_at": created_at, "max_attempts": 3}
    lease, recorded = _lease_and_state(folder)
    if recorded is not None and recorded.state in FINAL and (lease is None or lease.taken_at <= recorded.at):
        row |= {"state": recorded.state, "reason": recorded.reason, "remedy": recorded.remedy}
        row |= {"ended_at": recorded.at, "result": json_text(recorded.result)}
    elif recorded is not None and recorded.state == PAUSED and (lease is None or lease.taken_at <= recorded.at):
        row |= {"state": PAUSED, "reason": recorded.reason, "remedy": recorded.remedy, "started_at": created_at}
        row |= {"result": json_text(recorded.result)}
    elif lease is not None and lease.owner is not None and lease.owner.alive():
        row |= {"state": RUNNING, "lease_token": lease.token, "attempts": 1}
        row |= {"owner": json_text(lease.owner.to_json()), "started_at": lease.taken_at}
    elif lease is None and list_checkpoints(folder):
        row |= {"state": FINISHED, "reason": "imported", "ended_at": created_at}
    else:
        row |= {
            "state": STOPPED,
            "reason": "Its process was gone when the list of runs was built again.",
            "ended_at": created_at,
        }
        row |= {"remedy": "Resume it to go on"}
    # Later leases must be newer than every one that was ever given out for this run.
    row["leases"] = (token_number(lease.token) or 0) if lease is not None else 0
    return row


def _lease_and_state(folder: Path) -> tuple[Lease | None, RecordedState | None]:
    try:
        return read_lease(folder), last_state(folder)
    except (UserError, KeyError, TypeError, ValueError):
        return None, None  # a damaged metrics.db says nothing; its run is found all the same


def _usable_name(name: str, job_id: str, taken: set[str]) -> str:
    try:
        check_name(name)
    except UserError:
        return job_id
    return f"{name}-{job_id}" if name in taken else name
