"""A run that a test writes by hand, through the real writer and registry, as a worker would."""

from __future__ import annotations

from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.metrics import MetricsWriter
from llm_core.workspace.paths import Workspace
from llm_core.workspace.process_identity import this_process
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import run_folder

TOKENS_PER_STEP = 768
SECONDS_PER_STEP = 0.0625


class LiveRun:
    """A run that the test writes as a worker would."""

    def __init__(self, workspace: Workspace, registry: Registry, name: str) -> None:
        self.registry = registry
        # In the foreground: a supervisor must neither take it nor end this very process for its silence.
        queued = registry.add("train", name, {"name": name}, foreground=True)
        record = registry.claim(this_process(), ["train"], queued.id)
        assert record is not None and record.lease_token is not None
        self.token = record.lease_token
        self.id = record.id
        self.folder = run_folder(workspace, record.id)
        self.writer = MetricsWriter(self.folder, record.lease_token)
        self.writer.begin_segment(None, 0)

    @property
    def record(self) -> JobRecord:
        return self.registry.get(self.id)

    def running(self) -> None:
        self.registry.move(self.id, "running", token=self.token)

    def finish(self) -> None:
        self.writer.commit()
        self.registry.move(self.id, "finished", token=self.token)

    def points(self, key: str, values: dict[int, float]) -> None:
        for step, value in values.items():
            self.writer.point(key, step, step * TOKENS_PER_STEP, step * SECONDS_PER_STEP, value)
        self.writer.commit()
