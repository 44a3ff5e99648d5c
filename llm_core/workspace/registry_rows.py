"""Rows of the registry's jobs table: read as records, changed one at a time under guard.

Not here: the transactions around them and what each change means (`registry.py`), the table itself (`registry_file.py`).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping
from typing import Any

from llm_core.config.errors import NameTaken, NotFound
from llm_core.workspace.job_record import FINAL, JobRecord
from llm_core.workspace.leases import LeaseLost
from llm_core.workspace.process_identity import ProcessIdentity


def get_record(connection: sqlite3.Connection, job_id: str) -> JobRecord:
    """The job with exactly this id; raises NotFound."""
    row = connection.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if row is None:
        raise NotFound("There is no job with this id", value=job_id, remedy="`glassbox runs` lists what there is")
    return record_from_row(row)


def held_record(connection: sqlite3.Connection, job_id: str, token: str | None) -> JobRecord:
    """The job, if the caller's lease (when it names one) is still the job's."""
    row = connection.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if token is not None and (row is None or row["lease_token"] != token):
        raise LeaseLost(f"The lease of job {job_id} has passed on")
    return get_record(connection, job_id) if row is None else record_from_row(row)


def change_one(
    connection: sqlite3.Connection, job_id: str, token: str | None, changes: Mapping[str, Any], state: str | None = None
) -> None:
    """One guarded update: exactly this job, in this state, under this lease; anything but one changed row is an error."""
    query = f"UPDATE jobs SET {', '.join(f'{column} = ?' for column in changes)} WHERE id = ?"
    values = [*changes.values(), job_id]
    if token is not None:
        query, values = f"{query} AND lease_token = ?", [*values, token]
    if state is not None:
        query, values = f"{query} AND state = ?", [*values, state]
    changed = connection.execute(query, values).rowcount
    if changed != 1:
        raise LeaseLost(f"The lease of job {job_id} has passed on ({changed} rows changed)")


def check_name_is_free(connection: sqlite3.Connection, kind: str, name: str) -> None:
    """Raise NameTaken when a run has this name, or another unfinished job of this kind."""
    query = "SELECT id, state FROM jobs WHERE kind = ? AND name = ?"
    for row in connection.execute(query, (kind, name)):
        if kind == "train":
            what, remedy = "There is a run with this name already", f"Choose another name, or delete run {row['id']}"
            raise NameTaken(what, value=name, remedy=remedy)
        if row["state"] not in FINAL:
            raise NameTaken("A job of this kind and name is under way", value=name, remedy="Wait for it, or cancel it")


def record_from_row(row: sqlite3.Row) -> JobRecord:
    """One row of the table as a record."""
    owner = json.loads(row["owner"]) if row["owner"] else None
    return JobRecord(
        id=row["id"],
        kind=row["kind"],
        name=row["name"],
        state=row["state"],
        reason=row["reason"],
        remedy=row["remedy"],
        config=json.loads(row["config"]),
        created_at=row["created_at"],
        queued_at=row["queued_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        attempts=row["attempts"],
        max_attempts=row["max_attempts"],
        owner=None if owner is None else ProcessIdentity.from_json(owner),
        lease_token=row["lease_token"],
        result=json.loads(row["result"]),
        color=row["color"],
        dash=row["dash"],
        foreground=bool(row["foreground"]),
        gpus=tuple(json.loads(row["gpus"])),
    )


def marks(values: Collection[str]) -> str:
    """As many question marks as there are values, for `IN (...)`."""
    return ", ".join("?" * len(values))
