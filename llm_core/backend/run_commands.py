"""What a person asks of a run: pause, stop, save, sample, change, fork, roll back. What pages and the command line call.

To a run with a worker it is a command that the worker answers; to one without, the registry answers at once. Free of torch.
Not here: starting and deleting (`jobs.py`), obeying (`run_control.py`).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_core.backend.jobs import stop_job
from llm_core.backend.launcher import start_supervisor
from llm_core.backend.run_changes import RunChange, changes_of
from llm_core.config.errors import Refused, UserError
from llm_core.config.live_settings import BUDGET_SETTINGS, changed_fork, changed_live, values_of
from llm_core.config.run import RunConfig, config_from_dict, load_config
from llm_core.models.families import families
from llm_core.workspace import commands
from llm_core.workspace.checkpoints import CheckpointInfo, checkpoint_path, find_checkpoint, verify_checkpoint
from llm_core.workspace.job_record import FINISHED, PAUSED, QUEUED, STARTING, STOPPED, JobRecord
from llm_core.workspace.lineage import Lineage, write_lineage
from llm_core.workspace.metrics_read import Ack, acks
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import run_folder

_CHECKPOINT_CONFIG, _CHECKPOINT_STATE = "config.json", "state.json"


def pause_run(workspace: Workspace, run_id: str, author: str = "") -> str:
    """Save, free the device and keep the run ready to go on; returns the command's id. Refused where nothing runs."""
    return _tell(workspace, run_id, commands.PAUSE, {}, author)


def stop_run(workspace: Workspace, run_id: str, author: str = "", *, save: bool = True) -> JobRecord:
    """End the run after its step.

    Args:
        save: write a checkpoint first; without, the run can go on from the last one that there is.
    """
    with Registry(workspace) as registry:
        record = registry.get(run_id)
        if record.state == PAUSED:
            return registry.move(run_id, STOPPED, expect=PAUSED, reason="Stopped on request.")
    if save or not record.is_held:
        return stop_job(workspace, run_id, author=author)
    commands.append_command(run_folder(workspace, run_id), commands.STOP, {"save": False}, author)
    return record


def checkpoint_run(workspace: Workspace, run_id: str, author: str = "") -> str:
    """Save a checkpoint now; it is kept until a person deletes it. Returns the command's id."""
    return _tell(workspace, run_id, commands.CHECKPOINT, {}, author)


def sample_run(workspace: Workspace, run_id: str, author: str = "") -> str:
    """Let the model write a sample now; returns the command's id."""
    return _tell(workspace, run_id, commands.SAMPLE, {}, author)


def change_run(workspace: Workspace, run_id: str, changes: Mapping[str, Any], author: str = "") -> str:
    """Change settings from the next step on; a run that rests takes them up when it is resumed. Returns the command's id.

    Args:
        changes: JSON values by dotted name, of `LIVE_SETTINGS`.

    Raises:
        UserError: a setting that cannot change, or a value that does not fit.
        Refused: the run waits in the queue (edit it there), or has used up its budget and gets no larger one.
    """
    with Registry(workspace) as registry:
        record = registry.get(run_id)
    value = _called(record)
    if record.state == QUEUED and record.started_at is None:
        raise Refused("The run has not begun", value=value, remedy="Change its settings in the queue")
    if record.state == FINISHED and not set(changes) & set(BUDGET_SETTINGS):
        raise Refused("A finished run takes no more steps", value=value, remedy="Raise its budget, or fork it")
    _require_steps(record)
    changed_live(present_config(workspace, record), changes)
    return commands.append_command(run_folder(workspace, run_id), commands.SET, changes, author)


def undo_change(workspace: Workspace, run_id: str, author: str = "") -> str:
    """Give the settings of the last change the values they had before it; returns the command's id.

    Raises:
        Refused: nothing was changed yet; or as `change_run`.
    """
    made = last_change(run_folder(workspace, run_id))
    if not made:
        raise Refused("No setting of this run was changed on the way", value=run_id)
    return change_run(workspace, run_id, {change.setting: change.before for change in made}, author)


