"""Runs compared that went other ways than they began: one was changed on its way, one ended early; and what a finished one says.

The runs are written by hand, through the real writer and registry. Not here: the table and what a sweep looks like (`test_runs_page.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from llm_core.ui import run_summaries
from llm_core.ui.run_summaries import listed_runs
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.metrics import MetricsWriter
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.process_identity import this_process
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import prepare_run_folder, run_folder
from tests.backend.support import tiny

MAIN = Path(__file__).resolve().parents[2] / "pages" / "main.py"
RATE = "optimizer.learning_rate"
CHANGE = {"setting": RATE, "before": 0.01, "after": 0.002, "command": "c", "author": "test"}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    home = tmp_path / "home"
    monkeypatch.setenv("GLASSBOX_HOME", str(home))
    for module in ("jobs", "run_commands"):  # nobody works the queue off
        monkeypatch.setattr(f"llm_core.backend.{module}.start_supervisor", lambda workspace: False)
    return open_workspace(home)


def ended(
    workspace: Workspace,
    name: str,
    *,
    seed: int = 1,
    until: int = 40,
    state: str = "finished",
    reason: str = "The budget is used up.",
    changed: Mapping[str, Any] | None = None,
) -> JobRecord:
    """A run with an evaluation every ten steps, and one change after step 20."""
    config = tiny("lstm", f"name={name}", f"seed={seed}", f"{RATE}=0.01").model_dump(mode="json")
    with Registry(workspace) as registry:
        added = registry.add("train", name, config)
        claimed = registry.claim(this_process(), ["train"], added.id)
        assert claimed is not None and claimed.lease_token is not None
        registry.move(added.id, "running", token=claimed.lease_token)
        prepare_run_folder(workspace, claimed)
        with MetricsWriter(run_folder(workspace, added.id), claimed.lease_token) as writer:
            writer.begin_segment(None, 0)
            for step in range(0, until + 1, 10):
                for key, value in (("val_loss", 3.0), ("bits_per_byte", 4.0 + 0.01 * seed)):
                    writer.point(key, step, 64 * step, float(step), value - step / 100)
            if changed is not None:
                writer.event("changed", "learning rate", step=20, data=changed)
        result = {"steps": until, "val_loss": 3.0 - until / 100, "bits_per_byte": 4.0 + 0.01 * seed - until / 100}
        return registry.move(added.id, state, token=claimed.lease_token, reason=reason, result=result)


def opened(page: str, *runs: JobRecord) -> AppTest:
    app = AppTest.from_file(str(MAIN), default_timeout=60)
    app.run()
    app.switch_page(page)
    app.query_params["run"] = ",".join(run.id for run in runs)
    app.run()
    assert not app.exception, app.exception
    return app


def texts(app: AppTest) -> str:
    return "\n".join(str(element.value) for element in [*app.markdown, *app.caption]).replace("\\", "")


def pictures(app: AppTest) -> list[Any]:
    return [chart.proto for chart in app.get("plotly_chart")]


def test_a_run_that_was_changed_on_its_way_has_not_the_same_settings(workspace: Workspace) -> None:
    plain, tuned = ended(workspace, "plain"), ended(workspace, "tuned", seed=2, changed=CHANGE)
    app = opened("runs.py", plain, tuned)
    settings = app.dataframe[-1].value
    assert "These runs have the same settings" not in texts(app)
    assert set(settings.loc[f"Learning rate ({RATE})"]) == {"0.01", "0.002"}
    assert set(settings.loc["Changed on the way"]) == {"–", f"after step 20: {RATE} 0.01 → 0.002"}
    assert not pictures(app), "they are no two seeds of one setting, so nothing is drawn as a band"


def test_a_change_that_comes_back_is_still_another_way(workspace: Workspace) -> None:
    plain = ended(workspace, "plain")
    same = ended(workspace, "same-in-the-end", seed=2, changed={**CHANGE, "before": 0.5, "after": 0.01})
    app = opened("runs.py", plain, same)
    settings = app.dataframe[-1].value
    assert list(settings.index) == ["Seed (seed)", "Changed on the way"] and not pictures(app)


def test_what_was_changed_is_read_once_of_an_ended_run(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [ended(workspace, "plain"), ended(workspace, "tuned", changed=CHANGE)]
    read: list[Path] = []
    changes_of = run_summaries.changes_of
    monkeypatch.setattr(run_summaries, "changes_of", lambda folder: [read.append(folder), changes_of(folder)][1])  # pyright: ignore
    st.cache_resource.clear()
    for _ in range(3):
        plain, tuned = listed_runs(workspace, records)
        assert plain.config["optimizer"]["learning_rate"] == 0.01 and not plain.history
        assert tuned.config["optimizer"]["learning_rate"] == 0.002 and tuned.history
    assert len(read) == 2


def test_a_run_that_ended_early_does_not_cut_its_group(workspace: Workspace) -> None:
    runs = [ended(workspace, f"seed {seed}", seed=seed) for seed in (1, 2)]
    runs.append(ended(workspace, "seed 3", seed=3, until=10, state="failed", reason="No power."))
    app = opened("runs.py", *runs)
    (picture,) = pictures(app)
    (line,) = [trace for trace in json.loads(picture.spec)["data"] if trace.get("name")]
    assert line["name"] == "LSTM (2 runs)"
    assert "Left out, because they came less than half as far as the longest of their group: 1 of “LSTM”." in texts(app)
    assert "A band ends where" not in texts(app)
    assert json.loads(picture.config)["modeBarButtons"] == [["toImage"]]


def test_a_run_that_ended_later_cuts_its_group_and_that_is_told(workspace: Workspace) -> None:
    runs = [
        ended(workspace, "seed 1"),
        ended(workspace, "seed 2", seed=2, until=30, state="stopped", reason="cancelled"),
    ]
    said = texts(opened("runs.py", *runs))
    assert "A band ends where the shortest of its runs does." in said and "Left out" not in said


def test_a_finished_run_says_why_and_what_one_can_do(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    done = ended(workspace, "done")
    app = opened("monitor.py", done)
    assert "The budget is used up. Raise its budget under Change to train on, or talk to it below." in texts(app)
    assert not app.info and not app.error, "said quietly"
    monkeypatch.setattr("llm_core.ui.guards.current_role", lambda: "viewer")
    assert "The budget is used up. Talk to it below." in texts(opened("monitor.py", done))


def test_events_have_a_date(workspace: Workspace) -> None:
    app = opened("monitor.py", ended(workspace, "done", changed=CHANGE))
    events = next(table.value for table in app.dataframe if "kind" in table.value)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", when) for when in events["when"])
