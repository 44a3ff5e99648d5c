"""A real server on a workspace of its own, a workspace with finished runs, and a real browser.

Not here: what is seen on the pages (one file an area).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from llm_core.config.run import RunConfig
from llm_core.workspace.locks import FileLock
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.registry import Registry
from tests.cli.support import call

# On a machine with other work a page may take its time; what is there at once is waited for no longer by this.
expect.set_options(timeout=20_000)
ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "test-artifacts"
PAGES = ("home", "data", "tokenizer", "train", "monitor", "runs", "attention", "playground")
QUIET = "[data-testid='stApp'][data-test-script-state='notRunning']"
# Small enough to train in seconds, large enough to have two layers of two heads.
STUDIO_RUN = (
    *("data.dataset=python-reference", "data.context_length=64", "model.num_layers=2", "model.hidden_size=32"),
    *("training.batch_size=8", "training.max_steps=60", "training.log_interval=5", "training.eval_interval=20"),
    *("training.eval_tokens=2000", "training.sample_tokens=40"),
)


class Server:
    """`streamlit run app.py` on a free port of this machine; can be killed and started again."""

    def __init__(self, home: Path) -> None:
        self.home = home
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = home.parent / "server.log"

    def start(self) -> None:
        """Start and wait until it answers."""
        environment = {**os.environ, "GLASSBOX_HOME": str(self.home), "GLASSBOX_IDLE_SECONDS": "5"}
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py"), "--server.port", str(self.port)],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=1):  # noqa: S310  our own address
                    return
            except OSError:
                assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.1)

    def kill(self) -> None:
        """End it without a chance to say goodbye."""
        self.process.kill()
        self.process.wait()

    def stop_everything(self) -> None:
        """End the server and whatever it started."""
        for pid in processes_of(self.home):
            with contextlib.suppress(ProcessLookupError):  # one that was about to leave by itself
                os.kill(pid, signal.SIGTERM)
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture(scope="module")
def server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server over an empty workspace, ended with everything it started."""
    server = Server(tmp_path_factory.mktemp("e2e") / "home")
    server.start()
    yield server
    server.stop_everything()


@pytest.fixture(scope="session")
def studio_home(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with two finished runs of letters, named "transformer" and "lstm": a copy of the one made for all test processes."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    home = tmp_path_factory.mktemp("studio") / "home"
    with FileLock(shared / "studio.lock") as lock:
        while not lock.try_acquire():  # another process makes it
            time.sleep(0.1)
        if not (shared / "studio-made").exists():
            _train_studio(shared / "studio-in-work")
            (shared / "studio-in-work").rename(shared / "studio-made")
    shutil.copytree(shared / "studio-made", home, ignore=shutil.ignore_patterns("*.sock", "*.lock"))
    return home


def train_here(home: Path, name: str, *settings: str) -> None:
    """A finished run, made in this process, whose next run finds the libraries loaded."""
    sets = [part for value in settings for part in ("--set", value)]
    done = call(dict(os.environ), "--workspace", str(home), "train", "--name", name, *sets, "--foreground", "--json")
    assert done.returncode == 0, done.stderr


def _train_studio(home: Path) -> None:
    for kind in ("transformer", "lstm"):
        heads = ["model.num_heads=2"] if kind == "transformer" else []
        train_here(home, kind, f"model.kind={kind}", *heads, *STUDIO_RUN)


@pytest.fixture(scope="session")
def studio(studio_home: Path) -> Iterator[Server]:
    """A server over the workspace with finished runs; tests leave the two runs as they are."""
    server = Server(studio_home)
    server.start()
    yield server
    server.stop_everything()


def open_page(page: Page, server: Server, address: str) -> None:
    """Open an address (page, query) and wait until its script has come to its end without an exception."""
    # Shown by pytest where the test fails: an exception in the page's own script leaves a page that stands still without a word.
    page.on("pageerror", lambda error: print("pageerror", page.url, error))
    page.goto(f"{server.url}/{address}")
    expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=30_000)
    settled(page)


def settled(page: Page) -> None:
    """Wait until the page's script rests, and see that nothing was raised."""
    expect(page.locator(QUIET)).to_be_attached(timeout=30_000)
    expect(page.locator("[data-testid='stException']")).to_have_count(0)


def run_named(home: Path, name: str) -> tuple[str, RunConfig]:
    """Id and settings of a run."""
    with Registry(open_workspace(home)) as registry:
        record = registry.find(name)
    return record.id, RunConfig.model_validate(record.config)


def processes_of(home: Path) -> list[int]:
    """Processes whose command line names this workspace."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(home) in command:
                found.append(int(entry.name))
    return found