def roll_back_run(workspace: Workspace, run_id: str, step: int, author: str = "") -> str:
    """Go back to a checkpoint and train on from there; what came after stays in the curves as an abandoned stretch.

    Later checkpoints are removed. A run that rests is queued. Returns the command's id.

    Raises:
        UserError: there is no whole checkpoint at this step.
        Refused: the run waits in the queue.
    """
    with Registry(workspace) as registry:
        record = registry.get(run_id)
    _require_steps(record)
    _whole_checkpoint(run_folder(workspace, run_id), step)
    if record.state == QUEUED:
        raise Refused(
            "The run waits in the queue", value=_called(record), remedy="Wait until it starts, or stop it first"
        )
    command = commands.append_command(run_folder(workspace, run_id), commands.ROLL_BACK, {"step": step}, author)
    if not record.is_held:
        resume_run(workspace, run_id, author=author)
    return command


def resume_run(
    workspace: Workspace,
    run_id: str,
    changes: Mapping[str, Any] | None = None,
    author: str = "",
    *,
    foreground: bool = False,
) -> JobRecord:
    """Put a run that rests back into the queue, with changes that take effect at its next step.

    A finished run goes on where its budget is raised, or where it was rolled back.

    Raises:
        Refused: it is finished and its budget stays, it waits already, or a live worker holds it.
    """
    with Registry(workspace) as registry:
        record = registry.get(run_id)
        if changes:
            change_run(workspace, run_id, changes, author)
        folder = run_folder(workspace, run_id)
        record = registry.resume(
            run_id,
            foreground=foreground,
            even_finished=bool(waiting_wishes(folder)),
            # Said before a worker can come: it must not obey a stop of before.
            prepare=lambda: commands.append_command(folder, commands.RESUME, {}, author),
        )
    if not foreground:
        start_supervisor(workspace)
    return record


def fork_run(
    workspace: Workspace,
    run_id: str,
    step: int | None = None,
    changes: Sequence[str] = (),
    name: str = "",
    *,
    once: str | None = None,
    foreground: bool = False,
) -> JobRecord:
    """A new run that goes on from a checkpoint of another, with settings of its own. The other run is not touched.

    Without changes it makes the steps that the other run makes. The checkpoint's files are shared on disk, so a fork costs no space
    until it saves, and it stays whole when its parent is deleted.

    Args:
        step: of the checkpoint; the newest when None.
        changes: such as "optimizer.learning_rate=0.0003".
        once: key of the click; the second call with it returns the first one's run.

    Raises:
        UserError: there is no whole checkpoint at this step, a change asks for another network or text, the name is taken, or the
            budget ends at this step already.
    """
    with Registry(workspace) as registry:
        parent = registry.get(run_id)
    _require_steps(parent)
    checkpoint = _whole_checkpoint(run_folder(workspace, run_id), step)
    begins = _fork_point(checkpoint)
    config = changed_fork(begins.config, list(changes))
    limit = config.training.max_steps
    if limit is not None and limit <= checkpoint.step:
        raise _nothing_left(f"training.max_steps = {limit:,}", checkpoint.step)
    budget = values_of(config, dict.fromkeys(BUDGET_SETTINGS))
    if begins.is_end and budget == values_of(begins.config, budget):
        given = ", ".join(f"{name} = {value:g}" for name, value in budget.items() if value is not None)
        raise _nothing_left(given, checkpoint.step)
    lineage = Lineage(parent.id, parent.name, checkpoint.step)
    with Registry(workspace) as registry:
        free = name or registry.free_name("train", f"{parent.name[:50]}-fork")
        values = config.model_copy(update={"name": free}).model_dump(mode="json")
        record = registry.add(
            "train",
            free,
            values,
            once=once,
            foreground=foreground,
            prepare=lambda job_id: _begin_fork(run_folder(workspace, job_id), checkpoint, lineage),
        )
    if not foreground:
        start_supervisor(workspace)
    return record


@dataclass(frozen=True)
class ForkPoint:
    """Where a fork would begin."""

    config: RunConfig
    """The settings that the run had then."""
    is_end: bool
    """Whether they leave nothing more to do."""


