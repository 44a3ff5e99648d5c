"""Commands to a running run: pages, command line and API append them to commands.db, the worker reads and never writes.

The worker answers in metrics.db (`MetricsWriter.ack`). Not here: what each command does (`llm_core.backend`), states of runs
without a worker (`registry.py`).
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_core.config.errors import UserError
from llm_core.workspace.json_files import json_text
from llm_core.workspace.transactions import transaction

FILE_NAME = "commands.db"
PAUSE, RESUME, STOP, SET, CHECKPOINT, SAMPLE = "pause", "resume", "stop", "set", "checkpoint", "sample"
ROLL_BACK = "roll_back"
COMMAND_KINDS = (PAUSE, RESUME, STOP, SET, CHECKPOINT, SAMPLE, ROLL_BACK)
BUSY_SECONDS = 10.0

_TABLE = (
    "CREATE TABLE IF NOT EXISTS commands (rowid INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
    " kind TEXT NOT NULL, args TEXT NOT NULL, author TEXT NOT NULL, created_at REAL NOT NULL)"
)


@dataclass(frozen=True)
class Command:
    """One command; `rowid` grows with each and serves as the reader's cursor."""

    rowid: int
    id: str
    kind: str
    args: dict[str, Any]
    author: str
    created_at: float


def append_command(run_folder: Path, kind: str, args: Mapping[str, Any] | None = None, author: str = "") -> str:
    """Append a command and return its id; it is on the disk before this returns.

    Args:
        kind: one of COMMAND_KINDS.
        author: who asked, as the page or the command line knows it.

    Raises:
        UserError: there is no such command.
    """
    if kind not in COMMAND_KINDS:
        raise UserError("There is no such command", value=kind, limit=", ".join(COMMAND_KINDS))
    run_folder.mkdir(parents=True, exist_ok=True)
    command_id = secrets.token_hex(5)
    path = run_folder / FILE_NAME
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        with transaction(connection):
            connection.execute(_TABLE)
            connection.execute(
                "INSERT INTO commands (id, kind, args, author, created_at) VALUES (?, ?, ?, ?, ?)",
                (command_id, kind, json_text(args or {}), author, time.time()),
            )
    return command_id


def read_commands(run_folder: Path, after_rowid: int = 0) -> list[Command]:
    """Commands appended after the cursor, oldest first; costs one `stat` while none was ever given."""
    path = (run_folder / FILE_NAME).absolute()
    if not path.exists():
        return []
    # Not mode=ro: the journal of a writer that was killed must be rolled back before anything can be read.
    uri = f"{path.as_uri()}?mode=rw"
    with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'commands'").fetchone() is None:
            return []
        query = "SELECT rowid, id, kind, args, author, created_at FROM commands WHERE rowid > ? ORDER BY rowid"
        rows = connection.execute(query, (after_rowid,)).fetchall()
    return [Command(row[0], row[1], row[2], json.loads(row[3]), row[4], row[5]) for row in rows]
