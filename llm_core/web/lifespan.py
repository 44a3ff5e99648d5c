"""What the web server does from its start to its end, beside answering: say that it is there, and see to a supervisor.

The lock on web.lock tells the supervisor that somebody may still press a button. Nothing here waits at the end: a thread that
is just starting a supervisor is left to finish, so the server is gone within a second of being told.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from anyio import to_thread

from llm_core.backend.launcher import start_supervisor
from llm_core.config.timing import Timing
from llm_core.web.device_sampler import shared_sampler
from llm_core.workspace.locks import FileLock
from llm_core.workspace.paths import Workspace

# A supervisor that was just started needs this long to import and take its lock.
START_SECONDS = 2.0

_log = logging.getLogger(__name__)

Lifespan = Callable[[Any], AbstractAsyncContextManager[None]]


def server_lifespan(workspace: Workspace, timing: Timing, at_end: Callable[[], None]) -> Lifespan:
    """The lifespan of the app: lock and supervisor while it serves, `at_end` when it stops."""

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncGenerator[None]:
        lock = FileLock(workspace.web_lock)
        if not lock.try_acquire(shared=True):
            _log.warning("web.lock is held by something that is no web server; the supervisor may leave early")
        shared_sampler().latest()  # the CPU's figure counts from here
        watch = asyncio.create_task(_keep_supervisor(workspace, timing.watch_seconds))
        try:
            yield
        finally:
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch
            lock.release()
            at_end()

    return lifespan


async def _keep_supervisor(workspace: Workspace, watch_seconds: float) -> None:
    """Start a supervisor whenever there is none."""
    while True:
        started = False
        try:
            started = await to_thread.run_sync(start_supervisor, workspace, abandon_on_cancel=True)
        except OSError as error:
            _log.error("The supervisor cannot be started: %s. Runs wait in the queue until it can.", error)
        await asyncio.sleep(max(watch_seconds, START_SECONDS) if started else watch_seconds)
