"""One connection to the registry's file: transactions, the file that was replaced behind our back, faults in words.

Not here: what is read and written (`registry.py`), how the file is made and repaired (`registry_file.py`).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from llm_core.config.errors import UserError
from llm_core.workspace import queue_copy, registry_file
from llm_core.workspace.disk_space import is_disk_full
from llm_core.workspace.paths import Workspace
from llm_core.workspace.transactions import transaction


class RegistryUnavailable(UserError):
    """The file cannot be read or written at the moment; what was asked for did not happen and may be asked for again."""


class RegistryConnection:
    """A connection that threads may share; processes open their own.

    Args:
        busy_seconds: how long to wait for another program that holds the file.

    Raises:
        RegistryUnavailable: from whatever touches the file.
    """

    def __init__(self, workspace: Workspace, *, busy_seconds: float = registry_file.BUSY_SECONDS) -> None:
        self.workspace = workspace
        self._busy_seconds = busy_seconds
        self._lock = threading.RLock()
        with self._faults_in_words():
            self._connection, self._inode = registry_file.connect(workspace, busy_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the registry cannot be used afterwards."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _reading(self) -> Generator[sqlite3.Connection]:
        with self._lock, self._faults_in_words():
            self._follow_file()
            yield self._connection

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Connection]:
        """One transaction; an inner one joins the outer one."""
        with self._lock:
            if self._connection.in_transaction:
                yield self._connection
                return
            with self._faults_in_words():
                self._follow_file()
                with transaction(self._connection) as connection:
                    before = queue_copy.waiting_runs(connection)
                    yield connection
                    after = queue_copy.waiting_runs(connection)
                    if after != before:
                        queue_copy.write_copy(self.workspace, after)

    def _follow_file(self) -> None:
        """Open the file anew when another process has set a damaged one aside; the old descriptor would write into that."""
        if self._connection.in_transaction:
            return
        try:
            inode = self.workspace.database.stat().st_ino
        except FileNotFoundError:
            inode = 0
        if inode != self._inode:
            former = self._connection
            # Opened before the former is closed: where that fails, the next call tries again.
            self._connection, self._inode = registry_file.connect(self.workspace, self._busy_seconds)
            former.close()

    @contextmanager
    def _faults_in_words(self) -> Generator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            fault = self._fault(getattr(error, "sqlite_errorcode", 0) & 0xFF)
            if fault is None:
                raise
            raise fault from error
        except OSError as error:  # the copy of the queue is written beside the file
            if not is_disk_full(error):
                raise
            raise self._disk_is_full() from error

    def _fault(self, code: int) -> RegistryUnavailable | None:
        """What an error of SQLite means to a person; None for one that is a fault of ours."""
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return RegistryUnavailable(
                "Another program holds the list of runs",
                value=self.workspace.database,
                limit=f"waited {self._busy_seconds:g} seconds",
                remedy="Try again; if it stays so, close whatever else has this file open",
            )
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN):
            remedy = "Give yourself the right to write there, or use another workspace"
            return RegistryUnavailable("This workspace cannot be written to", value=self.workspace.root, remedy=remedy)
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            return self._disk_is_full()
        return None

    def _disk_is_full(self) -> RegistryUnavailable:
        remedy = "Make room on it; nothing that was accepted before is lost"
        return RegistryUnavailable(
            "The disk of the workspace is full or failing", value=self.workspace.root, remedy=remedy
        )
