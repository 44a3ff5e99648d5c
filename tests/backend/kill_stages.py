"""A process that has torch loaded once and forks a training worker for each way to die, for `test_kills.py`.

    python -m tests.backend.kill_stages HOME RUN

Each child takes the run in the foreground, exactly as `glassbox train --foreground` does, and is struck in its second checkpoint: killed
at a stage of it, asked to end twice, or stopped and woken when somebody else holds the run. Prints one JSON object a line.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch._dynamo  # noqa: F401  # pyright: ignore  # the first optimizer loads it: once here, not in every child

from llm_core.backend import run_recorder, training_attempt  # noqa: F401  what a worker loads
from llm_core.backend.run_commands import resume_run
from llm_core.backend.worker import run_in_foreground
from llm_core.config.timing import Timing
from llm_core.workspace.checkpoints import checkpoint_path, list_checkpoints, verify_checkpoint, write_checkpoint
from llm_core.workspace.leases import LeaseLost
from llm_core.workspace.metrics_read import read_lease, segments
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import run_folder

STAGES = (
    *("file:model.safetensors", "half:optimizer.safetensors", "file:optimizer.safetensors", "file:state.json"),
    *("file:config.json", "file:tokenizer.json", "manifest", "renamed", "done"),
)
LEASE_LOST, BROKEN = 77, 99
Strike = Callable[[], None]


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def ask_twice() -> None:
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGTERM)


def strike_at(stage: str, strike: Strike) -> None:
    """From now on this process is struck at a stage of its second checkpoint."""
    written: list[Path] = []

    def struck(folder: Path, step: int, writers: Mapping[str, Callable[[Path], None]], **options: Any) -> Path:
        is_second = len(written) == 1

        def half(path: Path) -> None:
            path.write_bytes(b"half a tensor")
            strike()

        def after(point: str) -> None:
            if is_second and point == stage:
                strike()

        kind, _, name = stage.partition(":")
        if is_second and kind == "half":
            writers = {**writers, name: half}
        written.append(write_checkpoint(folder, step, writers, after=after, **options))
        return written[-1]

    run_recorder.write_checkpoint = struck  # the seam that production code has for tests, reached through its caller


def worker(workspace: Workspace, run_id: str, stage: str = "", strike: Strike = kill) -> int:
    """A child that works on the run; returns its process id."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    status = BROKEN
    try:
        if stage:
            strike_at(stage, strike)
        run_in_foreground(workspace, run_id, Timing.from_environment())
        status = 0
    except LeaseLost:
        status = LEASE_LOST
    except BaseException:  # a child must never come back into the parent's code
        traceback.print_exc()
    finally:
        os._exit(status)


def end_of(child: int) -> int:
    """The exit status of a child, or minus the signal that ended it."""
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def wait_until_stopped(child: int) -> None:
    _, status = os.waitpid(child, os.WUNTRACED)
    assert os.WIFSTOPPED(status), os.waitstatus_to_exitcode(status)


def whole_steps(folder: Path) -> list[int]:
    return [info.step for info in list_checkpoints(folder) if not verify_checkpoint(info.path)]


def tell(what: str, status: int, folder: Path) -> None:
    listed = [info.step for info in list_checkpoints(folder)]
    begun = [segment.from_step for segment in segments(folder)]
    print(json.dumps({"what": what, "status": status, "listed": listed, "whole": whole_steps(folder), "begun": begun}))


def zombie(workspace: Workspace, run_id: str) -> None:
    """A worker stops in the middle of a checkpoint; another takes the run and is in its own; the first wakes up and must change nothing."""
    folder = run_folder(workspace, run_id)
    first = worker(workspace, run_id, "file:model.safetensors", stop)
    wait_until_stopped(first)
    lease = read_lease(folder)
    assert lease is not None
    with Registry(workspace) as registry:  # as a supervisor does that believes its process to be gone
        registry.requeue(run_id, lease.token, "silent")
        registry.resume(run_id, foreground=True)
    second = worker(workspace, run_id, "file:state.json", stop)
    wait_until_stopped(second)
    before = files_of(folder)
    os.kill(first, signal.SIGCONT)
    tell("zombie", end_of(first), folder)
    changed = {
        name for name in before.keys() | files_of(folder).keys() if before.get(name) != files_of(folder).get(name)
    }
    print(json.dumps({"what": "changed", "names": sorted(changed)}))
    os.kill(second, signal.SIGCONT)
    tell("after the zombie", end_of(second), folder)


def files_of(folder: Path) -> dict[str, bytes]:
    """The bytes of every file but SQLite's shared memory, which readers change too."""
    found: dict[str, bytes] = {}
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file() and not path.name.endswith("-shm"):
                found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def flip_a_byte(folder: Path) -> int:
    """Damage the newest checkpoint; returns its step."""
    step = whole_steps(folder)[-1]
    path = checkpoint_path(folder, step) / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return step


def main() -> None:
    workspace, run_id = open_workspace(sys.argv[1]), sys.argv[2]
    folder = run_folder(workspace, run_id)
    strikes: list[tuple[str, Strike]] = [(stage, kill) for stage in STAGES]
    for stage, strike in [*strikes, ("file:state.json", ask_twice)]:
        tell(f"{strike.__name__} {stage}", end_of(worker(workspace, run_id, stage, strike)), folder)
        resume_run(workspace, run_id, foreground=True)
    print(json.dumps({"what": "flipped", "step": flip_a_byte(folder)}))
    zombie(workspace, run_id)


if __name__ == "__main__":
    main()
