"""The short jobs: importing text, training a tokenizer, measuring speed.

Each reports its progress to a file and can be cancelled. Not here: training runs (`worker_train.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from llm_core.backend.endings import Cancelled, StopSignal
from llm_core.backend.lease import Heartbeat
from llm_core.config.timing import Timing
from llm_core.workspace.job_progress import is_cancelled, write_progress
from llm_core.workspace.job_record import FINISHED, JobRecord
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry

Report = Callable[[str, int, int | None], None]


def run_short_job(workspace: Workspace, record: JobRecord, token: str, stop: StopSignal, timing: Timing) -> None:
    """Do the job and move it to `finished` with its result."""
    from llm_core.text.progress import Cancelled as TextCancelled

    state: dict[str, Any] = {"phase": "starting", "done": 0, "total": None}

    def write(progress: Mapping[str, Any]) -> None:
        write_progress(workspace, record.id, {**progress, "written_at": time.time()})

    heartbeat = Heartbeat(write, lambda: dict(state), timing)
    shown_at = 0.0

    def report(phase: str, done: int, total: int | None) -> None:
        nonlocal shown_at
        heartbeat.moved()
        changed = phase != state["phase"]
        state.update(phase=phase, done=done, total=total)
        if changed or time.monotonic() - shown_at > 0.3:
            shown_at = time.monotonic()
            write(dict(state))

    def cancelled() -> bool:
        return stop.requested or is_cancelled(workspace, record.id)

    heartbeat.start()
    try:
        result = _JOBS[record.kind](workspace, record.config, report, cancelled)
    except TextCancelled as error:
        raise Cancelled from error
    finally:
        heartbeat.stop()
    with Registry(workspace) as registry:
        registry.move(record.id, FINISHED, token=token, result=result)


def _import(
    workspace: Workspace, config: dict[str, Any], report: Report, cancelled: Callable[[], bool]
) -> dict[str, Any]:
    from llm_core.text.library import ImportOptions, import_corpus

    options = ImportOptions.model_validate(config["options"])
    dataset = import_corpus(workspace, config["source"], options, progress=report, cancelled=cancelled)
    return {"dataset_id": dataset.id, "dataset_name": dataset.name}


def _tokenizer(
    workspace: Workspace, config: dict[str, Any], report: Report, cancelled: Callable[[], bool]
) -> dict[str, Any]:
    from llm_core.text.tokenizer_library import train_tokenizer

    tokenizer = train_tokenizer(
        workspace,
        config["dataset"],
        config["kind"],
        config["size"],
        config["name"],
        progress=report,
        cancelled=cancelled,
    )
    return {"tokenizer_id": tokenizer.id, "tokenizer_name": config["name"]}


def _probe(
    workspace: Workspace, config: dict[str, Any], report: Report, cancelled: Callable[[], bool]
) -> dict[str, Any]:
    from llm_core.backend.speed_probe import measure_speed
    from llm_core.config.run import config_from_dict

    return measure_speed(workspace, config_from_dict(config), report, cancelled)


_JOBS: dict[str, Callable[[Workspace, dict[str, Any], Report, Callable[[], bool]], dict[str, Any]]] = {
    "import": _import,
    "tokenizer": _tokenizer,
    "probe": _probe,
}
