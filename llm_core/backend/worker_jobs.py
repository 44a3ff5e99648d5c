"""The short jobs: importing text, a model or a run, training a tokenizer, measuring speed, counting n-grams, exporting a model.

Each reports its progress to a file and can be cancelled. Not here: training runs (`worker_train.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
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

    state: dict[str, Any] = {"phase": "starting", "done": 0, "total": None, "phase_began_at": time.time()}

    def write(progress: Mapping[str, Any]) -> None:
        write_progress(workspace, record.id, {**progress, "written_at": time.time()})

    heartbeat = Heartbeat(write, lambda: dict(state), timing)
    shown_at = 0.0

    def report(phase: str, done: int, total: int | None) -> None:
        nonlocal shown_at
        heartbeat.moved()
        changed = phase != state["phase"]
        if changed:
            state["phase_began_at"] = time.time()
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
    from llm_core.text.library import ImportOptions, ensure_dataset, import_corpus

    if "model" in config:
        from llm_core.backend.exchange_worker import do_import

        return do_import(workspace, config, report, cancelled)
    if config.get("is_run"):
        return _import_run(workspace, config)
    if "builtin" in config:
        made = ensure_dataset(workspace, config["builtin"], progress=report, cancelled=cancelled)
        return {"dataset_id": made.id, "dataset_name": made.title}
    options = ImportOptions.model_validate(config["options"])
    with _given_source(workspace, config) as path:
        source = config["hub"] if path is None else path
        if options.kind == "paste":
            source = Path(source).read_bytes().decode("utf-8")
        dataset = import_corpus(workspace, source, options, progress=report, cancelled=cancelled)
    return {"dataset_id": dataset.id, "dataset_name": dataset.name, "existing": dataset.existing}


def _import_run(workspace: Workspace, config: dict[str, Any]) -> dict[str, Any]:
    from llm_core.backend.run_import import import_run
    from llm_core.config.schema import FAMILY_TITLES

    with _given_source(workspace, config) as path:
        assert path is not None, "a run comes as a file"
        imported = import_run(workspace, path)
    record = imported.record
    if config["name"]:
        with Registry(workspace) as registry:
            record = registry.rename(record.id, config["name"])
    return {
        "run_id": record.id,
        "run_name": record.name,
        "class": FAMILY_TITLES[record.config["model"]["kind"]],
        "parameters": record.result.get("parameters"),
        "problems": imported.problems,
    }


def _tokenizer(
    workspace: Workspace, config: dict[str, Any], report: Report, cancelled: Callable[[], bool]
) -> dict[str, Any]:
    from llm_core.text.tokenizer_library import import_tokenizer, train_tokenizer

    if "dataset" in config:
        tokenizer = train_tokenizer(
            workspace,
            config["dataset"],
            config["kind"],
            config["size"],
            config["name"],
            progress=report,
            cancelled=cancelled,
        )
    else:
        with _given_source(workspace, config) as path:
            assert path is not None, "a tokenizer comes from a text or from a file"
            tokenizer = import_tokenizer(workspace, path, config["name"], cancelled=cancelled)
    return {
        "tokenizer_id": tokenizer.id,
        "tokenizer_name": tokenizer.name,
        "vocabulary_size": tokenizer.vocabulary_size,
    }


@contextmanager
def _given_source(workspace: Workspace, config: dict[str, Any]) -> Generator[Path | None]:
    """The file that a job reads, None when it reads none; a private copy is gone afterwards, however the work ended.

    A path is looked at again: between the click and now a link in it may have been set to somewhere else. Only a worker that
    was killed leaves the copy, for the next attempt.
    """
    from llm_core.text.import_roots import check_import_path
    from llm_core.text.uploads import discard_upload, sweep_uploads, upload_path

    token = config.get("upload")
    try:
        if token is not None:
            yield upload_path(workspace, token)
        elif "path" in config:
            yield check_import_path(workspace, config["path"], [Path(root) for root in config["roots"]])
        else:
            yield None
    finally:
        if token is not None:
            discard_upload(workspace, token)
        sweep_uploads(workspace)


def _probe(
    workspace: Workspace, config: dict[str, Any], report: Report, cancelled: Callable[[], bool]
) -> dict[str, Any]:
    from llm_core.backend.speed_probe import measure_speed
    from llm_core.config.run import config_from_dict

    return measure_speed(workspace, config_from_dict(config), report, cancelled)


def _export(
    workspace: Workspace, config: dict[str, Any], report: Report, cancelled: Callable[[], bool]
) -> dict[str, Any]:
    from llm_core.backend.exchange_worker import do_export

    return do_export(workspace, config, report, cancelled)


def _ngram(
    workspace: Workspace, config: dict[str, Any], report: Report, cancelled: Callable[[], bool]
) -> dict[str, Any]:
    from llm_core.backend.ngram_levels import count_levels

    return count_levels(workspace, config["tokens"], report, cancelled).model_dump(mode="json")


_JOBS: dict[str, Callable[[Workspace, dict[str, Any], Report, Callable[[], bool]], dict[str, Any]]] = {
    "import": _import,
    "tokenizer": _tokenizer,
    "probe": _probe,
    "ngram": _ngram,
    "export": _export,
}