def fork_point(workspace: Workspace, run_id: str, step: int) -> ForkPoint:
    """What a fork from this checkpoint begins with. Cheap: whether its weights are whole is looked at when it is forked.

    Raises:
        UserError: there is no such checkpoint, or its settings cannot be read.
    """
    return _fork_point(find_checkpoint(run_folder(workspace, run_id), step))


def present_config(workspace: Workspace, record: JobRecord) -> RunConfig:
    """The settings that a run has now: those it began with, and every change since that no roll-back undid."""
    config = config_from_dict(record.config)
    made = changes_of(run_folder(workspace, record.id))
    return changed_live(config, {change.setting: change.after for change in made}) if made else config


def last_change(folder: Path) -> list[RunChange]:
    """The settings that were changed last, together, and not taken back by a way back; empty where there are none."""
    made = changes_of(folder)
    return [change for change in made if change.command == made[-1].command]


def waiting_wishes(folder: Path) -> list[commands.Command]:
    """Changes and ways back that wait for a worker, oldest first."""
    answered = {ack.command_id for ack in acks(folder)}
    kinds = (commands.SET, commands.ROLL_BACK)
    return [
        command for command in commands.read_commands(folder) if command.kind in kinds and command.id not in answered
    ]


def answer_to(workspace: Workspace, run_id: str, command_id: str) -> Ack | None:
    """The worker's answer to a command; None while it has none."""
    return next((ack for ack in acks(run_folder(workspace, run_id)) if ack.command_id == command_id), None)


def _tell(workspace: Workspace, run_id: str, kind: str, args: Mapping[str, Any], author: str) -> str:
    with Registry(workspace) as registry:
        record = registry.get(run_id)
    _require_steps(record)
    if record.state == STARTING or record.is_held:
        return commands.append_command(run_folder(workspace, run_id), kind, args, author)
    raise Refused(f"The run is {record.state}, so nobody would do it", value=_called(record), remedy="Resume it first")


def _require_steps(record: JobRecord) -> None:
    """Counting has no steps to change, keep or go back to."""
    kind = str(record.config.get("model", {}).get("kind", ""))
    if record.kind != "train" or (kind in families() and families()[kind].is_counted):
        raise Refused("Only a network that learns step by step can do this", value=_called(record))


def _fork_point(checkpoint: CheckpointInfo) -> ForkPoint:
    try:
        config = load_config((checkpoint.path / _CHECKPOINT_CONFIG).read_bytes())
        end = json.loads((checkpoint.path / _CHECKPOINT_STATE).read_bytes()).get("total_steps")
        return ForkPoint(config, end is not None and end <= checkpoint.step)
    except UserError:
        raise
    except (OSError, ValueError, TypeError, AttributeError) as error:
        what = f"The settings of this checkpoint cannot be read: {type(error).__name__}"
        raise UserError(what, value=checkpoint.path.name, remedy="Choose another checkpoint") from error


def _nothing_left(budget: str, step: int) -> UserError:
    limit = f"more than the run had used up at step {step:,}, where the fork begins"
    return UserError("The fork would have nothing left to do", value=budget, limit=limit, remedy="Raise its budget")


def _whole_checkpoint(folder: Path, step: int | None) -> CheckpointInfo:
    info = find_checkpoint(folder, step)
    problems = verify_checkpoint(info.path)
    if problems:
        raise UserError(problems[0], value=info.path.name, remedy="Choose another checkpoint")
    return info


def _begin_fork(folder: Path, checkpoint: CheckpointInfo, lineage: Lineage) -> None:
    """The run folder of a fork: the parent's checkpoint, and where it comes from.

    A checkpoint's files are never written again, only replaced, so a second name for them is as good as a copy.
    """
    target = checkpoint_path(folder, checkpoint.step)
    shutil.copytree(checkpoint.path, target, copy_function=_link_or_copy, ignore=shutil.ignore_patterns("pinned"))
    write_lineage(folder, lineage)


def _link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(source, target)
    return target


def _called(record: JobRecord) -> str:
    return f"{record.name} ({record.id})"
