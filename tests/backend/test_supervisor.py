"""The supervisor's judgement of leases, the slots and GPUs it gives, and what a run that waits allows."""

from __future__ import annotations

import dataclasses
import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from llm_core.backend.device_slots import assign_gpus, visible_gpus
from llm_core.backend.jobs import edit_queued_run, stop_job, submit_run
from llm_core.backend.supervisor import Supervisor, look_patiently
from llm_core.config.errors import Refused, UserError
from llm_core.config.slots import Slots
from llm_core.config.timing import Timing
from llm_core.workspace.adopted_runs import CopiedRuns
from llm_core.workspace.checkpoints import list_checkpoints, write_checkpoint
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.leases import new_token
from llm_core.workspace.metrics import MetricsWriter
from llm_core.workspace.paths import Workspace
from llm_core.workspace.process_identity import ProcessIdentity, identify, this_process
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import run_folder
from tests.backend.support import tiny, wait_for

QUICK = Timing(lease_seconds=0.2, start_seconds=0.4, term_grace_seconds=0.1, poll_seconds=0.02)


@pytest.fixture
def sleeper(workspace: Workspace) -> Iterator[subprocess.Popen[bytes]]:
    """A process that names the workspace, as its workers do."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", str(workspace.root)])
    yield child
    child.kill()
    child.wait()


def identity_of(child: subprocess.Popen[bytes]) -> ProcessIdentity:
    identity = identify(child.pid)
    assert identity is not None
    return identity


def held_by(workspace: Workspace, owner: ProcessIdentity) -> JobRecord:
    """A run in its only attempt, held by this process; its folder has the beat of a start."""
    with Registry(workspace) as registry:
        registry.add("train", "held", {}, max_attempts=1)
        record = registry.claim(owner, ["train"])
        assert record is not None and record.lease_token is not None
        with MetricsWriter(run_folder(workspace, record.id), record.lease_token) as writer:
            writer.heartbeat({})
        return registry.move(record.id, "running", token=record.lease_token)


def record_of(workspace: Workspace, run_id: str) -> JobRecord:
    with Registry(workspace) as registry:
        return registry.get(run_id)


def test_a_copied_workspace_ends_no_worker_of_the_original(workspace: Workspace) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "/the/original"])
    try:
        record = held_by(workspace, identity_of(child))
        with Registry(workspace) as registry:
            supervisor = Supervisor(registry, QUICK, Slots())

            def is_given_back() -> bool:
                supervisor.look()
                return record_of(workspace, record.id).is_final

            wait_for("the run to be given back", is_given_back, 10)
        assert record_of(workspace, record.id).reason.startswith("Its worker belongs to another workspace.")
        assert child.poll() is None, "it works on for the original"
    finally:
        child.kill()
        child.wait()


def test_a_clock_that_jumps_kills_nobody_and_silence_does(
    workspace: Workspace, sleeper: subprocess.Popen[bytes]
) -> None:
    record = held_by(workspace, identity_of(sleeper))
    with (
        Registry(workspace) as registry,
        closing(sqlite3.connect(run_folder(workspace, record.id) / "metrics.db")) as beats,
    ):
        supervisor = Supervisor(registry, QUICK, Slots())
        began, jump = time.monotonic(), 0.0
        while time.monotonic() < began + 5 * QUICK.start_seconds:
            jump = 3600.0 - jump  # the clock goes an hour ahead, and back, and the worker's beats with it
            beats.execute("UPDATE heartbeat SET written_at = ?", (time.time() - jump,))
            beats.commit()
            supervisor.look()
        assert sleeper.poll() is None and record_of(workspace, record.id).state == "running"
        wait_for("the silent worker to be ended", lambda: not supervisor.look(), 20)
        assert sleeper.poll() is not None
        ended = registry.get(record.id)
        assert (ended.state, ended.owner) == (
            "failed",
            None,
        ) and "no sign of life and was ended. It was tried once" in ended.reason
        assert [event.kind for event in registry.events()] == ["silent"]


def test_whoever_got_the_number_of_a_dead_worker_is_left_alone(
    workspace: Workspace, sleeper: subprocess.Popen[bytes]
) -> None:
    stranger = identity_of(sleeper)
    record = held_by(workspace, dataclasses.replace(stranger, start_time=str(int(stranger.start_time) - 1)))
    with Registry(workspace) as registry:
        supervisor = Supervisor(registry, QUICK, Slots())
        supervisor.look()
        assert registry.get(record.id).state == "failed"
        supervisor.look()
    assert stranger.alive() and sleeper.poll() is None


def test_a_silent_worker_that_wakes_up_and_stops_is_replaced(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLASSBOX_LEASE_SECONDS", "3")
    monkeypatch.setenv("GLASSBOX_TERM_GRACE_SECONDS", "60")
    endless = ("training.max_steps=1000000", "training.eval_interval=1000000", "training.checkpoint_interval=20")
    record = submit_run(workspace, tiny("rnn", "name=asleep", *endless))
    folder = run_folder(workspace, record.id)
    wait_for("a checkpoint", lambda: list_checkpoints(folder))
    first = record_of(workspace, record.id).owner
    assert first is not None
    first.send_signal(signal.SIGSTOP)

    def is_asked_to_end() -> bool:
        with Registry(workspace) as registry:
            return any(event.kind == "silent" for event in registry.events())

    wait_for("the supervisor to notice", is_asked_to_end)
    first.send_signal(signal.SIGCONT)

    def is_replaced() -> bool:
        now = record_of(workspace, record.id)
        return now.state == "running" and now.owner is not None and now.owner.pid != first.pid

    wait_for("another worker", is_replaced)
    assert record_of(workspace, record.id).attempts == 2, "it cannot go on so for ever"
    stop_job(workspace, record.id)
    wait_for("the end", lambda: record_of(workspace, record.id).is_final)


def test_one_bad_folder_does_not_keep_the_others_from_their_turn(workspace: Workspace) -> None:
    record = held_by(workspace, dataclasses.replace(this_process(), start_time="1"))
    (workspace.runs / "a\\b").mkdir()
    (workspace.runs / "a\\b" / "config.json").write_text("{}")
    database = run_folder(workspace, record.id) / "metrics.db"
    for part in database.parent.glob("metrics.db*"):
        part.unlink()
    database.mkdir()  # as good as one that this user may not open
    with Registry(workspace) as registry:
        supervisor = Supervisor(registry, QUICK, Slots())
        supervisor._copied = CopiedRuns(workspace, settled_seconds=0.0)  # pyright: ignore[reportPrivateUsage]
        for _ in range(3):
            supervisor.look()
        assert registry.get(record.id).state == "failed"
        assert [event.kind for event in registry.events()].count("unreadable_run") == 1, "said once"


def test_a_registry_that_somebody_holds_does_not_end_the_supervisor(workspace: Workspace) -> None:
    with Registry(workspace, busy_seconds=0.05) as registry:
        record = registry.add("import", "gone", {})
        registry.claim(dataclasses.replace(this_process(), start_time="1"), ["import"], record.id)
        supervisor = Supervisor(registry, QUICK, Slots())
        with closing(sqlite3.connect(workspace.database, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            assert look_patiently(supervisor) is False
        assert registry.get(record.id).state == "starting"


def training(*gpus: str, **settings: Any) -> JobRecord:
    """A run under way on these GPUs."""
    config = {"hardware": {"device": "auto", "num_processes": 1, **settings}}
    values = dict.fromkeys((field.name for field in dataclasses.fields(JobRecord)), None) | {
        "config": config,
        "gpus": gpus,
    }
    return JobRecord(**values)  # pyright: ignore[reportArgumentType]


def test_each_run_gets_its_own_gpus() -> None:
    def chosen(under_way: list[JobRecord], gpus: str, slots: int, **settings: Any) -> tuple[str, ...] | None:
        return assign_gpus(training(**settings).config, under_way, tuple(gpus), slots)

    assert chosen([], "", 1) == () and chosen([training()], "", 1) is None and chosen([training()], "", 2) == ()
    assert chosen([], "AB", 2) == ("A",) and chosen([training("A")], "AB", 2) == ("B",)
    assert chosen([training("B")], "AB", 2) == ("A",), "what is free is found again after a new start"
    assert chosen([training("A"), training("B")], "AB", 2) is None
    assert chosen([training("A"), training("B"), training("A")], "AB", 4) == ("B",), "the emptiest first"
    assert chosen([], "ABC", 3, num_processes=2) == ("A", "B")
    assert chosen([training("A"), training("B")], "ABC", 3, num_processes=2) is None, "one free GPU is not two"
    assert chosen([], "A", 1, num_processes=8) == ("A",), "more than there are: torch will say what is wrong"
    assert chosen([training("A")], "A", 1, device="cpu") == () and chosen([training(device="cpu")], "A", 1) == ("A",)
    assert chosen([training(device="cpu")], "AB", 2, device="cpu") is None, "one beside the GPUs, not one for each"
    assert chosen([training()], "AB", 2) == ("B",), "one in the foreground sits on the first"
    assert chosen([training(device="cpu")], "AB", 2) == ("A",)


def test_a_choice_of_gpus_made_outside_is_kept() -> None:
    for text, names in ((" 2, 3", ("2", "3")), ("", ()), ("GPU-1f,-1,0", ("GPU-1f",))):
        assert visible_gpus({"CUDA_VISIBLE_DEVICES": text}) == names
    assert isinstance(visible_gpus({}), tuple)
    assert Slots.from_environment({"GLASSBOX_TRAINING_SLOTS": "3"}).training_slots == 3
    with pytest.raises(UserError, match="training_slots"):
        Slots.from_environment({"GLASSBOX_TRAINING_SLOTS": "many"})


def test_two_gpus_train_two_runs_and_the_third_waits(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")
    endless = ("hardware.device=auto", "training.max_steps=1000000", "training.eval_interval=1000000")
    ids = [submit_run(workspace, tiny("rnn", *endless)).id for _ in range(3)]

    def both() -> list[JobRecord]:
        with Registry(workspace) as registry:
            records = sorted(registry.jobs("train", ["running"]), key=lambda record: ids.index(record.id))
        return records if len(records) == 2 else []

    wait_for("two workers", both)
    first, second = both()
    assert [first.id, second.id] == ids[:2]
    for record, gpu in ((first, "GPU-a"), (second, "GPU-b")):
        assert record.gpus == (gpu,) and record.owner is not None
        environment = Path(f"/proc/{record.owner.pid}/environ").read_bytes().split(b"\0")
        assert f"CUDA_VISIBLE_DEVICES={gpu}".encode() in environment
    assert record_of(workspace, ids[2]).state == "queued"
    for run_id in reversed(ids):
        stop_job(workspace, run_id)
    wait_for("all to end", lambda: all(record_of(workspace, run_id).is_final for run_id in ids))
    assert record_of(workspace, ids[0]).gpus == ()


def test_a_run_that_waits_is_edited_and_a_paused_one_ended_without_a_worker(workspace: Workspace) -> None:
    with Registry(workspace) as registry:
        waiting = registry.add("train", "waiting", tiny().model_dump(mode="json"))
        fork = registry.add("train", "fork", tiny().model_dump(mode="json"))
        paused = registry.add("train", "paused", tiny().model_dump(mode="json"))
        record = registry.claim(this_process(), ["train"], paused.id)
        assert record is not None and record.lease_token is not None
        registry.move(paused.id, "running", token=record.lease_token)
        registry.move(paused.id, "paused", token=record.lease_token)
    edited = edit_queued_run(workspace, waiting.id, tiny("lstm", "training.max_steps=7"))
    assert (edited.name, edited.state) == ("waiting", "queued")
    assert edited.config["model"]["kind"] == "lstm" and json.loads(json.dumps(edited.config))["name"] == "waiting"
    with pytest.raises(UserError, match="too short for one validation window"):
        edit_queued_run(workspace, waiting.id, tiny("lstm", "data.context_length=500"))
    writers = {"model.safetensors": lambda path: path.write_bytes(b"weights")}
    write_checkpoint(run_folder(workspace, fork.id), 5, writers, kind="full", lease_token=new_token(0))
    with pytest.raises(Refused, match="goes on from a checkpoint"):
        edit_queued_run(workspace, fork.id, tiny("lstm"))
    assert stop_job(workspace, paused.id).state == "stopped"
    with pytest.raises(Refused, match="stopped already"):
        stop_job(workspace, paused.id)
