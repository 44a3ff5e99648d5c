"""Places in the queue: numbers between which there is always room, so that moving one job changes one row.

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


def _edge(connection: sqlite3.Connection, side: str) -> float:
    return float(connection.execute(f"SELECT {side}(place) FROM jobs WHERE state = 'queued'").fetchone()[0] or 0.0)
