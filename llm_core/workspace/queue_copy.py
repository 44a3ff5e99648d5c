"""A copy of the queue beside the registry: runs that have not started have no folder to be found by when the registry is lost.

Written with each change of the queue, read only when the registry is built again. Not here: the queue itself (`registry.py`).
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any, cast

from llm_core.workspace.json_files import json_text, read_json, write_text
from llm_core.workspace.paths import Workspace

FILE_NAME = "queue.json"

_Row = tuple[str, str, str, float, float, int]


def waiting_runs(connection: sqlite3.Connection) -> list[_Row]:
    """Id, name, settings as JSON, when it was made, since when it waits and how often it may be tried; first comes first."""
    rows = connection.execute(
        "SELECT id, name, config, created_at, queued_at, max_attempts FROM jobs"
        " WHERE state = 'queued' AND kind = 'train' AND foreground = 0 ORDER BY place, rowid"
    )
    return [cast("_Row", tuple(row)) for row in rows]


def write_copy(workspace: Workspace, waiting: list[_Row]) -> None:
    """Replace the copy."""
    runs = [
        {
            "id": job_id,
            "name": name,
            "config": json.loads(config),
            "created_at": created_at,
            "queued_at": queued_at,
            "max_attempts": max_attempts,
        }
        for job_id, name, config, created_at, queued_at, max_attempts in waiting
    ]
    write_text(workspace.root / FILE_NAME, json_text({"runs": runs}) + "\n")


def read_copy(workspace: Workspace) -> list[dict[str, Any]]:
    """The runs that waited as rows of the registry, first comes first; what cannot be understood is left out."""
    runs = (read_json(workspace.root / FILE_NAME) or {}).get("runs")
    rows: list[dict[str, Any]] = []
    for run in cast("list[Any]", runs) if isinstance(runs, list) else []:
        try:
            row: dict[str, Any] = {"id": str(run["id"]), "kind": "train", "name": str(run["name"]), "state": "queued"}
            row |= {"config": json_text(dict(run["config"])), "created_at": float(run["created_at"])}
            row |= {"queued_at": float(run["queued_at"]), "max_attempts": int(run["max_attempts"])}
        except (KeyError, TypeError, ValueError):
            continue
        rows.append(row)
    return rows
