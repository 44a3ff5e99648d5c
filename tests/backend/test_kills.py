"""Whatever is killed, stopped or damaged, the run ends as the undisturbed one, bit for bit, and nothing is left behind.

Beside `test_runs.py` (a worker alone, each family) and `test_inference.py` (the inference process alone). The stages of a checkpoint
are walked through by `kill_stages.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from llm_core.backend.inference_client import InferenceClient
from llm_core.backend.jobs import stop_job, submit_run
from llm_core.backend.run_commands import resume_run
from llm_core.backend.worker import run_in_foreground
from llm_core.config.timing import Timing
from llm_core.workspace import disk_space
from llm_core.workspace.checkpoints import checkpoint_path, list_checkpoints, verify_checkpoint
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.locks import is_locked
from llm_core.workspace.metrics_read import events, read_points, segments, surviving
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import run_folder
from tests.backend.kill_stages import LEASE_LOST, STAGES
from tests.backend.support import pids_of, tiny, wait_for

pytestmark = pytest.mark.timeout(400)  # several processes start; on a busy machine each waits for the others

CHECKOUT = Path(__file__).resolve().parents[2]


def losses(folder: Path) -> list[tuple[int, float]]:
    points = read_points(folder, "train_loss")
    kept = points.where(surviving(points, segments(folder)))
    return list(zip(kept.step.tolist(), kept.value.tolist(), strict=True))


def weights(folder: Path, step: int) -> str:
    digest = hashlib.sha256()
    for _, array in sorted(load_file(checkpoint_path(folder, step) / "model.safetensors").items()):
        digest.update(array.tobytes())
    return digest.hexdigest()


def record_of(workspace: Workspace, run_id: str) -> JobRecord:
    with Registry(workspace) as registry:
        return registry.get(run_id)


def test_struck_at_every_stage_of_a_checkpoint(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    # No thread may be in the middle of a transaction when the whole process stops.
    monkeypatch.setenv("GLASSBOX_HEARTBEAT_SECONDS", "30")
    monkeypatch.setenv("GLASSBOX_LEASE_SECONDS", "600")
    changes = ("training.max_steps=100", "training.checkpoint_interval=4", "training.eval_interval=50")
    whole = submit_run(workspace, tiny("lstm", *changes, "name=whole"), foreground=True)
    struck = submit_run(workspace, tiny("lstm", *changes, "name=struck"), foreground=True)
    assert run_in_foreground(workspace, whole.id, Timing.from_environment()).state == "finished"
    done = subprocess.run(
        [sys.executable, "-m", "tests.backend.kill_stages", str(workspace.root), struck.id],
        capture_output=True, text=True, check=False, cwd=CHECKOUT, timeout=150,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    kills = [line for line in told if str(line["what"]).startswith("kill ")]
    assert [(line["what"], line["status"]) for line in kills] == [
        (f"kill {stage}", -signal.SIGKILL) for stage in STAGES
    ]
    newest = 0
    for line in kills:
        assert line["listed"] == line["whole"], "what is listed is whole, wherever the writer died"
        assert line["begun"][-1] == newest or newest == 0, "it went on from the newest whole one"
        reached = 8 if line["what"].endswith(("renamed", "done")) else 4
        newest += reached
        assert line["whole"][-1] == newest, line
    by_name = {str(line["what"]): line for line in told}
    assert by_name["ask_twice file:state.json"]["status"] == 128 + signal.SIGTERM, "the second time it leaves at once"
    assert by_name["ask_twice file:state.json"]["whole"][-1] == newest + 4
    assert by_name["zombie"]["status"] == LEASE_LOST
    assert by_name["changed"]["names"] == [], "what wakes up too late changes nothing"
    assert by_name["after the zombie"]["status"] == 0, done.stderr

    folder, undisturbed = run_folder(workspace, struck.id), run_folder(workspace, whole.id)
    assert record_of(workspace, struck.id).state == "finished"
    assert losses(folder) == losses(undisturbed)
    assert weights(folder, 100) == weights(undisturbed, 100)
    damaged = by_name["flipped"]["step"]
    said = [event.message for event in events(folder) if event.kind == "damaged"]
    assert f"step-{damaged:08d}: model.safetensors is not what was written" in said[0] and "kept as" in said[1]
    assert by_name["zombie"]["begun"][-2] == damaged - 4, "it fell back to the one before"
    assert not verify_checkpoint(checkpoint_path(folder, damaged)), "the step that was damaged is written anew"
    assert weights(folder, damaged) == weights(undisturbed, damaged)
    left = {path.name.partition(".")[2].partition("-")[0] for path in (folder / "checkpoints").iterdir()}
    assert left == {"", "damaged"}


def test_a_full_disk_lets_the_run_rest_and_it_goes_on_when_there_is_room(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = submit_run(workspace, tiny("rnn", "name=cramped"), foreground=True)
    folder = run_folder(workspace, run.id)
    with monkeypatch.context() as cramped:
        cramped.setattr(disk_space, "free_bytes", lambda _: 1_000 if list_checkpoints(folder) else 10**12)
        rests = run_in_foreground(workspace, run.id, Timing.from_environment())
    assert (rests.state, rests.owner) == ("paused", None) and "nearly full" in rests.reason and "resume" in rests.remedy
    assert [info.step for info in list_checkpoints(folder)] == [20], "nothing is half written"
    resume_run(workspace, run.id, foreground=True)
    assert run_in_foreground(workspace, run.id, Timing.from_environment()).state == "finished"
    assert [step for step, _ in losses(folder)] == list(range(1, 41))


WEB = """
import sys
import uvicorn
from starlette.applications import Starlette
from llm_core.web.application import web_parts
parts = web_parts("127.0.0.1")
app = Starlette(routes=list(parts.routes), middleware=list(parts.middleware), lifespan=parts.lifespan)
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="critical")
"""


class Household:
    """The processes of one workspace: a web server without pages, supervisor, worker, inference."""

    def __init__(self, workspace: Workspace, run_id: str) -> None:
        self.workspace = workspace
        self.run_id = run_id
        self.folder = run_folder(workspace, run_id)
        self._web: subprocess.Popen[bytes] | None = None

    def bring_up(self) -> None:
        """What a person starts again: the server, which sees to the supervisor; and a question to the inference process."""
        if self._web is None or self._web.poll() is not None:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            line = [sys.executable, "-c", WEB, str(port), str(self.workspace.root)]
            self._web = subprocess.Popen(
                line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
            )
            wait_for("the web server", lambda: is_locked(self.workspace.web_lock))
        wait_for("a supervisor", lambda: self.pid("supervisor"))
        wait_for("a worker", lambda: self.worker_is_alive())

    def worker_is_alive(self) -> bool:
        record = record_of(self.workspace, self.run_id)
        assert not record.is_final, record
        return record.state == "running" and record.is_held

    def pid(self, who: str) -> int:
        """The process of this kind; 0 where there is none."""
        if who == "worker":
            owner = record_of(self.workspace, self.run_id).owner
            return owner.pid if owner is not None and owner.alive() else 0
        if who == "inference" and not is_locked(self.workspace.inference_lock):
            return InferenceClient(self.workspace).request("ping")["pid"]
        if who == "web":
            return self._web.pid if self._web is not None else 0
        return next((pid for pid, line in pids_of(self.workspace).items() if f"{who}" in line), 0)

    def kill(self, *whom: str) -> None:
        pids = [self.pid(who) for who in whom]
        assert all(pids), dict(zip(whom, pids, strict=True))
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        if self._web is not None and "web" in whom:
            self._web.wait()

    def goes_on(self) -> None:
        """A checkpoint is written that was not there before."""
        steps = [info.step for info in list_checkpoints(self.folder)]
        newest = steps[-1] if steps else 0
        wait_for("the run to go on", lambda: (found := list_checkpoints(self.folder)) and found[-1].step > newest)

    def close_web(self) -> None:
        if self._web is not None:
            self._web.terminate()
            self._web.wait()


def test_killed_alone_and_in_pairs_the_run_ends_as_undisturbed(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in {"LEASE": 3, "TERM_GRACE": 0.3, "WATCH": 0.1, "INFERENCE_IDLE": 60, "IDLE": 1}.items():
        monkeypatch.setenv(f"GLASSBOX_{name}_SECONDS", str(seconds))
    monkeypatch.setenv("GLASSBOX_HOME", str(workspace.root))
    monkeypatch.delenv("GLASSBOX_PASSWORD", raising=False)
    # The rate stays the same however long the run (a warm-up would be shortened to a tenth of it), so that a shorter one is its beginning.
    changes = (
        "schedule.kind=constant",
        "schedule.warmup_steps=0",
        "training.checkpoint_interval=25",
        "training.eval_interval=1000000",
    )
    config = tiny("gru", *changes, "training.max_steps=1000000", "name=struck")
    with Registry(workspace) as registry:
        struck = registry.add("train", "struck", config.model_dump(mode="json"), max_attempts=20)
    household = Household(workspace, struck.id)
    household.bring_up()
    try:
        household.goes_on()
        for whom in (
            ("supervisor",), ("web",), ("worker", "supervisor"), ("worker", "web"), ("supervisor", "web"),
            ("worker", "inference"), ("supervisor", "inference"), ("web", "inference"),
        ):  # fmt: skip
            worker = household.pid("worker")
            household.kill(*whom)
            if "worker" not in whom:
                household.goes_on()
                assert household.pid("worker") == worker, f"the worker outlives {whom}"
            household.bring_up()
            household.goes_on()
        worker = household.pid("worker")
        os.kill(worker, signal.SIGSTOP)  # silent past its lease: asked to end, then ended, and replaced
        wait_for("another worker", lambda: household.pid("worker") not in (0, worker))
        household.goes_on()
        stop_job(workspace, struck.id)
        wait_for("the end", lambda: record_of(workspace, struck.id).is_final)
    finally:
        household.close_web()
        inference = household.pid("inference") if is_locked(workspace.inference_lock) else 0
        if inference:
            os.kill(inference, signal.SIGTERM)
    ended = record_of(workspace, struck.id)
    assert ended.state == "stopped", ended
    folder, steps = run_folder(workspace, struck.id), ended.result["steps"]
    assert [step for step, _ in losses(folder)] == list(range(1, steps + 1))
    assert not any(verify_checkpoint(info.path) for info in list_checkpoints(folder))
    shared = max(info.step for info in list_checkpoints(folder) if info.step % 25 == 0)
    whole = submit_run(workspace, tiny("gru", *changes, f"training.max_steps={shared}", "name=whole"), foreground=True)
    assert run_in_foreground(workspace, whole.id, Timing.from_environment()).state == "finished"
    undisturbed = run_folder(workspace, whole.id)
    assert losses(folder)[:shared] == losses(undisturbed)
    assert weights(folder, shared) == weights(undisturbed, shared)
