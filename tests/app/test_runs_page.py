"""Runs: the table, what is ticked by the link, the comparison, races and sweeps, archive, and deletion that asks once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from llm_core.backend.jobs import delete_run, submit_run
from llm_core.backend.worker import run_in_foreground
from llm_core.config.errors import UserError
from llm_core.config.timing import Timing
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus
from llm_core.workspace.job_record import QUEUED
from llm_core.workspace.lineage import Lineage, write_lineage
from llm_core.workspace.locks import FileLock
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.process_identity import this_process
from llm_core.workspace.registry import Registry
from llm_core.workspace.run_notes import change_notes
from llm_core.workspace.runs import run_folder
from tests.backend.support import tiny

MAIN = Path(__file__).resolve().parents[2] / "pages" / "main.py"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An LSTM, a Transformer, and what looks like a sweep: two learning rates with two seeds each."""
    home = tmp_path_factory.mktemp("runs") / "home"
    workspace = open_workspace(home)
    import_corpus(workspace, "the statement is executed " * 200, ImportOptions(name="letters", kind="paste"))
    for family in ("lstm", "transformer"):
        train(workspace, family, f"name={family}")
    for rate in (0.002, 0.02):
        for seed in (1, 2):
            settings = [
                f"optimizer.learning_rate={rate}",
                f"seed={seed}",
                "group=sweep rates",
                f"name=rate {rate} seed {seed}",
            ]
            train(workspace, "lstm", *settings)
    return home


def train(workspace: Workspace, family: str, *changes: str) -> None:
    record = submit_run(workspace, tiny(family, "training.max_steps=4", *changes), foreground=True)
    assert run_in_foreground(workspace, record.id, Timing()).state == "finished"


