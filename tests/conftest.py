"""For all tests: compute threads that do not spin, because several processes compute side by side on few cores; the one browser; and
a look at the end whether a test left a process behind.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llm_core.backend.thread_waiting import thread_environment

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Before torch is imported, in this process and in all that tests start.
os.environ.update(thread_environment())
if "PYTEST_XDIST_WORKER" in os.environ:
    # One core for each of the processes that test side by side: two threads of each would wait for one another.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell starts its background jobs deaf to Ctrl-C, and deafness is inherited: tests that send it would wait in vain.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Supervisors and inference processes leave soon after the last work.
os.environ.setdefault("GLASSBOX_IDLE_SECONDS", "3")

PATIENCE_SECONDS = 20


@pytest.fixture(scope="session", autouse=True)
def no_process_is_left_behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whatever was started for a workspace of these tests ends with them; what does not is ended here, and said."""
    yield
    folder = str(tmp_path_factory.getbasetemp())
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (left := _processes_naming(folder)) and time.monotonic() < deadline:
        time.sleep(0.2)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert not left, f"left behind: {list(left.values())}"


def _processes_naming(folder: str) -> dict[int, str]:
    found: dict[int, str] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if folder in command and int(entry.name) != os.getpid() and "pytest" not in command.split(folder)[0]:
            found[int(entry.name)] = command
    return found


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium; the tests are skipped where there is none. One for all, because playwright starts once a process."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()
