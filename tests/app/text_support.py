"""What the tests of the Data and Tokenizer pages share: a workspace that is clean afterwards, and waiting for work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from llm_core.workspace.paths import Workspace, open_workspace
from tests.backend.support import FAST, processes_of, wait_for

MAIN = Path(__file__).resolve().parents[2] / "pages" / "main.py"
TEXT = "".join(f"Line {number} says something of its own, twice {number % 7}.\n" for number in range(400))


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """An empty workspace whose processes have ended when the test has."""
    for name, value in {**FAST, "GLASSBOX_HOME": str(tmp_path / "home"), "GLASSBOX_IDLE_SECONDS": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GLASSBOX_IMPORT_ROOTS", str(tmp_path / "books"))
    (tmp_path / "books").mkdir()
    workspace = open_workspace()
    yield workspace
    wait_for("every process of the workspace to end", lambda: not processes_of(workspace), 30)
    uploads = workspace.root / "uploads"
    assert not uploads.exists() or list(uploads.iterdir()) == [], "no private copy is left"


def run(app: AppTest) -> AppTest:
    app.run()
    assert not app.exception, app.exception
    return app


def run_until(app: AppTest, condition: Callable[[], object]) -> None:
    """Show the page again, as its timer would, until it says so."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, [element.value for element in [*app.error, *app.info, *app.success]]
        time.sleep(0.1)
        run(app)
