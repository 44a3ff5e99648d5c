"""Short clocks, waiting on conditions, tiny runs: what the tests of processes share."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from llm_core.config.overrides import apply_overrides
from llm_core.config.run import RunConfig
from llm_core.workspace.paths import Workspace

FAST = {
    "GLASSBOX_LEASE_SECONDS": "3",
    "GLASSBOX_START_SECONDS": "30",
    "GLASSBOX_HEARTBEAT_SECONDS": "0.2",
    "GLASSBOX_POLL_SECONDS": "0.05",
    "GLASSBOX_IDLE_SECONDS": "0.5",
    "GLASSBOX_TERM_GRACE_SECONDS": "0.5",
    "GLASSBOX_COMMIT_SECONDS": "0.05",
    "GLASSBOX_INFERENCE_IDLE_SECONDS": "1",
}


def wait_for(what: str, condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Poll until the condition holds; fail naming what was waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.02)


def processes_of(workspace: Workspace) -> list[str]:
    """Command lines of live processes that name this workspace."""
    return list(pids_of(workspace).values())


def pids_of(workspace: Workspace) -> dict[int, str]:
    """Command lines of live processes that name this workspace, by process id."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(workspace.root) in command:
                found[int(entry.name)] = command
    return found


FAMILIES = {
    "rnn": ["model.kind=rnn", "model.num_layers=2"],
    "gru": ["model.kind=gru", "model.num_layers=2"],
    "lstm": ["model.kind=lstm", "model.num_layers=2"],
    "transformer": ["model.kind=transformer", "model.num_layers=2", "model.num_heads=2"],
}


def tiny(family: str = "transformer", *changes: str) -> RunConfig:
    """A run of seconds with dropout on."""
    return apply_overrides(
        RunConfig(),
        [
            *FAMILIES[family],
            "model.hidden_size=16",
            "model.dropout=0.2",
            "data.dataset=letters",
            "data.context_length=16",
            "training.batch_size=4",
            "training.max_steps=40",
            "training.log_interval=1",
            "training.eval_interval=20",
            "training.sample_tokens=8",
            "hardware.device=cpu",
            "hardware.num_threads=1",
            *changes,
        ],
    )
