"""A disk that is really full: runs rest or are taken up again, nothing is half written, and the end is that of the undisturbed run.

The disk is a small file system in memory, which takes the right to mount one; where that is missing, what is tested with less stays
(`test_run_recorder.py`: the kernel's own full device; `test_kills.py`: a disk that says it is full).
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from llm_core.backend.jobs import delete_run, submit_run
from llm_core.backend.run_commands import resume_run
from llm_core.backend.worker import run_in_foreground
from llm_core.config.timing import Timing
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus
from llm_core.workspace.checkpoints import list_checkpoints, verify_checkpoint
from llm_core.workspace.disk_space import free_bytes
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.registry_connection import RegistryUnavailable
from llm_core.workspace.runs import run_folder
from tests.backend.support import FAST, processes_of, tiny, wait_for
from tests.backend.test_kills import losses, record_of, weights

DISK_BYTES = 80_000_000


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A workspace on a file system of its own, of 80 MB."""
    for name, value in {**FAST, "OMP_NUM_THREADS": "1"}.items():
        monkeypatch.setenv(name, value)
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this process may not mount a file system")
    try:
        workspace = open_workspace(disk / "home")
        text = "".join(np.random.default_rng(0).choice(list("abcdefgh \n"), 4000))
        import_corpus(workspace, text, ImportOptions(name="letters", kind="paste"))
        yield workspace
        wait_for("every process of the workspace to end", lambda: not processes_of(workspace), 20)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(workspace: Workspace, leave_bytes: int = 0) -> Path:
    """A file that takes the room of the disk, down to nothing or to what shall be left."""
    ballast = workspace.root.parent / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while (room := free_bytes(workspace.root) - leave_bytes) > 0:
                file.write(bytes(min(room, 1_000_000)))
        except OSError:
            pass  # somebody else took the last of it
    return ballast


def test_too_little_room_for_a_checkpoint_and_the_run_goes_on_later(small_disk: Workspace) -> None:
    run = submit_run(small_disk, tiny("rnn", "name=cramped"), foreground=True)
    ballast = fill(small_disk, leave_bytes=30_000_000)
    rests = run_in_foreground(small_disk, run.id, Timing.from_environment())
    assert rests.state == "paused" and "nearly full: the checkpoint" in rests.reason and "resume" in rests.remedy
    assert list_checkpoints(run_folder(small_disk, run.id)) == []
    ballast.unlink()
    resume_run(small_disk, run.id, foreground=True)
    assert run_in_foreground(small_disk, run.id, Timing.from_environment()).state == "finished"


def test_not_a_byte_is_left_and_the_end_is_the_same(small_disk: Workspace) -> None:
    changes = ("training.max_steps=400", "training.checkpoint_interval=50", "training.eval_interval=200")
    whole = submit_run(small_disk, tiny("gru", *changes, "name=whole"), foreground=True)
    assert run_in_foreground(small_disk, whole.id, Timing.from_environment()).state == "finished"
    struck = submit_run(small_disk, tiny("gru", *changes, "name=struck"))
    folder = run_folder(small_disk, struck.id)
    wait_for("a checkpoint", lambda: list_checkpoints(folder))
    ballast = fill(small_disk)

    def rests() -> bool:
        record = record_of(small_disk, struck.id)
        return record.state != "running" or record.owner is None or not record.owner.alive()

    wait_for("the worker to give up", rests)
    assert max(info.step for info in list_checkpoints(folder)) < 400, "the disk was full before the run was done"
    assert not any(verify_checkpoint(info.path) for info in list_checkpoints(folder)), "nothing is half written"
    ballast.unlink()
    if record_of(small_disk, struck.id).state == "paused":
        resume_run(small_disk, struck.id)
    wait_for("the end", lambda: record_of(small_disk, struck.id).is_final)
    assert record_of(small_disk, struck.id).state == "finished"
    undisturbed = run_folder(small_disk, whole.id)
    assert losses(folder) == losses(undisturbed)
    assert weights(folder, 400) == weights(undisturbed, 400)


def test_what_is_deleted_on_a_full_disk_makes_room(small_disk: Workspace) -> None:
    run = submit_run(small_disk, tiny("rnn", "name=large"), foreground=True)
    assert run_in_foreground(small_disk, run.id, Timing.from_environment()).state == "finished"
    (run_folder(small_disk, run.id) / "checkpoints" / "ballast").write_bytes(bytes(1_000_000))
    fill(small_disk)
    assert free_bytes(small_disk.root) < 100_000
    assert delete_run(small_disk, run.id) > 1_000_000
    assert free_bytes(small_disk.root) > 900_000 and not run_folder(small_disk, run.id).exists()
    with Registry(small_disk) as registry:
        assert registry.jobs("train") == []


def test_a_deletion_that_cannot_be_noted_leaves_the_run(small_disk: Workspace) -> None:
    run = submit_run(small_disk, tiny("rnn", "name=kept"), foreground=True)
    folder = run_folder(small_disk, run.id)
    folder.mkdir()
    fill(small_disk)
    with pytest.raises(RegistryUnavailable, match="full"):
        delete_run(small_disk, run.id)
    assert folder.is_dir() and record_of(small_disk, run.id).id == run.id
