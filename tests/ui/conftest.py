"""A real server with one page that a test writes, and a real browser."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

DOOR = """
from pathlib import Path
import streamlit as st
from llm_core.web.application import web_parts

parts = web_parts("127.0.0.1")
app = st.App(Path(__file__).with_name("page.py"), routes=parts.routes, middleware=parts.middleware, lifespan=parts.lifespan)
"""

# Streamlit keeps a compiled script while any session is open; this one never changes and runs what the test wrote last.
PAGE = """
import runpy
from pathlib import Path

runpy.run_path(str(Path(__file__).with_name("shown.py")))
"""


@dataclass
class Stage:
    """A server that shows what a test writes; it may be changed between reloads."""

    folder: Path
    home: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        environment = {
            **os.environ,
            "GLASSBOX_HOME": str(self.home),
            "GLASSBOX_IDLE_SECONDS": "1",
            "PYTHONPATH": str(ROOT),
        }
        environment.pop("GLASSBOX_PASSWORD", None)
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "streamlit",
                    "run",
                    str(self.folder / "app.py"),
                    "--server.port",
                    str(self.port),
                ],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=1).close()  # noqa: S310  our own address
                return
            except OSError:
                assert self.process.poll() is None and time.monotonic() < deadline, (
                    self.folder / "server.log"
                ).read_text()
                time.sleep(0.05)

    def stop(self) -> None:
        """End the server as Ctrl-C does."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait(20)

    def show(self, page: str) -> None:
        """The page that the next visit runs."""
        (self.folder / "shown.py").write_text(page, encoding="utf-8")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One server for a file of tests."""
    folder = tmp_path_factory.mktemp("stage")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "app.py").write_text(DOOR, encoding="utf-8")
    (folder / "page.py").write_text(PAGE, encoding="utf-8")
    shutil.copytree(ROOT / ".streamlit", folder / ".streamlit")
    stage = Stage(folder, folder / "home", port)
    stage.show("import streamlit as st\n")
    stage.start()
    yield stage
    stage.stop()
