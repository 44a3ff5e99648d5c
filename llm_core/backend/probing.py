"""Whether the speed of a configuration is known here, being measured, or better not measured now. Free of torch.

A probe takes all cores for some seconds. It is asked for only while nothing trains, gives way when a training comes
(`speed_probe.py`), and is left out where a single step would take long.
Not here: measuring (`speed_probe.py`), what is made of the figure (`estimates.py`).
"""

from __future__ import annotations

import os
import time
from typing import Literal

from llm_core.backend.devices import memory_bytes
from llm_core.backend.estimates import estimate_run, speed_key
from llm_core.backend.jobs import stop_job, submit_probe
from llm_core.backend.vocabulary import guess_vocabulary
from llm_core.config.errors import NameTaken, UserError
from llm_core.config.ngram import NgramConfig
from llm_core.config.run import RunConfig, config_from_dict
from llm_core.training.budget import tokens_per_step
from llm_core.workspace.job_record import FAILED, FINISHED, HELD, QUEUED, STOPPED, JobRecord
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import delete_run

Measurement = Literal["measured", "measuring", "possible", "training", "busy", "too large", "failed", "counted"]

LONGEST_STEP_SECONDS = 4.0
LARGEST_MEMORY_SHARE = 0.5
BUSY_LOAD_PER_CORE = 1.5
RETRY_SECONDS = 600.0


def measurement_of(workspace: Workspace, config: RunConfig) -> Measurement:
    """How things stand with the speed of a configuration.

    "possible": it could be measured now. "training": a run is under way or waits, and would be disturbed. "busy": something
    else takes the cores, and would make the figure far too low. "too large": a few steps would take minutes or half the
    memory. "failed": it was tried a short while ago; the job says why. "counted": an n-gram model, which takes no steps.

    Raises:
        UserError: the text or the tokenizer does not exist.
    """
    estimate = estimate_run(workspace, config)
    if isinstance(config.model, NgramConfig):
        return "counted"
    if estimate.source == "measured":
        return "measured"
    key = speed_key(config, estimate.vocabulary_size)
    with Registry(workspace) as registry:
        probes = registry.jobs("probe", HELD | {QUEUED, FAILED})
        if registry.jobs("train", HELD | {QUEUED}):
            return "training"
    recent = time.time() - RETRY_SECONDS
    states = {
        probe.state
        for probe in probes
        if (probe.ended_at is None or probe.ended_at > recent) and _key_of(workspace, probe) == key
    }
    if states - {FAILED}:
        return "measuring"
    if states:
        return "failed"
    per_step = tokens_per_step(config.training, config.data.context_length)
    if (
        per_step / estimate.tokens_per_second > LONGEST_STEP_SECONDS
        or estimate.memory.total_bytes > LARGEST_MEMORY_SHARE * memory_bytes()
    ):
        return "too large"
    return "busy" if _is_busy() else "possible"


def start_measurement(workspace: Workspace, config: RunConfig) -> str | None:
    """Queue a probe and give its id; None while another one is under way, which would falsify both.

    Probes that have ended are forgotten, their figures being kept.
    """
    with Registry(workspace) as registry:
        if registry.jobs("probe", HELD | {QUEUED}):
            return None
        for ended in registry.jobs("probe", {FINISHED, STOPPED}):
            delete_run(workspace, registry, ended.id)
    try:
        return submit_probe(workspace, config).id
    except NameTaken:
        return None  # another page was quicker


def end_measurement(workspace: Workspace, probe_id: str) -> None:
    """Have a probe make room; nothing happens when it has ended already."""
    with Registry(workspace) as registry:
        found = [probe for probe in registry.jobs("probe", HELD | {QUEUED}) if probe.id == probe_id]
    if found:
        try:
            stop_job(workspace, probe_id)
        except UserError:
            return  # it ended in between


def _is_busy() -> bool:
    """Whether more work waits than this machine (all of it, not only this container) has cores for."""
    return os.getloadavg()[0] > BUSY_LOAD_PER_CORE * (os.cpu_count() or 1)


def _key_of(workspace: Workspace, probe: JobRecord) -> str:
    """The speed key of a probe's configuration; empty where its text is gone."""
    try:
        config = config_from_dict(probe.config)
        return speed_key(config, guess_vocabulary(workspace, config).size)
    except UserError:
        return ""
