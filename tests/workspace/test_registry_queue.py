"""The queue: its order, what may be changed while a run waits, and what survives the loss of the registry."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from llm_core.config.errors import NameTaken, NotFound, Refused, UserError
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.json_files import read_json
from llm_core.workspace.metrics import MetricsWriter
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.process_identity import this_process
from llm_core.workspace.queue_copy import FILE_NAME
from llm_core.workspace.registry import Registry
from llm_core.workspace.registry_connection import RegistryUnavailable
from llm_core.workspace.runs import prepare_run_folder
from tests.workspace.conftest import CHECKOUT

ME = this_process()


def add(registry: Registry, *names: str) -> list[str]:
    return [registry.add("train", name, {"name": name, "seed": 1}).id for name in names]


def names(registry: Registry) -> list[str]:
    return [record.name for record in registry.queue()]


def claimed(registry: Registry, job_id: str | None = None) -> JobRecord:
    record = registry.claim(ME, ["train"], job_id)
    assert record is not None and record.lease_token is not None
    return record


def begun(registry: Registry, job_id: str) -> tuple[JobRecord, str]:
    """A run that has made its folder and trains, and its lease."""
    record = claimed(registry, job_id)
    assert record.lease_token is not None
    MetricsWriter(prepare_run_folder(registry.workspace, record), record.lease_token).close()
    return registry.move(job_id, "running", token=record.lease_token), record.lease_token


def test_whoever_waits_can_be_moved(registry: Registry) -> None:
    a, b, c, d = add(registry, "a", "b", "c", "d")
    probe = registry.add("probe", "p", {})
    registry.move_in_queue(d, before=b)
    assert names(registry) == ["a", "d", "b", "c"]
    registry.move_to_front(c)
    registry.move_in_queue(a)
    registry.move_in_queue(b, before=b)
    assert names(registry) == ["c", "d", "b", "a"]
    assert [record.name for record in registry.queue(None)] == ["c", "d", "b", "p", "a"]
    assert [registry.claim(ME, ["train"]) and names(registry) for _ in range(2)] == [["d", "b", "a"], ["b", "a"]]
    for job_id, before in ((c, a), (a, c), (c, None)):
        with pytest.raises(Refused, match=r"does not wait in the queue any more.*c is starting"):
            registry.move_in_queue(job_id, before=before)
    with pytest.raises(Refused):
        registry.move_to_front(c)
    for job_id, before in ((a, "0000000000"), ("0000000000", None)):
        with pytest.raises(NotFound):
            registry.move_in_queue(job_id, before=before)
    assert names(registry) == ["b", "a"] and registry.get(probe.id).state == "queued"


def test_there_is_always_room_between_two(registry: Registry) -> None:
    first, second, third = add(registry, "a", "b", "c")
    for _ in range(60):  # each move halves the gap; a double holds some fifty halvings
        registry.move_in_queue(third, before=second)
        registry.move_in_queue(second, before=third)
    assert names(registry) == ["a", "b", "c"]
    assert [record.id for record in registry.queue()] == [first, second, third]


def test_settings_and_name_can_be_changed_until_a_worker_comes(registry: Registry) -> None:
    a, _ = add(registry, "a", "b")
    (registry.workspace.runs / a).mkdir()
    config_file = registry.workspace.runs / a / "config.json"
    config_file.write_text('{"name": "a", "seed": 1}')
    record = registry.edit_queued(a, {"name": "new", "seed": 2})
    assert (record.name, record.config, record.state) == ("new", {"name": "new", "seed": 2}, "queued")
    assert read_json(config_file) == {"name": "new", "seed": 2}
    assert registry.edit_queued(a, {"seed": 3}).name == "new"
    assert names(registry) == ["new", "b"], "it keeps its place"
    with pytest.raises(NameTaken):
        registry.edit_queued(a, {"name": "b"})
    with pytest.raises(UserError):
        registry.edit_queued(a, {"name": "a/b"})
    _, token = begun(registry, a)
    with pytest.raises(Refused, match="new is running"):
        registry.edit_queued(a, {"seed": 4})
    registry.requeue(a, token, "gone")
    with pytest.raises(Refused, match=r"begun already.*Fork it"):
        registry.edit_queued(a, {"seed": 4})
    assert registry.get(a).config == {"seed": 3}


def test_a_run_without_a_worker_is_ended_at_once(registry: Registry) -> None:
    (a,) = add(registry, "a")
    _, token = begun(registry, a)
    with pytest.raises(Refused):
        registry.cancel(a)
    registry.move(a, "paused", token=token)
    record = registry.cancel(a)
    assert (record.state, record.reason, record.owner) == ("stopped", "Stopped while it was paused.", None)


def test_the_gpus_of_a_run_are_its_own_until_its_lease_ends(registry: Registry) -> None:
    a, b = add(registry, "a", "b")
    seen: list[str] = []

    def assign(record: JobRecord) -> list[str] | None:
        seen.append(record.name)
        return ["GPU-1"] if record.id == a else None

    record = registry.claim(ME, ["train"], assign=assign)
    assert record is not None and record.gpus == ("GPU-1",) and registry.get(a).gpus == ("GPU-1",)
    assert registry.claim(ME, ["train"], assign=assign) is None
    assert (seen, registry.get(b).state, registry.get(b).attempts) == (["a", "b"], "queued", 0)
    assert record.lease_token is not None
    assert registry.requeue(a, record.lease_token, "gone").gpus == ()


def test_what_a_resumption_prepares_is_done_only_when_it_is_allowed(registry: Registry) -> None:
    (a,) = add(registry, "a")
    done: list[str] = []
    with pytest.raises(Refused):
        registry.resume(a, prepare=lambda: done.append("too early"))
    registry.cancel(a)
    registry.resume(a, prepare=lambda: done.append(registry.get(a).state))
    assert done == ["queued"]

    def fail() -> None:
        raise OSError("no space left")

    registry.cancel(a)
    with pytest.raises(OSError, match="no space"):
        registry.resume(a, prepare=fail)
    assert registry.get(a).state == "stopped"


def test_paused_runs_and_the_queue_survive_the_loss_of_the_registry(workspace: Workspace) -> None:
    with Registry(workspace) as registry:
        ids = dict(zip("abcdefg", add(registry, *"abcdefg"), strict=True))
        registry.add("train", "mine", {}, foreground=True)
        for name in "abc":
            record, token = begun(registry, ids[name])
            with MetricsWriter(workspace.runs / record.id, token) as writer:
                writer.record_state("paused", reason="asked", result={"steps": 7})
            registry.move(record.id, "paused", token=token, reason="asked", result={"steps": 7})
        registry.move_in_queue(ids["g"], before=ids["e"])
        registry.resume(ids["b"])
        resumed = registry.resume(ids["c"])
        _, live_token = begun(registry, ids["c"])  # goes on under its own lease, whatever it said before
        registry.edit_queued(ids["d"], {"name": "edited", "seed": 5})
        registry.cancel(ids["f"])
        assert names(registry) == ["b", "edited", "g", "e", "mine"]
        before = {record.id: record for record in registry.jobs()}
    assert resumed.state == "queued"
    workspace.database.write_bytes(b"this was a database " * 1_000)
    with Registry(workspace) as registry:
        assert names(registry) == ["b", "edited", "g", "e"]
        after = {record.name: record for record in registry.jobs()}
        assert after.keys() == {"a", "b", "c", "edited", "g", "e"}
        paused = after["a"]
        assert (paused.state, paused.reason, paused.result) == ("paused", "asked", {"steps": 7})
        assert (paused.owner, paused.lease_token, paused.ended_at) == (None, None, None)
        assert after["edited"].config == before[ids["d"]].config == {"name": "edited", "seed": 5}
        assert (after["c"].state, after["c"].lease_token) == ("running", live_token)
        with pytest.raises(Refused, match="begun already"):
            registry.edit_queued(ids["b"], {"seed": 2})
        registry.resume(paused.id)
        assert names(registry) == ["a", "b", "edited", "g", "e"]
        for name in "ab":  # each lease is newer than all that were given out before
            record, _ = begun(registry, ids[name])
            assert record.attempts == 1


@pytest.mark.parametrize("content", ["", "[]", '{"runs": 7}', '{"runs": [7, {"id": "x"}, {"id": "../../x"}]}'])
def test_a_copy_of_the_queue_that_says_nothing_is_passed_over(workspace: Workspace, content: str) -> None:
    with Registry(workspace) as registry:
        (run_id,) = add(registry, "a")
        begun(registry, run_id)
    entry = json.dumps(
        {"id": "../../x", "name": "evil", "config": {}, "created_at": 1, "queued_at": 1, "max_attempts": 3}
    )
    (workspace.root / FILE_NAME).write_text(content.replace('{"id": "../../x"}', entry))
    workspace.database.unlink()
    with Registry(workspace) as registry:
        assert [record.name for record in registry.jobs()] == ["a"]


V1_TABLE = """
    CREATE TABLE jobs (id TEXT PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '', remedy TEXT NOT NULL DEFAULT '', config TEXT NOT NULL, created_at REAL NOT NULL,
    queued_at REAL NOT NULL, started_at REAL, ended_at REAL, attempts INTEGER NOT NULL DEFAULT 0, max_attempts INTEGER NOT NULL,
    owner TEXT, lease_token TEXT, leases INTEGER NOT NULL DEFAULT 0, result TEXT NOT NULL DEFAULT '{}',
    color TEXT NOT NULL DEFAULT '', dash TEXT NOT NULL DEFAULT '', foreground INTEGER NOT NULL DEFAULT 0, once TEXT)
