"""Runs: the table, what is ticked by the link, the comparison, and deletion that asks once."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from llm_core.backend.jobs import submit_run
from llm_core.backend.worker import run_in_foreground
from llm_core.config.timing import Timing
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.process_identity import this_process
from llm_core.workspace.registry import Registry
from tests.backend.support import tiny

MAIN = Path(__file__).resolve().parents[2] / "pages" / "main.py"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("runs") / "home"
    workspace = open_workspace(home)
    import_corpus(workspace, "the statement is executed " * 200, ImportOptions(name="letters", kind="paste"))
    for family in ("lstm", "transformer"):
        record = submit_run(workspace, tiny(family, f"name={family}", "training.max_steps=4"), foreground=True)
        assert run_in_foreground(workspace, record.id, Timing()).state == "finished"
    return home


@pytest.fixture
def workspace(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A copy of its own of a workspace with a finished LSTM and a finished Transformer."""
    home = tmp_path / "home"
    shutil.copytree(trained, home)
    monkeypatch.setenv("GLASSBOX_HOME", str(home))
    return open_workspace(home)


def open_runs(**query: str) -> AppTest:
    app = AppTest.from_file(str(MAIN), default_timeout=30)
    app.run()
    app.switch_page("runs.py")
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception, app.exception
    return app


def texts(app: AppTest) -> str:
    kinds = ("caption", "markdown", "error", "warning", "success")
    return "\n".join(element.value for kind in kinds for element in app.get(kind)).replace("\\", "")


def names(app: AppTest) -> list[str]:
    return list(app.dataframe[0].value["name"])


def links(app: AppTest) -> list[Any]:
    return [link.proto.label for link in app.main.get("page_link")]


def test_an_empty_workspace_points_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLASSBOX_HOME", str(tmp_path / "home"))
    app = open_runs()
    assert "No runs yet" in texts(app)
    assert links(app) == ["Start on Home"]


def test_every_run_is_in_the_table_newest_first_and_can_be_filtered(workspace: Workspace) -> None:
    app = open_runs()
    assert names(app) == ["transformer", "lstm"]
    assert set(app.dataframe[0].value["family"]) == {"Transformer", "LSTM"}
    assert (app.dataframe[0].value["bits/byte"] > 0).all()
    app.text_input(key="runs-filter").set_value("lst").run()
    assert names(app) == ["lstm"]
    app.text_input(key="runs-filter").set_value("nothing like it").run()
    assert "No run matches" in texts(app)


def test_one_run_in_the_link_is_ticked_and_can_be_opened(workspace: Workspace) -> None:
    app = open_runs(run="lstm")
    assert links(app) == ["Monitor", "Look inside", "Talk to it"]
    with Registry(workspace) as registry:
        assert app.query_params["run"] in (registry.find("lstm").id, [registry.find("lstm").id])


def test_a_ticked_run_that_the_filter_hides_comes_back_with_it(workspace: Workspace) -> None:
    app = open_runs(run="lstm")
    app.text_input(key="runs-filter").set_value("transformer").run()
    assert names(app) == ["transformer"] and not links(app) and not app.warning
    app.text_input(key="runs-filter").set_value("").run()
    assert links(app) == ["Monitor", "Look inside", "Talk to it"]


def test_two_runs_are_compared_differences_only_at_first(workspace: Workspace) -> None:
    app = open_runs(run="lstm,transformer")
    assert not links(app)
    _, results, settings = app.dataframe
    assert set(results.value.columns) == {"lstm", "transformer"}
    assert "bits/byte" in results.value.index
    assert "Family (model.kind)" in settings.value.index
    assert "Width (model.hidden_size)" not in settings.value.index, "both are as wide"
    app.toggle(key="runs-differences").set_value(False).run()
    assert "Width (model.hidden_size)" in app.dataframe[2].value.index


def test_a_link_to_no_run_says_so_and_lists_what_there_is(workspace: Workspace) -> None:
    app = open_runs(run="nothing-like-it")
    assert "There is no run nothing-like-it" in texts(app) and "transformer" in texts(app)
    assert not links(app)


def test_deletion_says_what_is_freed_and_does_it(workspace: Workspace) -> None:
    app = open_runs(run="lstm")
    assert "This deletes lstm with all checkpoints and frees" in texts(app)
    app.button(key="delete-for-good").click().run()
    assert not app.exception
    assert "lstm deleted" in texts(app)
    assert names(app) == ["transformer"]
    with Registry(workspace) as registry:
        assert [record.name for record in registry.jobs("train")] == ["transformer"]
    assert len(list(workspace.runs.iterdir())) == 1


def test_a_run_at_work_is_not_deleted(workspace: Workspace) -> None:
    with Registry(workspace) as registry:
        registry.add("train", "at work", tiny().model_dump(mode="json"))
        record = registry.claim(this_process(), ["train"])
        assert record is not None
    app = open_runs(run="at work,lstm")
    assert "Still at work: at work" in texts(app)
    assert not [button for button in app.button if button.key == "delete-for-good"]


def test_a_viewer_cannot_delete(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_core.ui.guards.current_role", lambda: "viewer")
    app = open_runs(run="lstm")
    app.button(key="delete-for-good").click().run()
    assert "opens Glassbox for reading" in texts(app)
    with Registry(workspace) as registry:
        assert len(registry.jobs("train")) == 2
