"""Every page runs through the frame: with an empty workspace, with a finished run of each kind, with a link that names no run."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from llm_core.backend.jobs import submit_run
from llm_core.backend.worker import run_in_foreground
from llm_core.config.timing import Timing
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus
from llm_core.workspace.paths import open_workspace
from tests.backend.support import tiny

MAIN = Path(__file__).resolve().parents[2] / "pages" / "main.py"
PAGES = ("home", "data", "tokenizer", "train", "monitor", "runs", "attention", "playground")
TITLES = {name: name.capitalize() for name in PAGES}


def open_page(name: str, **query: str) -> AppTest:
    app = AppTest.from_file(str(MAIN), default_timeout=60)
    app.run()
    if name != "home":
        app.switch_page(f"{name}.py")
    for key, value in query.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception, app.exception
    assert [title.value for title in app.title] == [TITLES[name]]
    return app


@pytest.mark.parametrize("name", PAGES)
def test_every_page_opens_on_an_empty_workspace(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLASSBOX_HOME", str(tmp_path / "home"))
    assert not open_page(name).error


@pytest.fixture(scope="module")
def full_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a finished Transformer and a finished LSTM."""
    home = tmp_path_factory.mktemp("app") / "home"
    workspace = open_workspace(home)
    import_corpus(workspace, "the statement is executed " * 200, ImportOptions(name="letters", kind="paste"))
    for family in ("lstm", "transformer"):
        config = tiny(family, f"name={family}", "data.context_length=32")
        record = submit_run(workspace, config, foreground=True)
        assert run_in_foreground(workspace, record.id, Timing()).state == "finished"
    return home


@pytest.mark.parametrize("run", ["lstm", "transformer"])
@pytest.mark.parametrize("name", PAGES)
def test_every_page_opens_on_a_full_workspace(
    name: str, run: str, full_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLASSBOX_HOME", str(full_home))
    monkeypatch.setenv("GLASSBOX_INFERENCE_IDLE_SECONDS", "5")
    assert not open_page(name, run=run).error


@pytest.mark.parametrize("name", ["monitor", "attention", "playground"])
def test_a_link_to_no_run_says_so(name: str, full_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLASSBOX_HOME", str(full_home))
    app = open_page(name, run="nothing-like-it")
    assert "There is no run" in app.warning[0].value
    assert "transformer" in app.warning[0].value
