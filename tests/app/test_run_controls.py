"""The buttons of one run: which are there in which state, and that each asks for what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from llm_core.backend.jobs import submit_run
from llm_core.backend.worker import run_in_foreground
from llm_core.config.timing import Timing
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus
from llm_core.workspace.commands import read_commands
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.lineage import read_lineage
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.process_identity import this_process
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import run_folder
from tests.app.test_monitor_page import open_monitor, words
from tests.backend.support import tiny


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("controls") / "home"
    workspace = open_workspace(home)
    import_corpus(workspace, "the statement is executed " * 200, ImportOptions(name="letters", kind="paste"))
    record = submit_run(workspace, tiny("lstm", "name=done"), foreground=True)
    assert run_in_foreground(workspace, record.id, Timing()).state == "finished"
    return home


@pytest.fixture
def workspace(home: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("GLASSBOX_HOME", str(home))
    for module in ("jobs", "run_commands"):  # what is asked for is looked at here; doing it has tests of its own
        monkeypatch.setattr(f"llm_core.backend.{module}.start_supervisor", lambda workspace: False)
    return open_workspace(home)


def running(workspace: Workspace, name: str) -> JobRecord:
    """A run that this very process holds and never steps."""
    with Registry(workspace) as registry:
        made = registry.add("train", name, tiny("gru", f"name={name}").model_dump(mode="json"), foreground=True)
        claimed = registry.claim(this_process(), ["train"], made.id)
        assert claimed is not None
        return registry.move(made.id, "running", token=claimed.lease_token)


def buttons(app: AppTest) -> set[str]:
    return {str(button.key) for button in app.button if button.key}


def asked(workspace: Workspace, record: JobRecord) -> list[tuple[str, dict[str, object], str]]:
    return [(said.kind, said.args, said.author) for said in read_commands(run_folder(workspace, record.id))]


def test_a_running_run_is_changed_paused_and_stopped(workspace: Workspace) -> None:
    record = running(workspace, "busy")
    app = open_monitor(record.id)
    assert {"pause-run", "stop-run", "change-run"} <= buttons(app) and "resume-run" not in buttons(app)
    assert app.button(key="change-run").disabled, "nothing is different yet"
    rate = next(box for box in app.number_input if box.label == "Learning rate")
    rate.set_value(0.0003).run()
    app.button(key="change-run").click().run()
    assert "Learning rate 0.001 → 0.0003: asked, done at the next step" in words(app).replace("\\", "")
    app.button(key="pause-run").click().run()
    assert app.button(key="pause-run").label == "Pausing…" and app.button(key="pause-run").disabled
    app.button(key="stop-run").click().run()
    assert asked(workspace, record) == [
        ("set", {"optimizer.learning_rate": 0.0003}, "dashboard"),
        ("pause", {}, "dashboard"),
        ("stop", {}, "dashboard"),
    ]
    with Registry(workspace) as registry:
        registry.move(record.id, "paused", reason="Paused on request.", remedy="Resume goes on from here.")
    app.run()
    assert {"resume-run", "stop-run", "change-run"} <= buttons(app) and "pause-run" not in buttons(app)
    app.button(key="resume-run").click().run()
    with Registry(workspace) as registry:
        assert registry.get(record.id).state == "queued"
        claimed = registry.claim(this_process(), ["train"], record.id)
        assert claimed is not None
        registry.move(record.id, "running", token=claimed.lease_token)
    app.run()
    assert not app.button(key="pause-run").disabled and app.button(key="pause-run").label == "Pause", "it is asked anew"
    assert not app.button(key="stop-run").disabled
    with Registry(workspace) as registry:
        registry.move(record.id, "stopped", token=claimed.lease_token)


def test_a_run_that_was_stopped_while_it_waited_can_be_stopped_again(workspace: Workspace) -> None:
    with Registry(workspace) as registry:
        record = registry.add("train", "waiting", tiny("gru", "name=waiting").model_dump(mode="json"))
    app = open_monitor(record.id)
    for _ in range(2):
        app.button(key="stop-run").click().run()
        app.run()
        assert "resume-run" in buttons(app)
        app.button(key="resume-run").click().run()
        app.run()
        assert not app.button(key="stop-run").disabled
    with Registry(workspace) as registry:
        registry.cancel(record.id)


def test_a_finished_run_gets_a_larger_budget_and_goes_on(workspace: Workspace) -> None:
    done = submit_run(workspace, tiny("rnn", "name=grown", "training.max_steps=4"), foreground=True)
    assert run_in_foreground(workspace, done.id, Timing()).state == "finished"
    app = open_monitor("grown")
    which = app.selectbox(key=f"change-which-{done.id}")
    assert {*which.options} == {"Steps", "Tokens", "Epochs", "Minutes"}, "all else would be refused"
    steps = next(
        box for box in app.number_input if str(box.key).startswith(f"change-{done.id}") and box.label == "Steps"
    )
    steps.set_value(6).run()
    app.button(key="change-run").click().run()
    assert asked(workspace, done)[0] == ("set", {"training.max_steps": 6}, "dashboard")
    with Registry(workspace) as registry:
        assert registry.get(done.id).state == "queued"
        registry.cancel(done.id)
    app.run()
    assert "Steps → 6: waits until the run goes on" in words(app).replace("\\", "") and "resume-run" in buttons(app)


def test_a_finished_run_is_forked_and_sent_back(workspace: Workspace) -> None:
    app = open_monitor("done")
    with Registry(workspace) as registry:
        done = registry.find("done")
    assert {f"fork-run-{done.id}", "roll-back-run", "change-run"} <= buttons(app)
    assert not {"pause-run", "stop-run", "resume-run"} & buttons(app)
    steps = next(
        box
        for box in app.number_input
        if box.key and str(box.key).startswith(f"fork-{done.id}") and "Steps" in box.label
    )
    assert steps.value == 80, "from the last step on there would be nothing to do"
    app.multiselect(key=f"fork-more-{done.id}").set_value(["model.dropout"]).run()
    dropout = next(box for box in app.number_input if str(box.key).endswith("-model.dropout"))
    dropout.set_value(0.3).run()
    app.button(key=f"fork-run-{done.id}").click().run()
    assert not app.exception, app.exception
    with Registry(workspace) as registry:
        fork = registry.find("done-fork")
        assert (fork.config["training"]["max_steps"], fork.config["model"]["dropout"]) == (80, 0.3)
        registry.cancel(fork.id)
    lineage = read_lineage(run_folder(workspace, fork.id))
    assert lineage is not None and (lineage.parent, lineage.step) == (done.id, 40)

    app = open_monitor("done")
    app.selectbox(key=f"back-step-{done.id}").set_value(20).run()
    assert "1 later checkpoints" in words(app)
    app.button(key="roll-back-run").click().run()
    assert asked(workspace, done)[0] == ("roll_back", {"step": 20}, "dashboard")
    with Registry(workspace) as registry:
        assert registry.get(done.id).state == "queued"
        registry.cancel(done.id)
