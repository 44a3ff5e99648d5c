"""A registry that is damaged, gone, foreign or from the future; and what the run folders alone can tell."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from llm_core.config.errors import NotFound, UserError
from llm_core.workspace.checkpoints import write_checkpoint
from llm_core.workspace.leases import LeaseLost, new_token, supersedes
from llm_core.workspace.metrics import MetricsWriter, seal_metrics
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.process_identity import ProcessIdentity, this_process
from llm_core.workspace.registry import JobRecord, Registry
from llm_core.workspace.runs import prepare_run_folder

ME = this_process()


def start(registry: Registry, name: str) -> tuple[JobRecord, MetricsWriter]:
    """A run with its folder and metrics, worked on by this process."""
    job = registry.add("train", name, {"name": name, "seed": 7})
    claimed = registry.claim(ME, ["train"], job.id)
    assert claimed is not None and claimed.lease_token is not None
    folder = prepare_run_folder(registry.workspace, claimed)
    return registry.move(job.id, "running", token=claimed.lease_token), MetricsWriter(folder, claimed.lease_token)


def damage(workspace: Workspace) -> bytes:
    """Overwrite the pages of the tables, keeping the header: what a failing disk does."""
    content = bytearray(workspace.database.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    workspace.database.write_bytes(content)
    return bytes(content)


def test_a_damaged_registry_is_set_aside_and_built_again_from_the_runs(workspace: Workspace) -> None:
    with Registry(workspace) as registry:
        finished, writer = start(registry, "finished one")
        writer.record_state("finished", result={"val_loss": 1.5, "steps": 10})
        writer.close()
        assert seal_metrics(workspace.runs / finished.id)
        live, live_writer = start(registry, "live one")
        dead, writer = start(registry, "dead one")
        writer.point("train_loss", 1, 1, 0.1, 4.0)
        writer.close()
        registry.add("train", "never started", {})
    lease = sqlite3.connect(workspace.runs / dead.id / "metrics.db")
    lease.execute("UPDATE lease SET owner = ?", (f'{{"pid": {ME.pid}, "boot_id": "x", "start_time": "1"}}',))
    lease.commit()
    lease.close()
    bad = damage(workspace)

    with Registry(workspace) as registry:
        records = {record.name: record for record in registry.jobs()}
        assert records.keys() == {"finished one", "live one", "dead one", "never started"}
        again = records["finished one"]
        assert (again.id, again.state, again.result) == (finished.id, "finished", {"val_loss": 1.5, "steps": 10})
        assert again.config == finished.config and again.ended_at is not None
        again = records["dead one"]
        assert (again.state, again.owner) == ("stopped", None) and "Resume" in again.remedy
        again = records["live one"]
        assert (again.state, again.lease_token, again.owner) == ("running", live.lease_token, ME)
        # The worker that lives through all this goes on under its own lease.
        assert live.lease_token is not None
        registry.move(live.id, "paused", token=live.lease_token)
        live_writer.close()
        # The next holder of a run gets a newer lease than every one given out before.
        assert records["never started"].state == "queued"
        registry.resume(dead.id)
        claimed = registry.claim(ME, ["train"], dead.id)
        assert claimed is not None and claimed.lease_token is not None and dead.lease_token is not None
        assert supersedes(claimed.lease_token, dead.lease_token)
        MetricsWriter(workspace.runs / dead.id, claimed.lease_token).close()
        with pytest.raises(LeaseLost):
            MetricsWriter(workspace.runs / dead.id, dead.lease_token)

        (event,) = registry.events()
        (aside,) = workspace.root.glob("glassbox.db.damaged-*")
        assert (
            event.kind == "registry_rebuilt"
            and "4 runs were found again" in event.message
            and aside.name in event.message
        )
        assert aside.read_bytes() == bad


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 500, b"SQLite format 3\0" + b"\0" * 4080])
def test_whatever_stands_in_its_place_a_registry_opens(workspace: Workspace, content: bytes) -> None:
    with Registry(workspace) as registry:
        start(registry, "a")[1].close()
    workspace.database.write_bytes(content)
    with Registry(workspace) as registry:
        assert [record.name for record in registry.jobs()] == ["a"]
        assert len(registry.events()) == 1


def test_a_missing_registry_is_built_again_and_an_empty_one_says_nothing(workspace: Workspace) -> None:
    with Registry(workspace) as registry:
        start(registry, "a")[1].close()
        assert registry.events() == []
    workspace.database.unlink()
    with Registry(workspace) as registry:
        assert [record.name for record in registry.jobs()] == ["a"]
        assert "1 run was found again" in registry.events()[0].message


def test_hostile_run_folders_do_not_stop_the_rebuilding(workspace: Workspace) -> None:
    contents = {
        "same1": '{"name": "same"}',
        "same2": '{"name": "same"}',
        "evil": '{"name": "../../etc\\u0000"}',
        "nameless": "{}",
        "numbered": '{"name": 7}',
        "broken": "{",
        "array": "[]",
        ".deleted-1": '{"name": "gone"}',
    }
    for folder, text in contents.items():
        (workspace.runs / folder).mkdir()
        (workspace.runs / folder / "config.json").write_text(text)
    (workspace.runs / "nameless" / "metrics.db").write_bytes(b"no database" * 1_000)
    (workspace.runs / "a file").write_text("")
    with Registry(workspace) as registry:
        records = {record.id: record for record in registry.jobs()}
        assert records.keys() == {"same1", "same2", "evil", "nameless", "numbered"}
        names = {record.name for record in records.values()}
        assert {"same", "evil", "nameless", "7"} < names and len(names) == 5
        assert {record.state for record in records.values()} == {"stopped"}


def test_a_run_that_was_imported_is_found_finished(workspace: Workspace) -> None:
    with Registry(workspace) as registry:
        record = registry.add("train", "gpt2", {}, state="finished")
        folder = prepare_run_folder(workspace, record)
        writers = {"model.safetensors": lambda path: path.write_bytes(b"weights")}
        write_checkpoint(folder, 0, writers, kind="weights", lease_token=new_token(0))
    workspace.database.unlink()
    with Registry(workspace) as registry:
        assert [(record.name, record.state) for record in registry.jobs()] == [("gpt2", "finished")]


def test_a_resumed_run_is_not_taken_for_its_former_end(workspace: Workspace) -> None:
    with Registry(workspace) as registry:
        record, writer = start(registry, "a")
        writer.record_state("stopped", reason="asked")
        writer.close()
        MetricsWriter(workspace.runs / record.id, new_token(2)).close()
    workspace.database.unlink()
    with Registry(workspace) as registry:
        assert registry.get(record.id).state == "running"


def test_an_open_registry_follows_the_new_file(workspace: Workspace) -> None:
    with Registry(workspace) as supervisor:
        start(supervisor, "a")[1].close()
        damage(workspace)
        with Registry(workspace) as page:
            queued = page.add("train", "b", {})
        claimed = supervisor.claim(ME, ["train"])
        assert claimed is not None and claimed.id == queued.id


def test_a_reopening_that_fails_is_tried_again(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    with Registry(workspace) as registry:
        start(registry, "a")[1].close()
        damage(workspace)
        with Registry(workspace), monkeypatch.context() as broken:

            def refuse(*_: object) -> object:
                raise sqlite3.OperationalError("unable to open database file")

            broken.setattr("llm_core.workspace.registry_file.connect", refuse)
            with pytest.raises(sqlite3.OperationalError):
                registry.jobs()
        assert [record.name for record in registry.jobs()] == ["a"]


def test_a_registry_of_a_newer_version_is_left_alone(workspace: Workspace) -> None:
    connection = sqlite3.connect(workspace.database)
    connection.execute("PRAGMA user_version = 99")
    connection.execute("CREATE TABLE jobs (future TEXT)")
    connection.commit()
    connection.close()
    before = workspace.database.read_bytes()
    with pytest.raises(UserError, match=r"newer Glassbox.*Update Glassbox"):
        Registry(workspace)
    assert workspace.database.read_bytes() == before


def test_a_workspace_that_was_removed_is_named(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path / "glassbox")
    with Registry(workspace) as registry:
        shutil.rmtree(workspace.root)
        with pytest.raises(NotFound, match="workspace folder is gone"):
            registry.jobs()


def test_notes_are_kept_in_order(registry: Registry) -> None:
    registry.note("supervisor", "first", "abc")
    registry.note("supervisor", "second")
    first, second = registry.events()
    assert (first.message, first.job_id, second.job_id) == ("first", "abc", None)
    assert registry.events(first.id) == [second]


def test_an_identity_without_a_process_is_dead() -> None:
    assert not ProcessIdentity(ME.pid, "another boot", ME.start_time).alive()
