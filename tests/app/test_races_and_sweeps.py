"""The forms of a race and a sweep: what each budget means, and that another draw is another one. The rest: `test_runs_page.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus
from llm_core.workspace.job_record import QUEUED
from llm_core.workspace.locks import FileLock
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.registry import Registry

MAIN = Path(__file__).resolve().parents[2] / "pages" / "main.py"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """One small text, and a queue that nobody works off."""
    monkeypatch.setenv("GLASSBOX_HOME", str(tmp_path / "home"))
    workspace = open_workspace(tmp_path / "home")
    import_corpus(workspace, "the statement is executed " * 200, ImportOptions(name="letters", kind="paste"))
    with FileLock(workspace.supervisor_lock) as lock:
        assert lock.try_acquire()
        yield workspace


def open_runs() -> AppTest:
    app = AppTest.from_file(str(MAIN), default_timeout=30)
    app.run()
    app.switch_page("runs.py").run()
    assert not app.exception, app.exception
    return app


def texts(app: AppTest) -> str:
    kinds = ("caption", "markdown", "error", "warning", "success")
    return "\n".join(element.value for kind in kinds for element in app.get(kind)).replace("\\", "")


def rates(workspace: Workspace) -> set[float]:
    """Learning rates of the runs that wait."""
    with Registry(workspace) as registry:
        return {record.config["optimizer"]["learning_rate"] for record in registry.jobs("train", [QUEUED])}


def text_choice(app: AppTest) -> Any:
    """Of the sweep; a key of its own for whatever it starts from: a preset, or a run that was started before."""
    return next(box for box in app.selectbox if str(box.key).startswith("sweep-text-"))


def test_a_race_says_what_its_budget_means_to_each(workspace: Workspace) -> None:
    app = open_runs()
    assert "counts the whole text and ends when it is done" in texts(app)
    app.button_group(key="race-budget").set_value("steps").run()
    assert "reads 2,048 tokens here" in texts(app)
    app.button_group(key="race-budget").set_value("tokens").run()
    assert "in whole steps" in texts(app)
    app.selectbox(key="race-text").set_value("letters").run()
    app.number_input(key="race-tokens").set_value(1_000).run()
    app.button(key="start-race").click().run()
    assert "reads more than the budget" in texts(app)
    with Registry(workspace) as registry:
        assert registry.jobs("train") == []


def test_another_sweep_draws_other_combinations_and_a_seed_the_same_again(workspace: Workspace) -> None:
    app = open_runs()

    def plan(seed: int | None = None) -> int:
        """Start a sweep of three; returns the seed it drew with."""
        text_choice(app).set_value("letters").run()
        app.text_input(key="sweep-values-optimizer.learning_rate").set_value("0.001..0.1").run()
        app.button_group(key="sweep-way").set_value("some at random").run()
        app.number_input(key="sweep-count").set_value(3).run()
        if seed is not None:
            app.number_input(key="sweep-seed").set_value(seed).run()
        used = int(app.number_input(key="sweep-seed").value)
        app.button(key="start-sweep").click().run()
        assert not app.exception and f"Drawn with seed {used}." in texts(app), texts(app)
        app.button(key="again-sweep").click().run()
        return used

    first = plan()
    drawn = rates(workspace)
    second = plan()
    assert second != first and len(rates(workspace)) == 6, "nothing is drawn twice"
    assert plan(first) == first and len(rates(workspace)) == 6, "a seed that is given draws what it drew before"
    assert drawn < rates(workspace)


def test_combinations_that_cannot_work_are_passed_over_and_said(workspace: Workspace) -> None:
    app = open_runs()
    text_choice(app).set_value("letters").run()
    app.multiselect(key="sweep-paths").set_value(["model.hidden_size"]).run()
    app.text_input(key="sweep-values-model.hidden_size").set_value("64..256").run()
    app.button_group(key="sweep-way").set_value("some at random").run()
    said = texts(app)
    assert "10 runs" in said and "cannot work came up and got another one instead" in said, said
