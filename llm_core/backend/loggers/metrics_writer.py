"""The writer of a run's metrics.db, with loggers behind it: whatever is committed there, they are told of.

Told after the commit, so that a worker whose lease was lost tells nobody anything. Not here: metrics.db (`llm_core.workspace.metrics`),
the loggers (`registry.py` and its neighbours).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from llm_core.backend.loggers.background import Call, LoggerThread
from llm_core.backend.loggers.interface import Logger, RunFacts
from llm_core.backend.loggers.registry import kinds_of
from llm_core.config.run import RunConfig
from llm_core.workspace.job_record import FINAL, PAUSED, JobRecord
from llm_core.workspace.metrics import MetricsWriter

# What an ended run waits for its loggers in all; well below the silence after which a worker is taken for dead.
FINISH_SECONDS = 10.0
PROBLEM_EVENT = "logger"


def open_metrics_writer(run_folder: Path, lease_token: str, record: JobRecord, config: RunConfig) -> MetricsWriter:
    """The writer that this run's settings ask for: the plain one while no logger is switched on. Raises as `MetricsWriter`."""
    kinds = kinds_of(config.logging)
    if not kinds:
        return MetricsWriter(run_folder, lease_token)
    facts = RunFacts(record.id, record.name, run_folder)
    return LoggedMetricsWriter(run_folder, lease_token, [kind.make() for kind in kinds], config, facts)


class LoggedMetricsWriter(MetricsWriter):
    """As `MetricsWriter`, and each commit goes on to the loggers, each in a thread of its own."""

    def __init__(
        self, run_folder: Path, lease_token: str, loggers: Sequence[Logger], config: RunConfig, facts: RunFacts
    ) -> None:
        super().__init__(run_folder, lease_token)
        self._untold: list[Call] = []
        self._points: tuple[int, dict[str, float]] | None = None
        self._ending: tuple[str, Mapping[str, Any]] | None = None
        self._threads = [LoggerThread(logger, self._tell_problem) for logger in loggers]
        self._put(lambda logger: logger.start(config, facts))

    def point(self, key: str, step: int, tokens: int, seconds: float, value: float) -> None:
        with self._lock:
            super().point(key, step, tokens, seconds, value)
            if self._points is None or self._points[0] != step:
                self._points = (step, {})
                self._untold.append(partial(_tell_scalars, *self._points))
            self._points[1][key] = float(value)

    def sample(self, step: int, prompt: str, text: str, data: Mapping[str, Any] | None = None) -> None:
        with self._lock:
            super().sample(step, prompt, text, data)
            self._untold.append(lambda logger: logger.text(step, prompt, text))

    def begin_segment(self, parent: int | None, from_step: int) -> int:
        with self._lock:
            segment = super().begin_segment(parent, from_step)
            if parent is not None:
                self._put(lambda logger: logger.rewind(from_step))
            return segment

    def record_state(
        self, state: str, *, reason: str = "", remedy: str = "", result: Mapping[str, Any] | None = None
    ) -> None:
        super().record_state(state, reason=reason, remedy=remedy, result=result)
        if state in FINAL or state == PAUSED:
            self._ending = (state, result or {})

    def commit(self) -> None:
        with self._lock:
            super().commit()
            untold, self._untold, self._points = self._untold, [], None
            for call in untold:
                self._put(call)

    def close(self) -> None:
        """As `MetricsWriter.close`; the loggers then get a while to end what they do."""
        try:
            self.commit()  # after a lost lease nobody may be told that the run has ended
            if self._ending is not None:
                state, result = self._ending
                self._put(lambda logger: logger.finish(state, result))
                self._wait_for_loggers()
        finally:
            self._put(None)
            super().close()

    def _put(self, call: Call | None) -> None:
        for thread in self._threads:
            thread.put(call)

    def _wait_for_loggers(self) -> None:
        self._put(None)
        deadline = time.monotonic() + FINISH_SECONDS
        for thread in self._threads:
            if not thread.join(max(0.0, deadline - time.monotonic())):
                self._tell_problem(
                    f"{thread.title} had not taken everything {FINISH_SECONDS:.0f} s after the run's end."
                )

    def _tell_problem(self, sentence: str) -> None:
        self.event(PROBLEM_EVENT, sentence)


def _tell_scalars(step: int, values: Mapping[str, float], logger: Logger) -> None:
    logger.scalars(step, values)
