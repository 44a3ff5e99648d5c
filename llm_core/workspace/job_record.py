"""What the registry knows of one job, the states it can be in, and the ways from one state to the next.

    queued → starting → running → finished | stopped | failed | diverged
       ↖________________ paused

Not here: how it is stored (`registry.py`), what a run measured (`metrics.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llm_core.workspace.process_identity import ProcessIdentity

QUEUED, STARTING, RUNNING, PAUSED = "queued", "starting", "running", "paused"
FINISHED, STOPPED, FAILED, DIVERGED = "finished", "stopped", "failed", "diverged"

STATES = (QUEUED, STARTING, RUNNING, PAUSED, FINISHED, STOPPED, FAILED, DIVERGED)
FINAL = frozenset({FINISHED, STOPPED, FAILED, DIVERGED})
# States in which a worker holds the job.
HELD = frozenset({STARTING, RUNNING})

JOB_KINDS = ("train", "import", "tokenizer", "probe", "encode", "ngram", "export")

# Where each state may lead. Only `Registry.claim` makes a job `starting`, only `Registry.resume` brings back one that has
# ended. A paused run has a checkpoint and no worker: it goes on through the queue.
TRANSITIONS: dict[str, frozenset[str]] = {
    QUEUED: frozenset({STOPPED, FAILED}),
    STARTING: frozenset({RUNNING, QUEUED, STOPPED, FAILED}),
    RUNNING: frozenset({PAUSED, QUEUED, *FINAL}),
    PAUSED: frozenset({QUEUED, STOPPED, FAILED}),
    FINISHED: frozenset(),
    STOPPED: frozenset(),
    FAILED: frozenset(),
    DIVERGED: frozenset(),
}


@dataclass(frozen=True)
class JobRecord:
    """One row of the registry. Times are seconds since the epoch; `None` where the moment has not come."""

    id: str
    kind: str
    name: str
    state: str
    reason: str
    remedy: str
    config: dict[str, Any]
    created_at: float
    queued_at: float
    started_at: float | None
    ended_at: float | None
    attempts: int
    max_attempts: int
    owner: ProcessIdentity | None
    lease_token: str | None
    result: dict[str, Any]
    color: str
    dash: str
    foreground: bool
    gpus: tuple[str, ...] = ()
    """The GPUs its worker may use, as CUDA_VISIBLE_DEVICES names them; empty where it may see all."""

    @property
    def is_final(self) -> bool:
        """Whether the job has ended."""
        return self.state in FINAL

    @property
    def is_held(self) -> bool:
        """Whether a worker that still lives holds the job."""
        return self.state in HELD and self.owner is not None and self.owner.alive()
