"""Intentions become jobs: submit, edit, stop, resume, delete. What pages and the command line call.

Nothing here runs anything itself; it writes to the registry, leaves a command or starts the supervisor. Free of torch.
Not here: who takes the jobs (`supervisor.py`), how they are done (`worker.py`).
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any, BinaryIO

from llm_core.backend.launcher import start_supervisor
from llm_core.backend.readiness import blocking_error, check_readiness
from llm_core.config.errors import Refused
from llm_core.config.presets import presets
from llm_core.config.run import RunConfig
from llm_core.text.uploads import discard_upload, keep_upload, sweep_uploads
from llm_core.workspace import commands
from llm_core.workspace.checkpoints import list_checkpoints
from llm_core.workspace.job_progress import request_cancel
from llm_core.workspace.job_record import PAUSED, QUEUED, JobRecord
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry, check_editable
from llm_core.workspace.runs import delete_run as delete_run_files
from llm_core.workspace.runs import run_folder


def submit_run(
    workspace: Workspace, config: RunConfig, *, once: str | None = None, foreground: bool = False, wish: str = ""
) -> JobRecord:
    """Queue a training run and make sure somebody will take it.

    Args:
        config: without a name, one is made from the preset it equals, else from its family.
        once: key of the click or request; the second call with it returns the first one's run.
        foreground: the caller runs it itself.
        wish: the name to start from when the config has none.

    Raises:
        UserError: the settings cannot work (the first blocking problem), or the name is taken.
    """
    problems = check_readiness(workspace, config).blocking
    if problems:
        raise blocking_error(problems)
    with Registry(workspace) as registry:
        name = config.name or registry.free_name("train", wish or _default_name(config))
        values = config.model_copy(update={"name": name}).model_dump(mode="json")
        record = registry.add("train", name, values, once=once, foreground=foreground)
    if not foreground:
        start_supervisor(workspace)
    return record


def submit_job(
    workspace: Workspace, kind: str, name: str, config: dict[str, Any], *, once: str | None = None
) -> JobRecord:
    """Queue an import, a tokenizer training or a probe; `config` is what `worker_jobs` of that kind reads."""
    with Registry(workspace) as registry:
        record = registry.add(kind, registry.free_name(kind, name), config, once=once)
    start_supervisor(workspace)
    return record


def submit_with_file(
    workspace: Workspace,
    kind: str,
    name: str,
    file_name: str,
    stream: BinaryIO,
    config: Mapping[str, Any],
    *,
    once: str | None = None,
) -> JobRecord:
    """Queue a job that reads an uploaded file; a private copy of it is kept until the job has ended, or not at all."""
    sweep_uploads(workspace)
    token = keep_upload(workspace, file_name, stream)
    try:
        record = submit_job(workspace, kind, name, {"upload": token, **config}, once=once)
    except BaseException:
        discard_upload(workspace, token)
        raise
    if record.config.get("upload") != token:  # the second click of one intention
        discard_upload(workspace, token)
    return record


def submit_probe(workspace: Workspace, config: RunConfig, *, once: str | None = None) -> JobRecord:
    """Queue a short measurement of this configuration's speed."""
    return submit_job(workspace, "probe", "probe", config.model_dump(mode="json"), once=once)


def stop_job(workspace: Workspace, job_id: str, *, author: str = "") -> JobRecord:
    """Ask a job to end; a run finishes its step and saves first. One that waits or is paused ends at once.

    Raises:
        Refused: it has ended already.
    """
    with Registry(workspace) as registry:
        record = registry.get(job_id)
        if record.state in (QUEUED, PAUSED):
            try:
                return registry.cancel(job_id)
            except Refused:
                record = registry.get(job_id)  # a worker was quicker
        if record.is_final:
            raise Refused(f"It is {record.state} already", value=f"{record.name} ({record.id})")
    if record.kind == "train":
        commands.append_command(run_folder(workspace, job_id), "stop", {}, author)
    else:
        request_cancel(workspace, job_id)
        if record.owner is not None:
            record.owner.send_signal(signal.SIGTERM)
    return record


def edit_queued_run(workspace: Workspace, run_id: str, config: RunConfig) -> JobRecord:
    """Give a run that waits other settings; without a name in them it keeps its own, and its place in any case.

    Raises:
        UserError: the settings cannot work (the first blocking problem), or the name is taken.
        Refused: it does not wait any more, or has begun before.
    """
    problems = check_readiness(workspace, config).blocking
    if problems:
        raise blocking_error(problems)
    require_editable(workspace, run_id)
    with Registry(workspace) as registry:
        name = config.name or registry.get(run_id).name
        values = config.model_copy(update={"name": name}).model_dump(mode="json")
        return registry.edit_queued(run_id, values)


def require_editable(workspace: Workspace, run_id: str) -> None:
    """Raise Refused for a run whose settings cannot be changed in the queue: it does not wait, or it goes on from something."""
    with Registry(workspace) as registry:
        record = registry.get(run_id)
    check_editable(record)
    if list_checkpoints(run_folder(workspace, run_id)):
        remedy = "Cancel it and fork again, with the changes"
        raise Refused("It goes on from a checkpoint, whose settings it keeps", value=record.name, remedy=remedy)


def delete_run(workspace: Workspace, run_id: str) -> int:
    """Delete a run with all its files; returns the bytes freed. Raises Refused while a worker holds it."""
    with Registry(workspace) as registry:
        return delete_run_files(workspace, registry, run_id)


def _default_name(config: RunConfig) -> str:
    for name, preset in presets().items():
        if preset.config.model == config.model and preset.config.data.dataset == config.data.dataset:
            return name
    return f"{config.data.dataset}-{config.model.kind}"[:60]
