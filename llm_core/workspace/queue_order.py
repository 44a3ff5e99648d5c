"""Places in the queue: numbers between which there is room, so that moving one job changes one row.

Smaller comes first. Functions over the registry's open transaction. Not here: who may wait and who takes a job (`registry.py`).
"""

from __future__ import annotations

import sqlite3


def end_place(connection: sqlite3.Connection) -> float:
    """A place behind everything that waits."""
    return _edge(connection, "MAX") + 1.0


def front_place(connection: sqlite3.Connection) -> float:
    """A place before everything that waits."""
    return _edge(connection, "MIN") - 1.0


def place_before(connection: sqlite3.Connection, other_id: str, job_id: str) -> float:
    """A place for `job_id` right before another job that waits."""
    before = _place_right_before(connection, other_id, job_id)
    if before is None:
        _number_anew(connection)
        before = _place_right_before(connection, other_id, job_id)
        assert before is not None, "there is room between whole numbers"
    return before


def _place_right_before(connection: sqlite3.Connection, other_id: str, job_id: str) -> float | None:
    """None where no number lies between the two neighbours any more."""
    query = "SELECT id, place FROM jobs WHERE state = 'queued' AND id != ? ORDER BY place, rowid"
    waiting = connection.execute(query, (job_id,)).fetchall()
    index = [row["id"] for row in waiting].index(other_id)
    above = float(waiting[index]["place"])
    if index == 0:
        return above - 1.0
    below = float(waiting[index - 1]["place"])
    middle = (below + above) / 2
    return middle if below < middle < above else None


def _number_anew(connection: sqlite3.Connection) -> None:
    rows = connection.execute("SELECT id FROM jobs WHERE state = 'queued' ORDER BY place, rowid").fetchall()
    places = [(float(number), row["id"]) for number, row in enumerate(rows)]
    connection.executemany("UPDATE jobs SET place = ? WHERE id = ?", places)


def _edge(connection: sqlite3.Connection, side: str) -> float:
    return float(connection.execute(f"SELECT {side}(place) FROM jobs WHERE state = 'queued'").fetchone()[0] or 0.0)
