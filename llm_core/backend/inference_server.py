"""The inference process: one per workspace; answers the pages' questions about models until nobody asks any more.

It is niced and computes on one thread, so that a training beside it keeps its speed. It ends itself after a while without questions,
sooner when no dashboard is open. Not here: the questions (`inference_methods.py`), the wire (`wire.py`).
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from llm_core.backend import wire
from llm_core.backend.inference_methods import METHODS, Methods
from llm_core.backend.process_log import say_where_it_broke
from llm_core.config.errors import UserError
from llm_core.config.timing import Timing
from llm_core.workspace.locks import FileLock, is_locked
from llm_core.workspace.paths import Workspace, open_workspace


class InferenceServer:
    """Answers until nobody asks any more."""

    def __init__(self, workspace: Workspace, timing: Timing) -> None:
        self._workspace = workspace
        self._timing = timing
        self._listener = wire.listen(workspace.inference_socket)
        self._methods = Methods(workspace)
        self._lock = threading.Lock()
        self._answering = 0
        self._busy_at = time.monotonic()
        self._stopping = False

    def stop(self, *_: object) -> None:
        """Leave at the next look."""
        self._stopping = True

    def serve(self) -> None:
        """One thread per question; questions are few and short."""
        shortest = min(self._timing.inference_idle_seconds, self._timing.idle_seconds)
        self._listener.settimeout(min(0.5, shortest / 2))
        with self._listener:
            while not self._stopping and not self._is_idle():
                try:
                    connection, _ = self._listener.accept()
                except TimeoutError:
                    self._methods.models.forget_deleted()
                    continue
                self._count(+1)
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()
        self._methods.generations.stop_all()

    def _count(self, change: int) -> None:
        with self._lock:
            self._answering += change
            self._busy_at = time.monotonic()

    def _is_idle(self) -> bool:
        if self._answering or self._methods.generations.are_running():
            self._busy_at = time.monotonic()
            return False
        idle_seconds = time.monotonic() - self._busy_at
        if idle_seconds > self._timing.inference_idle_seconds:
            return True
        return idle_seconds > self._timing.idle_seconds and not is_locked(self._workspace.web_lock)

    def _answer(self, connection: socket.socket) -> None:
        try:
            with connection:
                connection.settimeout(10.0)
                request = wire.decode(wire.read_line(connection, wire.MAXIMUM_REQUEST_BYTES))
                answer = wire.encode(self._answer_to(request))
                connection.settimeout(60.0)
                connection.sendall(answer)
        except (ValueError, OSError):
            return  # the other side did not finish its question, or waits no longer
        finally:
            self._count(-1)

    def _answer_to(self, request: Any) -> dict[str, Any]:
        try:
            if request["method"] not in METHODS:
                raise UserError("The inference process does not know this question", value=request["method"])
            method: Callable[..., dict[str, Any]] = getattr(self._methods, request["method"])
            return {"result": method(**request["parameters"])}
        except UserError as error:
            return {"error": {**error.to_dict(), "kind": type(error).__name__}}
        except Exception as error:  # one bad question must not end the process; the log keeps the whole story
            say_where_it_broke()
            what = f"The inference process met a fault: {type(error).__name__}"
            remedy = f"Its log tells more: {self._workspace.inference_log}"
            return {"error": {"kind": "UserError", "what": what, "remedy": remedy}}


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of the process."""
    parser = argparse.ArgumentParser(
        prog="glassbox inference", description="Answers the pages' questions about models."
    )
    parser.add_argument("--workspace", required=True)
    workspace = open_workspace(parser.parse_args(arguments).workspace)
    lock = FileLock(workspace.inference_lock)
    if not lock.try_acquire():
        return 0
    os.nice(5)
    torch.set_num_threads(1)
    with lock:
        server = InferenceServer(workspace, Timing.from_environment())
        signal.signal(signal.SIGTERM, server.stop)
        signal.signal(signal.SIGINT, server.stop)
        server.serve()
        workspace.inference_socket.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
