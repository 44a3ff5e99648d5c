"""Monitor over finished, stopped, failed and queued runs: what it shows, and that its buttons do what they say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from llm_core.backend.jobs import submit_run
from llm_core.backend.model_cache import ModelCache
from llm_core.backend.step_batch import step_batch
from llm_core.backend.worker import run_in_foreground
from llm_core.config.timing import Timing
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus
from llm_core.text.tokens import find_tokens
from llm_core.ui.health_notices import standing
from llm_core.workspace.commands import read_commands
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.lineage import Lineage, read_lineage
from llm_core.workspace.metrics import MetricsWriter
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


def open_monitor(run: str, **query: str) -> AppTest:
    app = AppTest.from_file(str(MAIN), default_timeout=60)
    app.run()
    app.switch_page("monitor.py")
    for name, value in {"run": run, **query}.items():
        app.query_params[name] = value
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
    assert re.search(r"\*\*[A-Z][a-z ]+\.\*\* .* as unsure as choosing among", words(app)), "a word, then its figures"
    assert not [button for button in app.button if button.label in ("Stop", "Resume")]
    assert [button.label for button in app.button if button.key == "same-text"] == ["The same text with a Transformer"]
    tokens = find_tokens(workspace, tiny("lstm", "data.context_length=32").data)
    assert tokens is not None
    with Registry(workspace) as registry:
        assert [job.config for job in registry.jobs("ngram")] == [{"tokens": tokens.key}], (
            "what counting reaches is counted"
        )


def plotted(app: AppTest) -> list[dict[str, Any]]:
    """What the charts of the page are told."""
    found = [json.loads(element.proto.json) for element in app.get("bidi_component")]
    return [data for data in found if "plotly" in data]


def test_every_curve_has_its_axis_its_colours_and_a_line_that_says_what_good_is(workspace: Workspace) -> None:
    app = open_monitor("done")
    (loss,) = plotted(app)
    assert loss["picks"] and "Click a point or a mark" in words(app)
    app.segmented_control(key="axis").set_value("epochs").run()
    (loss,) = plotted(app)
    tokens = find_tokens(workspace, tiny("lstm", "data.context_length=32").data)
    assert tokens is not None
    assert loss["axis"] == "epochs" and loss["runs"][0]["scale"] == 1 / tokens.meta.train_tokens

    app.segmented_control(key="curve").set_value("Layers").run()
    (layers,) = plotted(app)
    parts = ["embedding", "layer 0", "layer 1", "head"]
    assert list(layers["labels"].values()) == parts and layers["log"] and layers["decades"]
    assert layers["keys"] == [f"update_ratio/{part}" for part in parts] and len(layers["colors"]) == 4
    assert layers["guides"][0]["value"] == 0.001 and "From 0\\.001 to 0\\.02 is usual" in words(app)
    app.segmented_control(key="layer-measure").set_value("gradient_norm").run()
    assert plotted(app)[0]["keys"][0] == "gradient_norm/embedding" and "vanishing" in words(app)

    app.segmented_control(key="curve").set_value("Device").run()
    assert not plotted(app) and "measured nothing of this kind" in words(app), "the run was over before the first look"
    with Registry(workspace) as registry:
        folder = run_folder(workspace, registry.find("done").id)
    with MetricsWriter(folder, "000098-x") as writer:
        for key, value in (("cpu_percent", 93.0), ("memory_bytes", 6e8), ("disk_free_bytes", 2e10)):
            writer.point(f"device/{key}", 40, 40 * 128, 1.0, value)
    app.run()
    assert [data["keys"] for data in plotted(app)] == [
        ["device/cpu_percent"],
        ["device/memory_bytes"],
        ["device/disk_free_bytes"],
    ]
    assert plotted(app)[1]["y_suffix"] == "B"


def test_an_earlier_run_of_the_same_text_lies_behind_the_curve(workspace: Workspace) -> None:
    record = added(workspace, "second")
    with Registry(workspace) as registry:
        claimed = registry.claim(this_process(), ["train"], record.id)
        assert claimed is not None and claimed.lease_token is not None
        with MetricsWriter(run_folder(workspace, record.id), claimed.lease_token) as writer:
            writer.begin_segment(None, 0)
            for tokens, loss in ((0, 9.0), (2560, 2.0)):
                writer.point("val_loss", tokens // 64, tokens, 0.0, loss)
        for state in ("running", "finished"):
            registry.move(record.id, state, token=claimed.lease_token)
    app = open_monitor("second")
    (loss,) = plotted(app)
    assert loss["band"]["x"] == [40, 80], "128 tokens a step there, 64 here"
    assert loss["band"]["low"] == loss["band"]["high"]
    said = words(app).replace("\\", "")
    assert "Pale line: validation of done after as many tokens." in said
    assert "An earlier run of this text stood at" in said and "The first loss was 9.00 instead of about ln" in said
    app.segmented_control(key="axis").set_value("seconds").run()
    assert plotted(app)[0]["band"] is None, "time does not compare"


def test_a_step_of_the_link_is_shown_with_its_batch(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    # The same answer without the process that gives it, which has tests of its own.
    answer = lambda client, run_id, step: step_batch(workspace, ModelCache(workspace), run_id, step)  # noqa: E731
    monkeypatch.setattr("llm_core.ui.step_view.InferenceClient.step_batch", answer)
    app = open_monitor("done", step="21")
    assert [title.value for title in app.subheader] == ["Step 21"] and plotted(app)[0]["picked"] == 21
    said = words(app).replace("\\", "")
    assert "Scored by the checkpoint at step 20, without dropout: mean loss" in said
    assert "learning rate" in said and "The parts of the network" in said
    rows = app.selectbox[-1]
    assert len(rows.options) == 4 and rows.options[0].endswith("nats per token")
    shown = [json.loads(element.proto.json) for element in app.main.get("bidi_component")][-1]
    assert len(shown["tokens"]) == 33 and all(0 < token["p"] <= 1 for token in shown["tokens"][1:])
    assert list(app.dataframe[0].value["part"]) == ["embedding", "layer 0", "layer 1", "head"]
    app.button(key="close-step").click().run()
    assert not app.subheader and "step" not in app.query_params
    next(box for box in app.number_input if box.label == "Look at step").set_value(22).run()
    assert [title.value for title in app.subheader] == ["Step 22"] and app.query_params["step"] == "22"
    assert "There is no step 99 in this run" in open_monitor("done", step="99").warning[0].value.replace("\\", "")


def test_a_notice_says_what_it_saw_and_forks_with_one_click(workspace: Workspace) -> None:
    with Registry(workspace) as registry:
        record = registry.find("done")
    rate = record.config["optimizer"]["learning_rate"]
    data = {
        "rule": "loss_spike",
        "severity": "problem",
        "saw": "The loss rose from 2.1 to *7.4*.",
        "means": "Usually the learning rate is too high.",
        "advice": "Go on from before it.",
        "action": {"kind": "fork", "step": 20, "set": {"optimizer.learning_rate": rate / 3}},
    }
    with MetricsWriter(run_folder(workspace, record.id), "000099-x") as writer:
        writer.event("health", "An older one.", step=10, data={**data, "saw": "An older one."})
        writer.event("health", "The loss rose.", step=30, data=data)
    app = open_monitor("done")
    said = words(app)
    assert "**Loss spike.** " in said
    assert r"Step 30\: The loss rose from 2\.1 to \*7\.4\*\." in said and "An older one" not in said
    assert "★ something to look at" in said
    (button,) = [button for button in app.button if button.label.startswith("Fork from")]
    assert button.label == "Fork from step 20 with the learning rate divided by 3"
    button.click().run()
    with Registry(workspace) as registry:
        made = registry.find("done-fork")
        registry.cancel(made.id)
    assert made.config["optimizer"]["learning_rate"] == pytest.approx(rate / 3)
    assert read_lineage(run_folder(workspace, made.id)) == Lineage(record.id, "done", 20)


def test_a_way_out_begins_at_a_checkpoint_that_is_there() -> None:
    fork = {"kind": "fork", "step": 30, "set": {"model.dropout": 0.2}}
    assert standing(fork, [10, 30, 40]) == fork
    assert standing(fork, [10, 20, 40]) == {**fork, "step": 20}, "thinned away since"
    assert standing(fork, [40]) == {**fork, "kind": "restart", "step": 0}
    assert standing({"kind": "pause"}, []) == {"kind": "pause"}


def test_a_slow_machine_and_an_odd_text_have_a_click_of_their_own(workspace: Workspace) -> None:
    with Registry(workspace) as registry:
        made = registry.add("train", "slow", tiny("gru", "name=slow").model_dump(mode="json"), foreground=True)
        claimed = registry.claim(this_process(), ["train"], made.id)
        assert claimed is not None and claimed.lease_token is not None
        registry.move(made.id, "running", token=claimed.lease_token)
    folder = run_folder(workspace, made.id)
    with MetricsWriter(folder, claimed.lease_token) as writer:
        writer.begin_segment(None, 0)
        for rule, kind in (("slow_steps", "pause"), ("only_frequencies", "text")):
            writer.event("health", "Seen.", step=3, data={"rule": rule, "saw": "Seen.", "action": {"kind": kind}})
    app = open_monitor(made.id)
    links = [link.proto.label for link in app.main.get("page_link")]
    assert "Look at the text" in links
    next(button for button in app.button if button.label == "Pause until the machine is free").click().run()
    assert [said.kind for said in read_commands(folder)] == ["pause"]
    with Registry(workspace) as registry:
        registry.move(made.id, "stopped", token=claimed.lease_token)


def test_words_are_counted_events_sorted_and_the_log_searched(workspace: Workspace) -> None:
    with Registry(workspace) as registry:
        folder = run_folder(workspace, registry.find("done").id)
    (folder / "log.txt").write_text("first line\nWARNING: a slow step\nlast line\n", encoding="utf-8")
    app = open_monitor("done")
    assert re.search(
        r"Share of its words that occur in the text: \d+ % after 0 steps · \d+ % after 40 steps", words(app)
    )
    events = next(table.value for table in app.dataframe if "kind" in table.value)
    assert {"checkpoint", "state"} <= set(events["kind"])
    app.text_input(key="log-search").set_value("slow").run()
    assert "1 of 3 lines" in words(app)
    assert any(code.value.strip() == "2  WARNING: a slow step" for code in app.code)


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
