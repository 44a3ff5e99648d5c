"""One short write transaction in SQLite: all of it or nothing, and never left open behind an error."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def transaction(connection: sqlite3.Connection) -> Generator[sqlite3.Connection]:
    """BEGIN IMMEDIATE (so that what is read inside cannot change before it is written), then COMMIT, or ROLLBACK on any error.

    The connection must be in autocommit mode (isolation_level=None).
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        # A full disk makes SQLite roll back by itself; `rollback` then does nothing.
        connection.rollback()
        raise
