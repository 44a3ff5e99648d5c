"""Monitor over finished, stopped, failed and queued runs: what it shows, and that its buttons do what they say."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from llm_core.backend.jobs import submit_run
from llm_core.backend.worker import run_in_foreground
from llm_core.config.timing import Timing
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus
from llm_core.text.tokens import find_tokens
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.metrics_read import samples
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.process_identity import this_process
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import run_folder
from tests.backend.support import tiny

MAIN = Path(__file__).resolve().parents[2] / "pages" / "main.py"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("monitor") / "home"
    workspace = open_workspace(home)
    import_corpus(workspace, "the statement is executed " * 200, ImportOptions(name="letters", kind="paste"))
    record = submit_run(workspace, tiny("lstm", "name=done", "data.context_length=32"), foreground=True)
    assert run_in_foreground(workspace, record.id, Timing()).state == "finished"
    return home


@pytest.fixture
def workspace(home: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("GLASSBOX_HOME", str(home))
    # What is asked for is looked at here; doing it has tests of its own.
    for module in ("jobs", "run_commands"):
        monkeypatch.setattr(f"llm_core.backend.{module}.start_supervisor", lambda workspace: False)
    return open_workspace(home)


def open_monitor(run: str) -> AppTest:
    app = AppTest.from_file(str(MAIN), default_timeout=60)
    app.run()
    app.switch_page("monitor.py")
    app.query_params["run"] = run
    app.run()
    assert not app.exception, app.exception
    return app


def words(app: AppTest) -> str:
    return "\n".join(str(element.value) for element in [*app.markdown, *app.caption, *app.info, *app.error])


def added(workspace: Workspace, name: str) -> JobRecord:
    with Registry(workspace) as registry:
        return registry.add("train", name, tiny("gru", f"name={name}").model_dump(mode="json"))


def test_a_finished_run_shows_its_figures_its_samples_and_what_to_do_next(workspace: Workspace) -> None:
    app = open_monitor("done")
    assert "**finished** · step 40 of 40 · 100 %" in words(app)
    assert [metric.label for metric in app.metric] == ["Validation loss", "Speed", "Trained for"]
    with Registry(workspace) as registry:
        record = registry.find("done")
    written = samples(run_folder(workspace, record.id))
    assert any(written[-1].text in code.value for code in app.code), "the newest sample is shown"
    assert "as unsure as choosing among" in words(app)
    assert not [button for button in app.button if button.label in ("Stop", "Resume")]
    assert [button.label for button in app.button if button.key == "same-text"] == ["The same text with a Transformer"]
    tokens = find_tokens(workspace, tiny("lstm", "data.context_length=32").data)
    assert tokens is not None
    with Registry(workspace) as registry:
        assert [job.config for job in registry.jobs("ngram")] == [{"tokens": tokens.key}], (
            "what counting reaches is counted"
        )


def test_an_older_sample_stays_chosen(workspace: Workspace) -> None:
    app = open_monitor("done")
    slider = next(slider for slider in app.select_slider if slider.label == "Sample after step")
    slider.set_value(20).run()
    assert "After 20 steps" in words(app).replace("\\", "")
    app.run()
    assert "After 20 steps" in words(app).replace("\\", "")


def test_a_queued_run_can_be_stopped_and_resumed_from_the_page(workspace: Workspace) -> None:
    record = added(workspace, "waits")
    app = open_monitor(record.id)
    app.button(key="stop-run").click().run()
    with Registry(workspace) as registry:
        assert registry.get(record.id).reason == "cancelled"
    app = open_monitor(record.id)
    assert "Stopped: cancelled" in words(app).replace("\\", "")
    app.button(key="resume-run").click().run()
    with Registry(workspace) as registry:
        assert registry.get(record.id).state == "queued"
        registry.cancel(record.id)


def test_a_failed_run_shows_reason_and_remedy_first(workspace: Workspace) -> None:
    record = added(workspace, "broke")
    with Registry(workspace) as registry:
        claimed = registry.claim(this_process(), ["train"], record.id)
        assert claimed is not None
        registry.move(record.id, "running", token=claimed.lease_token)
        registry.move(
            record.id, "failed", token=claimed.lease_token, reason="The disk is *full*.", remedy="Free some space."
        )
    app = open_monitor(record.id)
    assert "The disk is" in app.error[0].value and "Free some space" in app.error[0].value
    assert r"\*full\*" in app.error[0].value, "what a program said is never markup"
    assert not app.metric


def test_a_viewer_is_told_that_stopping_needs_the_other_password(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = added(workspace, "kept")
    monkeypatch.setattr("llm_core.ui.guards.current_role", lambda: "viewer")
    app = open_monitor(record.id)
    app.button(key="stop-run").click().run()
    assert "for reading" in app.error[0].value
    with Registry(workspace) as registry:
        assert registry.get(record.id).state == "queued"
        registry.cancel(record.id)
