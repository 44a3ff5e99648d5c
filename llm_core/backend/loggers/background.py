"""A thread for each logger, so that none of them can slow or stop training.

Training only ever puts a call into a queue. A logger that raises, or that falls so far behind that the queue is full, is told of once
and then gets nothing more. Not here: what is put in (`metrics_writer.py`).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from llm_core.backend.loggers.interface import Logger
from llm_core.backend.loggers.redaction import without_secrets

Call = Callable[[Logger], None]

# Some hours of points at the usual interval: a server may be away for a while.
LONGEST_QUEUE = 20_000
_LONGEST_MESSAGE = 300


class LoggerThread:
    """Calls one logger in order, from a thread that does not keep the process alive.

    Args:
        on_problem: told in a sentence when the logger is dropped, from whichever thread notices.
    """

    def __init__(self, logger: Logger, on_problem: Callable[[str], None], longest_queue: int = LONGEST_QUEUE) -> None:
        self.title = logger.title
        self._logger = logger
        self._on_problem = on_problem
        self._calls: queue.Queue[Call | None] = queue.Queue(longest_queue)
        self._lock = threading.Lock()
        self._is_dropped = False
        self._thread = threading.Thread(target=self._work, name=f"logger {logger.title}", daemon=True)
        self._thread.start()

    def put(self, call: Call | None) -> None:
        """Queue a call; None ends the thread after those before it. Never waits."""
        try:
            if not self._is_dropped:
                self._calls.put_nowait(call)
        except queue.Full:
            self._drop(f"it is {self._calls.maxsize:,} messages behind")

    def join(self, seconds: float) -> bool:
        """Wait for the thread's end; False when it still has something to do. One that was dropped is not waited for."""
        if not self._is_dropped:
            self._thread.join(seconds)
        return self._is_dropped or not self._thread.is_alive()

    def _work(self) -> None:
        while not self._is_dropped and (call := self._calls.get()) is not None:
            try:
                call(self._logger)
            except (Exception, SystemExit) as error:  # whatever another program raises, the run goes on
                lines = str(error).strip().splitlines()
                self._drop(f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__)

    def _drop(self, why: str) -> None:
        with self._lock:
            if self._is_dropped:
                return
            self._is_dropped = True
        why = without_secrets(why)[:_LONGEST_MESSAGE]
        self._on_problem(
            f"{self.title} gets nothing more of this run ({why}). The run goes on, its own curves are whole."
        )
