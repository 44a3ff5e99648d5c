"""What a viewer may do with a model: look inside, on Attention and in the Playground, and let it write nothing.

Not here: who may ask what, as declared (`tests/test_actions.py`), how a role is proved (`tests/web/`).
"""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from llm_core.backend.generation_files import FOLDER
from llm_core.backend.jobs import submit_run
from llm_core.backend.worker import run_in_foreground
from llm_core.config.timing import Timing
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus
from llm_core.web.permissions import ACTIONS, Action
from llm_core.web.roles import TRAINER
from llm_core.workspace.paths import open_workspace
from tests.app.model_runs import open_page, rerun
from tests.backend.support import tiny


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with one finished run."""
    home = tmp_path_factory.mktemp("viewer") / "home"
    workspace = open_workspace(home)
    import_corpus(workspace, "the statement is executed (or not)\n" * 120, ImportOptions(name="letters", kind="paste"))
    record = submit_run(workspace, tiny("transformer", "name=shown"), foreground=True)
    assert run_in_foreground(workspace, record.id, Timing()).state == "finished"
    return home


@pytest.fixture(autouse=True)
def as_viewer(studio: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOME": str(studio), "IDLE_SECONDS": "1", "INFERENCE_IDLE_SECONDS": "5"}.items():
        monkeypatch.setenv(f"GLASSBOX_{name}", value)
    monkeypatch.setattr("llm_core.ui.guards.current_role", lambda: "viewer")


def errors(app: AppTest) -> str:
    return " ".join(error.value for error in app.error)


def test_a_viewer_looks_inside(studio: Path) -> None:
    app = open_page("playground", run="shown", text="the st")
    assert app.get("plotly_chart") and not app.error
    app = open_page("attention", run="shown", text="the st")
    assert app.get("plotly_chart") and not app.error


def test_a_viewer_lets_no_model_write(studio: Path) -> None:
    app = open_page("playground", run="shown", text="the st")
    rerun(app.button(key="generate").click())
    assert "you may not let a model write" in errors(app)
    assert not list((studio / FOLDER).glob("*"))


@pytest.mark.parametrize("page", ["playground", "attention"])
def test_one_line_closes_it_to_viewers(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pages ask for the action itself, so that the declaration decides."""
    assert isinstance(ACTIONS, dict)
    monkeypatch.setitem(ACTIONS, "look-inside", Action(TRAINER, "look inside a model"))
    app = open_page(page, run="shown", text="the st")
    assert "you may not look inside a model" in errors(app)
    assert not app.get("plotly_chart")
