"""MLflow: curves, settings and samples at the tracking server that MLFLOW_TRACKING_URI names.

Uses the client of mlflow-skinny, which needs no database and no second web server; the full package works as well.
Everything goes into the experiment MLFLOW_EXPERIMENT_NAME, else "glassbox".
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from llm_core.backend.loggers.interface import Logger, PromptNumbers, RunFacts, settings_to_tell
from llm_core.config.overrides import flatten_values
from llm_core.config.run import RunConfig

ADDRESS_VARIABLE = "MLFLOW_TRACKING_URI"
_EXPERIMENT_VARIABLE, _EXPERIMENT = "MLFLOW_EXPERIMENT_NAME", "glassbox"
_RUN_TAG = "glassbox.run_id"
_STATUS = {"finished": "FINISHED", "failed": "FAILED", "diverged": "FAILED"}
# One request carries so much at most (limits of the REST interface), and points are kept back so long for the next one.
_MAXIMUM_PARAMS, _MAXIMUM_METRICS, _LONGEST_PARAM = 100, 1_000, 500
_BATCH_SECONDS = 2.0


class MlflowLogger(Logger):
    """One MLflow run for each run, found again by its tag when the run is resumed."""

    title = "MLflow"

    def __init__(self) -> None:
        self._prompts = PromptNumbers()
        self._client: Any = None
        self._entities: Any = None
        self._run_id = ""
        self._waiting: list[Any] = []
        self._sent_at = 0.0

    def start(self, config: RunConfig, facts: RunFacts) -> None:
        self._client = import_module("mlflow.tracking").MlflowClient(tracking_uri=os.environ[ADDRESS_VARIABLE])
        self._entities = import_module("mlflow.entities")
        name = os.environ.get(_EXPERIMENT_VARIABLE) or _EXPERIMENT
        experiment = self._client.get_experiment_by_name(name)
        experiment_id = self._client.create_experiment(name) if experiment is None else experiment.experiment_id
        known = self._client.search_runs([experiment_id], f"tags.`{_RUN_TAG}` = '{facts.run_id}'", max_results=1)
        if known:
            self._run_id = known[0].info.run_id
            self._client.update_run(self._run_id, status="RUNNING")
            return
        tags = {_RUN_TAG: facts.run_id}
        self._run_id = self._client.create_run(experiment_id, run_name=facts.name, tags=tags).info.run_id
        flat = flatten_values(settings_to_tell(config))
        params = [self._entities.Param(key, str(value)[:_LONGEST_PARAM]) for key, value in flat.items()]
        for begin in range(0, len(params), _MAXIMUM_PARAMS):
            self._client.log_batch(self._run_id, params=params[begin : begin + _MAXIMUM_PARAMS])

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        self._waiting += [self._entities.Metric(key, value, now, step) for key, value in values.items()]
        if time.monotonic() - self._sent_at > _BATCH_SECONDS or len(self._waiting) > _MAXIMUM_METRICS // 2:
            self._send()

    def text(self, step: int, prompt: str, sample: str) -> None:
        self._client.log_text(self._run_id, prompt + sample, f"samples/{self._prompts.of(prompt)}/step-{step:08d}.txt")

    def finish(self, state: str, summary: Mapping[str, Any]) -> None:
        self._send()
        self._client.set_tag(self._run_id, "glassbox.state", state)
        self._client.set_terminated(self._run_id, _STATUS.get(state, "KILLED"))

    def _send(self) -> None:
        self._sent_at = time.monotonic()
        waiting, self._waiting = self._waiting, []
        for begin in range(0, len(waiting), _MAXIMUM_METRICS):
            self._client.log_batch(self._run_id, metrics=waiting[begin : begin + _MAXIMUM_METRICS])
