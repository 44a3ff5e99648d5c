"""Home: one click starts a run, what runs is shown, what was is a click away."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from llm_core.backend.jobs import submit_run
from llm_core.backend.worker import run_in_foreground
from llm_core.config.presets import preset
from llm_core.config.run import config_from_dict
from llm_core.config.timing import Timing
from llm_core.figures.sparkline import sparkline
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus
from llm_core.ui.run_summaries import ago
from llm_core.workspace.metrics import MetricsWriter
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.process_identity import this_process
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import run_folder
from tests.backend.support import tiny

MAIN = Path(__file__).resolve().parents[2] / "pages" / "main.py"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("GLASSBOX_HOME", str(tmp_path / "home"))
    # What is asked for is looked at here; doing it has tests of its own.
    monkeypatch.setattr("llm_core.backend.jobs.start_supervisor", lambda workspace: False)
    return open_workspace(tmp_path / "home")


def open_home() -> AppTest:
    app = AppTest.from_file(str(MAIN), default_timeout=30).run()
    assert not app.exception, app.exception
    assert [title.value for title in app.title] == ["Home"]
    return app


def texts(app: AppTest) -> str:
    return "\n".join(element.value for kind in ("caption", "markdown") for element in app.get(kind)).replace("\\", "")


def test_the_first_screen_offers_a_run_and_says_how_long_it_takes(workspace: Workspace) -> None:
    app = open_home()
    assert "minutes on this machine" in texts(app)
    assert "No run has ended yet" in texts(app) and "Nothing is running" in texts(app)
    assert [button.proto.type for button in app.button].count("primary") == 1


@pytest.mark.parametrize(("key", "name"), [("start-transformer", "pocket-gpt"), ("start-lstm", "pocket-lstm")])
def test_one_click_queues_the_preset_and_opens_monitor(workspace: Workspace, key: str, name: str) -> None:
    app = open_home()
    app.button(key=key).click().run()
    assert [title.value for title in app.title] == ["Monitor"]
    with Registry(workspace) as registry:
        (record,) = registry.jobs("train")
        assert record.name == name
        assert config_from_dict({**record.config, "name": ""}) == preset(name)


def test_own_text_leads_to_data(workspace: Workspace) -> None:
    app = open_home()
    app.button(key="own-text").click().run()
    assert [title.value for title in app.title] == ["Data"]


def test_what_runs_and_waits_is_shown_with_its_share_and_time_left(workspace: Workspace) -> None:
    with Registry(workspace) as registry:
        registry.add("train", "bold *run*", tiny().model_dump(mode="json"))
        record = registry.claim(this_process(), ["train"])
        assert record is not None and record.lease_token is not None
        registry.move(record.id, "running", token=record.lease_token)
        registry.add("train", "next", tiny().model_dump(mode="json"))
    with MetricsWriter(run_folder(workspace, record.id), record.lease_token) as writer:
        writer.heartbeat({"step": 620, "max_steps": 1000, "eta_seconds": 31.2, "phase": "training"})
    app = open_home()
    progress = [bar.proto.text.replace("\\", "") for bar in app.main.get("progress")]
    assert progress == ["step 620 of 1,000 · 0:31 left"]
    assert "1 run waits in the queue" in texts(app) and "1. **next**" in texts(app)
    assert r"**bold \*run\***" in "\n".join(element.value for element in app.markdown)


def test_ended_runs_are_rows_with_three_ways_in(workspace: Workspace) -> None:
    import_corpus(workspace, "the statement is executed " * 200, ImportOptions(name="letters", kind="paste"))
    record = submit_run(workspace, tiny("lstm", "name=mine", "training.max_steps=4"), foreground=True)
    assert run_in_foreground(workspace, record.id, Timing()).state == "finished"
    app = open_home()
    assert "LSTM on letters" in texts(app) and "bits/byte" in texts(app) and "just now" in texts(app)
    labels = [link.proto.label for link in app.main.get("page_link")]
    assert labels == ["Monitor", "Look inside", "Talk to it"]
    assert {link.proto.query_string for link in app.main.get("page_link")} == {f"run={record.id}"}


def test_a_run_that_is_not_there_any_more_is_no_row(workspace: Workspace) -> None:
    """Summaries of ended runs are kept, but which runs there are is asked each time."""
    import_corpus(workspace, "the statement is executed " * 200, ImportOptions(name="letters", kind="paste"))
    record = submit_run(workspace, tiny("lstm", "name=mine", "training.max_steps=2"), foreground=True)
    run_in_foreground(workspace, record.id, Timing())
    app = open_home()
    assert "LSTM on letters" in texts(app)
    with Registry(workspace) as registry:
        registry.rename(record.id, "yours")
    assert "**yours**" in texts(app.run())
    with Registry(workspace) as registry:
        registry.delete(record.id)
    shutil.rmtree(run_folder(workspace, record.id))
    assert "LSTM on letters" not in texts(app.run())


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "just now"),
        (59, "just now"),
        (300, "5 min ago"),
        (7200, "2 h ago"),
        (86_400, "1 day ago"),
        (5 * 86_400, "5 days ago"),
    ],
)
def test_moments_are_spoken_as_distances(seconds: float, words: str) -> None:
    assert ago(1e9, now=1e9 + seconds) == words


def test_a_sparkline_draws_its_points_inside_its_frame() -> None:
    picture = sparkline([3.0, 1.0, 2.0], "#0072B2", width=100, height=30)
    assert picture.count(",") == 3 and 'stroke="#0072B2"' in picture
    assert 'points="2.0,2.0 50.0,28.0 98.0,15.0"' in picture
    assert "script" not in sparkline([1.0, 1.0], '"><script>')
