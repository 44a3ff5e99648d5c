"""Run folders: how they begin, what they come to in one line, how they are deleted; and what this room may import."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from llm_core.config.errors import NotFound, Refused, UserError
from llm_core.config.run import RunConfig, load_config
from llm_core.workspace.checkpoints import write_checkpoint
from llm_core.workspace.metrics import MetricsWriter, seal_metrics
from llm_core.workspace.paths import Workspace
from llm_core.workspace.process_identity import this_process
from llm_core.workspace.registry import JobRecord, Registry
from llm_core.workspace.runs import delete_run, folder_bytes, prepare_run_folder, run_folder, summarise_run


def start(registry: Registry, name: str = "demo") -> tuple[JobRecord, MetricsWriter]:
    config = RunConfig(name=name).model_dump(mode="json")
    job = registry.add("train", name, config)
    claimed = registry.claim(this_process(), ["train"], job.id)
    assert claimed is not None and claimed.lease_token is not None
    folder = prepare_run_folder(registry.workspace, claimed)
    record = registry.move(job.id, "running", token=claimed.lease_token)
    return record, MetricsWriter(folder, claimed.lease_token)


def test_a_run_folder_begins_with_its_settings(workspace: Workspace, registry: Registry) -> None:
    record = registry.add("train", "mine", RunConfig(name="", seed=3).model_dump(mode="json"))
    folder = prepare_run_folder(workspace, record)
    config = load_config((folder / "config.json").read_text())
    assert config == RunConfig(name="mine", seed=3)
    (folder / "config.json").write_text("kept")
    assert prepare_run_folder(workspace, record) == folder and (folder / "config.json").read_text() == "kept"
    with pytest.raises(UserError):
        run_folder(workspace, "../x")


def test_a_queued_run_has_a_summary(workspace: Workspace, registry: Registry) -> None:
    record = registry.add("train", "q", RunConfig().model_dump(mode="json"))
    summary = summarise_run(workspace, record)
    assert (summary.state, summary.kind, summary.dataset, summary.max_steps) == (
        "queued",
        "transformer",
        "python-reference",
        2_000,
    )
    assert (summary.steps, summary.train_loss, summary.sparkline, summary.progress, summary.size_bytes) == (
        0,
        None,
        [],
        {},
        0,
    )
    odd = dataclasses.replace(record, config={"model": None, "training": [1]})
    assert summarise_run(workspace, odd).kind == ""


def test_a_summary_follows_the_run(workspace: Workspace, registry: Registry) -> None:
    record, writer = start(registry)
    writer.begin_segment(None, 0)
    for step in range(1, 201):
        writer.point("train_loss", step, step, 0.0, float("nan") if step == 200 else 5.0 - step / 100)
    writer.point("val_loss", 200, 200, 0.0, 3.1)
    writer.point("tokens_per_second", 200, 200, 0.0, 9_000.0)
    writer.heartbeat({"step": 200, "max_steps": 400, "parameters": 812_544, "seconds": 12.5, "phase": "training"})
    summary = summarise_run(workspace, record)
    assert (summary.name, summary.state, summary.color) == ("demo", "running", record.color)
    assert (summary.steps, summary.max_steps, summary.parameters, summary.seconds) == (200, 400, 812_544, 12.5)
    assert (summary.train_loss, summary.val_loss, summary.tokens_per_second) == (None, 3.1, 9_000.0)
    assert summary.progress["phase"] == "training" and summary.progress["written_at"] > 0
    assert 35 <= len(summary.sparkline) <= 40 and summary.sparkline[0] == 4.99
    assert summary.size_bytes > 10_000

    assert record.lease_token is not None
    result = {"val_loss": 2.5, "bits_per_byte": 1.8, "steps": 400, "train_loss": float("nan")}
    record = registry.move(record.id, "finished", token=record.lease_token, result=result)
    writer.close()
    assert seal_metrics(run_folder(workspace, record.id))
    summary = summarise_run(workspace, record)
    assert (summary.state, summary.val_loss, summary.bits_per_byte, summary.steps) == ("finished", 2.5, 1.8, 400)
    assert summary.ended_at is not None


def test_damaged_metrics_do_not_take_the_list_down(workspace: Workspace, registry: Registry) -> None:
    record, writer = start(registry)
    writer.close()
    assert seal_metrics(run_folder(workspace, record.id))
    (run_folder(workspace, record.id) / "metrics.db").write_bytes(b"no database " * 500)
    summary = summarise_run(workspace, record)
    assert summary.name == "demo" and summary.train_loss is None


def test_delete_is_refused_while_running_and_touches_no_file(workspace: Workspace, registry: Registry) -> None:
    record, writer = start(registry)
    before = sorted(run_folder(workspace, record.id).rglob("*"))
    with pytest.raises(Refused):
        delete_run(workspace, registry, record.id)
    assert sorted(run_folder(workspace, record.id).rglob("*")) == before
    writer.close()


def test_delete_frees_what_it_says_and_sweeps_what_a_kill_left(workspace: Workspace, registry: Registry) -> None:
    record, writer = start(registry)
    writer.close()
    folder = run_folder(workspace, record.id)
    writers = {"model.safetensors": lambda path: path.write_bytes(b"x" * 50_000)}
    assert record.lease_token is not None
    write_checkpoint(folder, 10, writers, lease_token=record.lease_token)
    registry.move(record.id, "stopped", token=record.lease_token)
    (workspace.runs / ".deleted-0123").mkdir()
    (workspace.runs / ".deleted-0123" / "left").write_text("left")
    expected = folder_bytes(folder)
    assert delete_run(workspace, registry, record.id) == expected > 50_000
    assert list(workspace.runs.iterdir()) == [] and registry.jobs() == []
    with pytest.raises(NotFound):
        delete_run(workspace, registry, record.id)
    with pytest.raises(UserError):
        delete_run(workspace, registry, "../datasets")


def test_a_run_without_files_can_be_deleted(workspace: Workspace, registry: Registry) -> None:
    assert delete_run(workspace, registry, registry.add("train", "q", {}).id) == 0


def test_deleting_follows_no_link_out_of_the_run(workspace: Workspace, registry: Registry, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("mine")
    record = registry.add("train", "a", {})
    folder = prepare_run_folder(workspace, record)
    (folder / "link").symlink_to(precious)
    (folder / "file-link").symlink_to(precious / "thesis.txt")
    delete_run(workspace, registry, record.id)
    assert (precious / "thesis.txt").read_text() == "mine"


def test_the_room_imports_neither_torch_nor_pyarrow_nor_pandas() -> None:
    room = Path(__file__).parents[2] / "llm_core" / "workspace"
    modules = ["llm_core.workspace." + path.stem for path in room.glob("*.py") if path.stem != "__init__"]
    code = (
        "import importlib, sys\n"
        f"for name in {modules}: importlib.import_module(name)\n"
        "print({'torch', 'pyarrow', 'pandas', 'streamlit', 'psutil'} & sys.modules.keys())"
    )
    child = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=room.parents[1]
    )
    assert child.stdout.strip() == "set()"
