"""Notes, tags and exports of a run as a page shows them: saved on leaving the field, read-only for a viewer, made when asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.run_notes import change_notes, read_notes
from llm_core.workspace.runs import prepare_run_folder
from tests.backend.support import tiny

SCRIPT = """
from llm_core.ui.run_exports import run_exports
from llm_core.ui.run_notes import run_notes
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.registry import Registry

with Registry(open_workspace()) as registry:
    record = registry.jobs("train")[0]
run_notes(record)
run_exports(record, verdict="It learns.")
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("GLASSBOX_HOME", str(tmp_path / "home"))
    return open_workspace()


@pytest.fixture
def folder(workspace: Workspace) -> Path:
    with Registry(workspace) as registry:
        record = registry.add("train", "noted", tiny("lstm").model_dump(mode="json"))
    return prepare_run_folder(workspace, record)


def page() -> AppTest:
    shown = AppTest.from_string(SCRIPT, default_timeout=30).run()
    assert not shown.exception
    return shown


def test_what_is_written_is_saved_and_a_quarrel_loses_nothing(folder: Path) -> None:
    shown = page()
    shown.text_area[0].set_value("It *learns*.").run()
    assert read_notes(folder).text == "It *learns*." and shown.text_area[0].value == "It *learns*."
    change_notes(folder, tag=["paper", "good"])
    shown = page()
    assert shown.multiselect[0].value == ["paper", "good"]
    shown.multiselect[0].set_value(["good"]).run()
    assert read_notes(folder).tags == ("good",)
    shown = page()
    change_notes(folder, text="Written elsewhere.")
    shown.text_area[0].set_value("Mine.").run()
    assert "Somebody else changed" in shown.error[0].value and shown.code[0].value.startswith("Somebody else")
    assert "Mine." in [block.value for block in shown.code], "what was written can be copied"
    assert read_notes(folder).text == "Written elsewhere." and shown.text_area[0].value == "Written elsewhere."
    assert not shown.run().error


def test_a_run_gets_another_name_and_a_taken_one_is_refused(workspace: Workspace, folder: Path) -> None:
    with Registry(workspace) as registry:
        registry.add("train", "taken", {"name": "taken"}, state="finished")
    shown = AppTest.from_string(SCRIPT.replace("[0]", "[-1]"), default_timeout=30).run()
    shown.text_input[0].set_value("better").run()
    assert not shown.exception and shown.text_input[0].value == "better"
    shown.text_input[0].set_value("taken").run()
    assert "taken" in shown.error[0].value
    with Registry(workspace) as registry:
        record = registry.get(folder.name)
    assert record.name == record.config["name"] == "better"
    saved = json.loads((folder / "config.json").read_text())
    assert saved["name"] == "better", "a rebuilt registry knows it"


def test_a_viewer_reads_and_downloads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change_notes(folder, text="<b>bold</b> $x$", tag=["a*b"])
    monkeypatch.setattr("llm_core.ui.guards.current_role", lambda: "viewer")
    shown = page()
    assert not shown.text_area and not shown.multiselect and not shown.text_input
    assert shown.code[0].value == "<b>bold</b> $x$" and shown.markdown[0].value == "a\\*b"
    links: list[Any] = [*shown.get("link_button")]
    assert [link.proto.url.partition("/api/runs/")[2].partition("/")[2] for link in links] == [
        "points.csv",
        "run.zip?checkpoints=1",
        "run.zip?checkpoints=0",
    ]
    assert len(shown.get("download_button")) == 2