"""


def test_a_registry_of_the_first_version_keeps_its_queue(workspace: Workspace) -> None:
    with closing(sqlite3.connect(workspace.database)) as connection:
        connection.execute(V1_TABLE)
        connection.execute(
            "CREATE TABLE events (id INTEGER PRIMARY KEY, at REAL, kind TEXT, message TEXT, job_id TEXT)"
        )
        for number, queued_at in enumerate((30.0, 10.0, 20.0)):
            values = (f"run{number}", f"at {queued_at:g}", queued_at)
            connection.execute(
                "INSERT INTO jobs (id, kind, name, state, config, created_at, queued_at, max_attempts)"
                " VALUES (?, 'train', ?, 'queued', '{}', 1.0, ?, 3)",
                values,
            )
        connection.execute("PRAGMA user_version = 1")
        connection.commit()
    with Registry(workspace) as old, Registry(workspace) as registry:
        assert names(registry) == ["at 10", "at 20", "at 30"]
        add(registry, "new")
        registry.move_to_front("run0")
        assert names(old) == ["at 30", "at 10", "at 20", "new"]
        assert registry.events() == []


def test_a_reader_that_never_ends_gives_a_message_and_not_for_ever(workspace: Workspace) -> None:
    with Registry(workspace, busy_seconds=0.05) as registry:
        (run_id,) = add(registry, "a")
        with closing(sqlite3.connect(workspace.database)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM jobs").fetchall()
            for act in (lambda: registry.cancel(run_id), lambda: registry.note("kind", "message")):
                with pytest.raises(RegistryUnavailable, match=r"Another program holds.*waited 0.05 seconds.*Try again"):
                    act()
            assert registry.get(run_id).state == "queued", "it can still be read, and nothing was half done"
            with Registry(workspace, busy_seconds=0.05) as page:
                assert names(page) == ["a"]
        assert registry.cancel(run_id).state == "stopped"
        with closing(sqlite3.connect(workspace.database, isolation_level=None)) as writer:
            writer.execute("BEGIN EXCLUSIVE")
            with pytest.raises(RegistryUnavailable, match="Another program"):
                registry.get(run_id)
            with pytest.raises(RegistryUnavailable, match="Another program"):
                Registry(workspace, busy_seconds=0.05)
        assert registry.get(run_id).reason == "cancelled"


AS_NOBODY = """
import os, sys
from pathlib import Path
from llm_core.config.errors import UserError
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
workspace = Workspace(Path(sys.argv[1]))
assert not os.access(workspace.root, os.W_OK)
with Registry(workspace) as registry:
    print([(record.name, record.state) for record in registry.jobs()])
    try:
        registry.add("train", "b", {})
    except UserError as error:
        print(error)
"""


@pytest.fixture
def readable_by_all() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        inner = Path(folder) / "glassbox"
        yield inner
        inner.chmod(0o755)


def test_a_workspace_that_cannot_be_written_to_is_read_and_says_so(readable_by_all: Path) -> None:
    workspace = open_workspace(readable_by_all)
    with Registry(workspace) as registry:
        add(registry, "a")
    for path in (workspace.database, workspace.root / FILE_NAME):
        path.chmod(0o444)
    workspace.root.chmod(0o555)
    child = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, workspace.root],
        capture_output=True,
        text=True,
        check=False,
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    listed, said = child.stdout.splitlines() or ["", child.stderr]
    assert listed == "[('a', 'queued')]", child.stderr
    assert "cannot be written to" in said and "use another workspace" in said
