"""The worker's sign of life: a thread that renews the lease while the loop moves.

A loop that hangs looks dead on purpose: the thread stops renewing when the loop has not moved for `stall_seconds`, and the supervisor
then takes the job back. Not here: judging leases (`supervisor.py`).
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from llm_core.backend.process_log import say
from llm_core.config.timing import Timing
from llm_core.workspace.leases import LeaseLost


class Heartbeat:
    """Writes `progress()` every `heartbeat_seconds` through `write`, from a thread of its own.

    Args:
        write: stores the progress and commits what else waits; raises LeaseLost when the job belongs to somebody else.
        progress: plain values, called from the thread.
    """

    def __init__(
        self, write: Callable[[Mapping[str, Any]], None], progress: Callable[[], Mapping[str, Any]], timing: Timing
    ) -> None:
        self.lease_is_lost = False
        self._write = write
        self._progress = progress
        self._timing = timing
        self._moved_at = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Beat once at once, then regularly."""
        self._write(self._progress())
        self._thread.start()

    def moved(self) -> None:
        """The loop did something; called at every step."""
        self._moved_at = time.monotonic()

    def stop(self) -> None:
        """No further beat after this returns."""
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._stop.wait(self._timing.heartbeat_seconds):
            if time.monotonic() - self._moved_at > self._timing.stall_seconds:
                continue
            try:
                self._write(self._progress())
            except LeaseLost:
                self.lease_is_lost = True
                return
            except (sqlite3.OperationalError, OSError) as error:
                # A full disk or a lock held for long: nothing is lost, the next beat tries again.
                say(f"heartbeat: {error}")