@pytest.fixture
def workspace(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A copy of its own of the workspace with finished runs; the queue of it is worked off by nobody."""
    home = tmp_path / "home"
    shutil.copytree(trained, home)
    monkeypatch.setenv("GLASSBOX_HOME", str(home))
    workspace = open_workspace(home)
    with FileLock(workspace.supervisor_lock) as lock:
        assert lock.try_acquire()
        yield workspace


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


SWEEP = ["rate 0.02 seed 2", "rate 0.02 seed 1", "rate 0.002 seed 2", "rate 0.002 seed 1"]


def ids(workspace: Workspace, *wanted: str) -> str:
    with Registry(workspace) as registry:
        return ",".join(registry.find(name).id for name in wanted)


def pictures(app: AppTest) -> list[dict[str, Any]]:
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


def test_every_run_is_in_the_table_newest_first_and_can_be_filtered(workspace: Workspace) -> None:
    app = open_runs()
    assert names(app) == [*SWEEP, "transformer", "lstm"]
    table = app.dataframe[0].value
    assert set(table["family"]) == {"Transformer", "LSTM"}
    assert (table["bits/byte"] > 0).all() and set(table["seed"]) == {1, 2, 1337}
    assert set(table["data"].str.len()) == {8} and table["data"].nunique() == 1, "the text's hash was recorded"
    assert "tags" not in table and list(table["group"][:4]) == ["sweep rates"] * 4
    app.text_input(key="runs-filter").set_value("lst letters").run()
    assert "transformer" not in names(app)
    app.multiselect(key="runs-groups").set_value(["sweep rates"]).run()
    assert names(app) == SWEEP
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
    assert "One run of each cannot tell which is better" in texts(app)
    _, results, settings = (table.value for table in app.dataframe)
    assert set(results["name"]) == {"lstm", "transformer"}
    assert results["bits/byte"].is_monotonic_increasing, "the best first, as numbers that sort"
    assert {"validation", "tokens/s", "time", "seed", "data", "parameters"} <= set(results)
    assert "Family (model.kind)" in settings.index
    assert "Width (model.hidden_size)" not in settings.index, "both are as wide"
    assert not pictures(app)
    app.toggle(key="runs-differences").set_value(False).run()
    everything = app.dataframe[2].value
    assert {"Width (model.hidden_size)", "torch (environment)", "Hash of the text (environment)"} <= set(
        everything.index
    )


def test_a_sweep_is_drawn_grouped_and_judged_by_its_seeds(workspace: Workspace) -> None:
    app = open_runs(run=ids(workspace, *SWEEP))
    said = texts(app)
    assert "Learning rate 0.02" in said and "over 2 seeds (p " in said, "two seeds of two settings are a paired test"
    bands, picture = pictures(app)
    named = [trace["name"] for trace in bands["data"] if trace.get("name")]
    assert named == ["Learning rate 0.02 (2 runs)", "Learning rate 0.002 (2 runs)"], (
        "the seeds belong together at first"
    )
    lines = picture["data"]
    assert len(lines) == 4 and all(len(line["x"]) == 2 for line in lines), (
        "learning rate and loss; seeds are no setting"
    )
    assert [line["line"]["width"] for line in lines].count(4) == 1 and lines[-1]["line"]["width"] == 4
    assert any("Learning rate" in note["text"] for note in picture["layout"]["annotations"])
    by = app.selectbox(key="runs-by-4-True")
    by.set_value("optimizer.learning_rate").run()
    named = [trace["name"] for trace in pictures(app)[0]["data"] if trace.get("name")]
    assert named == ["0.002 (2 runs)", "0.02 (2 runs)"]
    app.button_group(key="runs-curve").set_value("Training").run()
    assert not app.exception and "loss of each step" in texts(app)
    app.selectbox(key="runs-by-4-True").set_value("").run()
    assert len(pictures(app)) == 1, "one by one they are drawn live"


def test_a_race_is_queued_once_and_ticked(workspace: Workspace) -> None:
    app = open_runs()
    app.multiselect(key="race-entrants").set_value(["lstm", "gru"]).run()
    app.selectbox(key="race-text").set_value("letters").run()
    app.number_input(key="race-seeds").set_value(3).run()
    assert "6 runs, at most 12:00 one after another. A test over the common seeds then says" in texts(app)
    app.button(key="start-race").click().run()
    assert not app.exception, app.exception
    assert "6 runs were queued" in texts(app)
    with Registry(workspace) as registry:
        queued = registry.jobs("train", [QUEUED])
    assert len(queued) == 6 and {record.config["group"] for record in queued} == {"race letters"}
    (link,) = [app.query_params["run"]] if isinstance(app.query_params["run"], str) else app.query_params["run"]
    assert set(link.split(",")) == {record.id for record in queued}
    assert not [button for button in app.button if button.key == "start-race"], "a second click finds no button"
    app.button(key="again-race").click().run()
    assert app.button(key="start-race")


def test_a_sweep_is_planned_from_a_ticked_run(workspace: Workspace) -> None:
    app = open_runs(run=ids(workspace, "lstm"))
    values = app.text_input(key="sweep-values-optimizer.learning_rate")
    assert values.value == "0.0005, 0.001, 0.002"
    values.set_value("0.001..0.1:log").run()
    assert "A grid needs the values of each setting" in texts(app)
    app.button_group(key="sweep-way").set_value("some at random").run()
    app.number_input(key="sweep-count").set_value(4).run()
    assert "4 runs, about" in texts(app)
    app.button(key="start-sweep").click().run()
    assert not app.exception, app.exception
    with Registry(workspace) as registry:
        queued = registry.jobs("train", [QUEUED])
    assert len(queued) == 4 and {record.config["model"]["kind"] for record in queued} == {"lstm"}
    assert {record.config["group"] for record in queued} == {"sweep letters"}


def test_what_is_archived_leaves_the_table_and_comes_back(workspace: Workspace) -> None:
    change_notes(run_folder(workspace, ids(workspace, "transformer")), tag=["keep"])
    app = open_runs(run=ids(workspace, "lstm"))
    app.button(key="archive-runs").click().run()
    assert "1 run put away" in texts(app) and "lstm" not in names(app)
    app.multiselect(key="runs-tags").set_value(["keep"]).run()
    assert names(app) == ["transformer"]
    app.multiselect(key="runs-tags").set_value([]).run()
    app.toggle(key="runs-archived").set_value(True).run()
    assert "lstm" in names(app)


def test_a_link_to_no_run_says_so_and_lists_what_there_is(workspace: Workspace) -> None:
    app = open_runs(run="nothing-like-it")
    assert "There is no run nothing-like-it" in texts(app) and "transformer" in texts(app)
    assert not links(app)


def test_deletion_says_what_is_freed_and_does_it(workspace: Workspace) -> None:
    parent = ids(workspace, "lstm")
    write_lineage(run_folder(workspace, ids(workspace, "transformer")), Lineage(parent, "lstm", 4))
    app = open_runs(run="lstm")
    assert "This deletes lstm with all checkpoints and frees" in texts(app)
    assert "Forked from it: transformer. What they need stays with them." in texts(app)
    app.button(key="delete-for-good").click().run()
    assert not app.exception
    assert "lstm deleted" in texts(app)
    assert names(app) == [*SWEEP, "transformer"]
    with Registry(workspace) as registry:
        assert [record.name for record in registry.jobs("train")] == [*SWEEP, "transformer"]
    assert len(list(workspace.runs.iterdir())) == 5


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
        assert len(registry.jobs("train")) == 6
    assert not [button for button in app.button if button.key in ("start-race", "start-sweep")]


def test_what_was_deleted_before_a_fault_is_told_with_it(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def delete(workspace: Workspace, run_id: str) -> int:
        if run_id == ids(workspace, "lstm"):  # the newest goes first
            raise UserError("The folder cannot be removed", remedy="Close what uses it")
        return delete_run(workspace, run_id)

    monkeypatch.setattr("llm_core.ui.run_deletion.delete_run", delete)
    app = open_runs(run="lstm,transformer")
    app.button(key="delete-for-good").click().run()
    assert not app.exception
    assert "The folder cannot be removed" in texts(app) and "transformer deleted" in texts(app)
    assert "lstm" in names(app) and "transformer" not in names(app)
