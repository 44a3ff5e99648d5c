"""What was changed on a run's way, read from its events and laid over the settings it began with; and the report that tells it."""

from __future__ import annotations

from pathlib import Path

from llm_core.backend.run_changes import RunChange, changes_of, spoken_changes, with_changes
from llm_core.backend.run_report import run_report
from llm_core.workspace.metrics import MetricsWriter
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import run_folder
from tests.backend.support import tiny

RATE, BATCH = "optimizer.learning_rate", "training.batch_size"


def changed(writer: MetricsWriter, step: int, setting: str, before: object, after: object) -> None:
    data = {"setting": setting, "before": before, "after": after, "command": f"c{step}", "author": "test"}
    writer.event("changed", f"{setting}: {before} → {after}", step=step, data=data)


def test_changes_hold_unless_a_way_back_undid_them(tmp_path: Path) -> None:
    assert changes_of(tmp_path) == [], "a run that has not begun"
    with MetricsWriter(tmp_path, "1-a") as writer:
        writer.event("checkpoint", "Checkpoint at step 5.", step=5)
        changed(writer, 10, RATE, 0.01, 0.001)
        changed(writer, 30, BATCH, 4, 8)
        writer.event("rolled_back", "Back to 20.", step=20, data={"from_step": 40, "to_step": 20})
    (kept,) = changes_of(tmp_path)
    assert kept == RunChange(10, RATE, 0.01, 0.001, "c10", "test")
    assert spoken_changes([kept]) == f"after step 10: {RATE} 0.01 → 0.001" and spoken_changes([]) == ""


def test_settings_as_they_lie_on_disk_take_changes() -> None:
    config = {"name": "a", "optimizer": {"learning_rate": 0.01, "unknown_to_this_version": [1, 2]}}
    now = with_changes(config, [RunChange(1, RATE, 0.01, 0.1), RunChange(2, RATE, 0.1, 0.2), RunChange(3, BATCH, 4, 8)])
    assert now["optimizer"] == {"learning_rate": 0.2, "unknown_to_this_version": [1, 2]}
    assert now["training"] == {"batch_size": 8} and config["optimizer"] == {
        "learning_rate": 0.01,
        "unknown_to_this_version": [1, 2],
    }
    assert with_changes(config, []) == config


def test_the_report_tells_what_the_run_has_now_and_what_it_began_with(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path / "home")
    with Registry(workspace) as registry:
        config = tiny("lstm", "name=tuned", f"{RATE}=0.0173").model_dump(mode="json")
        record = registry.add("train", "tuned", config)
    folder = run_folder(workspace, record.id)
    folder.mkdir(parents=True)
    assert "changed on the way" not in run_report(workspace, record).body
    with MetricsWriter(folder, "1-a") as writer:
        changed(writer, 1_234, RATE, 0.0173, 0.0051)
    body = run_report(workspace, record).body
    assert "changed on the way" in body
    assert "<td>1,234</td><td>Learning rate</td><td>0.0173</td><td>0.0051</td>" in body
    assert f"<td>Learning rate</td><td>0.0051</td><td>{RATE}</td>" in body, "the table holds the present value"
