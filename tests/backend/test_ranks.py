"""Several processes sharing a run make the updates of one: real processes, real exchange, every objective they take."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from llm_core.backend import ranks
from llm_core.backend.endings import StopSignal
from llm_core.backend.jobs import submit_run
from llm_core.backend.run_commands import fork_run
from llm_core.backend.worker import run_in_foreground
from llm_core.config.errors import UserError
from llm_core.config.overrides import apply_overrides
from llm_core.config.run import RunConfig
from llm_core.config.timing import Timing
from llm_core.workspace.checkpoints import find_checkpoint
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.metrics_read import read_points
from llm_core.workspace.paths import Workspace
from llm_core.workspace.runs import run_folder
from tests.backend.support import pids_of, wait_for

BASE = (
    *(
        "model.hidden_size=16",
        "model.num_layers=1",
        "model.num_heads=2",
        "data.dataset=letters",
        "data.context_length=16",
    ),
    *(
        "training.batch_size=3",
        "training.gradient_accumulation_steps=2",
        "training.max_steps=8",
        "training.log_interval=1",
    ),
    *("training.eval_interval=4", "training.sample_tokens=4", "hardware.device=cpu", "hardware.num_threads=1"),
)
KINDS = {
    "causal": ("model.kind=transformer",),
    "masked": ("model.kind=encoder", "objective.whole_words=true"),
    "span": ("model.kind=encoder-decoder", "objective.num_sentinels=4"),
}


def ended(workspace: Workspace, *changes: str) -> JobRecord:
    record = submit_run(workspace, apply_overrides(RunConfig(), [*changes]), foreground=True)
    return run_in_foreground(workspace, record.id, Timing.from_environment(), StopSignal())


def run_of(workspace: Workspace, *changes: str) -> Path:
    record = ended(workspace, *changes)
    assert record.state == "finished", record.reason
    return run_folder(workspace, record.id)


def helpers_of(workspace: Workspace) -> list[int]:
    return [pid for pid, line in pids_of(workspace).items() if "llm_core.backend.ranks" in line]


@pytest.mark.parametrize(("prefix", "kind"), [("", "causal"), ("masked_", "masked"), ("span_", "span")])
def test_two_processes_equal_one_large_batch(workspace: Workspace, prefix: str, kind: str) -> None:
    """Three rows on two processes: shares of unequal size, whose mean of means would be another number."""
    alone, shared = (
        run_of(workspace, *KINDS[kind], *BASE, f"hardware.num_processes={count}", f"name=of-{count}")
        for count in (1, 2)
    )
    losses = [read_points(folder, f"{prefix}train_loss").value for folder in (alone, shared)]
    assert len(losses[0]) == 8
    np.testing.assert_allclose(losses[0], losses[1], atol=1e-5, rtol=0)
    weights = [load_file(find_checkpoint(folder).path / "model.safetensors") for folder in (alone, shared)]
    for name, array in weights[0].items():
        np.testing.assert_allclose(array, weights[1][name], atol=2e-5, rtol=0, err_msg=name)
    assert not list(shared.glob("ranks*")), "nothing of the meeting is left"
    wait_for("the helpers to be gone", lambda: not helpers_of(workspace))


def test_a_helper_that_does_not_come_is_not_waited_for(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_settings: Path, _rank: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"], stdin=subprocess.PIPE)

    monkeypatch.setattr(ranks, "_start", broken)
    record = ended(workspace, *KINDS["causal"], *BASE, "hardware.num_processes=2")
    assert record.state == "failed" and record.reason is not None
    assert "Process 2 of the 2 that share this run ended before its time. Value: exit status 3." in record.reason


def test_a_helper_that_is_killed_ends_the_run_with_its_name(workspace: Workspace) -> None:
    config = apply_overrides(
        RunConfig(), [*KINDS["causal"], *BASE, "hardware.num_processes=2", "training.max_steps=100000"]
    )
    record = submit_run(workspace, config, foreground=True)
    folder = run_folder(workspace, record.id)

    def kill_one() -> None:
        wait_for("steps", lambda: len(read_points(folder, "train_loss").value) > 3)
        os.kill(helpers_of(workspace)[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    record = run_in_foreground(workspace, record.id, Timing.from_environment(), StopSignal())
    killer.join()
    assert record.state == "failed" and record.reason is not None
    assert "Process 2 of the 2 that share this run ended before its time. Value: exit status -9." in record.reason


def test_a_fork_under_other_settings_is_shared_as_one_alone(workspace: Workspace) -> None:
    losses: list[list[float]] = []
    for count in (1, 2):
        shared = (*KINDS["causal"], *BASE, f"hardware.num_processes={count}", f"name=parent-{count}")
        parent = run_of(workspace, *shared)
        changes = ["optimizer.learning_rate=0.0005", "training.max_steps=12"]
        fork = fork_run(workspace, parent.name, 8, changes, f"fork-{count}", foreground=True)
        ended = run_in_foreground(workspace, fork.id, Timing.from_environment(), StopSignal())
        assert ended.state == "finished", ended.reason
        losses.append(read_points(run_folder(workspace, fork.id), "train_loss").value.tolist())
    assert len(losses[0]) == 4
    np.testing.assert_allclose(losses[0], losses[1], atol=1e-5, rtol=0)


def test_what_cannot_be_shared_says_so() -> None:
    with pytest.raises(UserError, match="one process"):
        apply_overrides(RunConfig(), ["model.kind=lstm", "hardware.num_processes=2"])
    with pytest.raises(UserError, match="4 processes cannot share a batch of 3 rows"):
        apply_overrides(RunConfig(), ["training.batch_size=3", "hardware.num_processes=4"])
