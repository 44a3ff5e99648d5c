"""`glassbox pause`, `set`, `undo`, `checkpoint`, `sample`, `fork`, `rollback`: what can be asked of a run while it goes on, and after.

Not here: starting, stopping and looking at runs (`run_verbs.py`).
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from llm_core.cli.output import DONE, FAILED, print_json
from llm_core.cli.run_argument import run_of, verb_with_run
from llm_core.config.errors import UserError
from llm_core.workspace.job_record import QUEUED, JobRecord
from llm_core.workspace.metrics_read import Ack
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry

AUTHOR = "command line"
# A run answers at its next step; a slow one is not waited for for ever.
PATIENCE_SECONDS = 20.0
_POLL_SECONDS = 0.1


def add_verbs(verbs: Any) -> None:
    """Declare the verbs on argparse's subparsers."""
    pause = verb_with_run(verbs, "pause", "save, free the device, keep the run ready to go on", pause_run)
    change = verb_with_run(verbs, "set", "change settings from the next step on", change_run)
    change.add_argument("assignments", nargs="+", metavar="NAME=VALUE", help="such as optimizer.learning_rate=0.0003")
    undo = verb_with_run(verbs, "undo", "give what was changed last its value of before", undo_change)
    checkpoint = verb_with_run(verbs, "checkpoint", "save a checkpoint now and keep it", checkpoint_run)
    sample = verb_with_run(verbs, "sample", "let the model write a sample now", sample_run)
    fork = verb_with_run(verbs, "fork", "a new run that goes on from a checkpoint", fork_run)
    fork.add_argument("--step", type=int, help="of the checkpoint (default: the newest)")
    fork.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change one setting; may be repeated"
    )
    fork.add_argument("--name", help="a name of its own")
    back = verb_with_run(verbs, "rollback", "go back to a checkpoint and train on from there", roll_back_run)
    back.add_argument("--step", type=int, required=True, help="of the checkpoint")
    for parser in (pause, change, undo, checkpoint, sample, fork, back):
        parser.add_argument("--json", action="store_true", help="one JSON object on the last line")


def pause_run(options: argparse.Namespace) -> int:
    """Pause and wait for the answer."""
    from llm_core.backend import run_commands

    workspace, record = run_of(options)
    command = run_commands.pause_run(workspace, record.id, AUTHOR)
    return _answer(options, workspace, record, command, "pauses after this step; its device is free then")


def change_run(options: argparse.Namespace) -> int:
    """Change settings and say what they were."""
    from llm_core.backend import run_commands

    workspace, record = run_of(options)
    present = run_commands.present_config(workspace, record)
    changes = read_changes(present, options.assignments)
    command = run_commands.change_run(workspace, record.id, changes, AUTHOR)
    return _answer_of_a_change(options, workspace, record, command)


def undo_change(options: argparse.Namespace) -> int:
    """Take the last change back."""
    from llm_core.backend import run_commands

    workspace, record = run_of(options)
    command = run_commands.undo_change(workspace, record.id, AUTHOR)
    return _answer_of_a_change(options, workspace, record, command)


def checkpoint_run(options: argparse.Namespace) -> int:
    """Save now."""
    from llm_core.backend import run_commands

    workspace, record = run_of(options)
    command = run_commands.checkpoint_run(workspace, record.id, AUTHOR)
    return _answer(options, workspace, record, command, "saves a checkpoint")


def sample_run(options: argparse.Namespace) -> int:
    """Write a sample now."""
    from llm_core.backend import run_commands

    workspace, record = run_of(options)
    command = run_commands.sample_run(workspace, record.id, AUTHOR)
    return _answer(options, workspace, record, command, "writes a sample")


def fork_run(options: argparse.Namespace) -> int:
    """Queue a fork."""
    from llm_core.backend import run_commands

    workspace, record = run_of(options)
    fork = run_commands.fork_run(workspace, record.id, options.step, options.set, options.name or "")
    if options.json:
        print_json({"run_id": fork.id, "name": fork.name, "state": fork.state})
    else:
        print(f"Queued {fork.name} ({fork.id}), forked from {record.name}.")
    return DONE


def roll_back_run(options: argparse.Namespace) -> int:
    """Go back to a checkpoint."""
    from llm_core.backend import run_commands

    workspace, record = run_of(options)
    command = run_commands.roll_back_run(workspace, record.id, options.step, AUTHOR)
    words = f"goes back to step {options.step:,} and trains on from there"
    if record.is_held:
        return _answer(options, workspace, record, command, words)
    if options.json:
        print_json({"run_id": record.id, "command": command, "state": QUEUED})
    else:
        print(f"{record.name} {words}.")
    return DONE


def read_changes(config: Any, assignments: list[str]) -> dict[str, Any]:
    """Assignments such as "optimizer.learning_rate=0.0003" as JSON values by name. Raises UserError."""
    from llm_core.config.live_settings import values_of
    from llm_core.config.overrides import apply_overrides

    names = dict.fromkeys(assignment.partition("=")[0].strip() for assignment in assignments)
    return values_of(apply_overrides(config, assignments), names)


def _answer_of_a_change(options: argparse.Namespace, workspace: Workspace, record: JobRecord, command: str) -> int:
    """At once where a worker answers; a run that rests takes it up later."""
    if record.is_held:
        return _answer(options, workspace, record, command, "goes on with the change")
    if options.json:
        print_json({"run_id": record.id, "command": command, "state": record.state})
    else:
        print(f"{record.name} is {record.state}; the change takes effect when it is resumed.")
    return DONE


def _answer(options: argparse.Namespace, workspace: Workspace, record: JobRecord, command: str, words: str) -> int:
    """Wait for the worker's answer and tell it."""
    ack = _wait(workspace, record, command)
    if options.json:
        print_json(
            {
                "run_id": record.id,
                "command": command,
                "accepted": None if ack is None else ack.accepted,
                "step": None if ack is None else ack.step,
                "before": None if ack is None else ack.before,
                "after": None if ack is None else ack.after,
                "reason": "" if ack is None else ack.reason,
            }
        )
    elif ack is None:
        print(f"{record.name} has not answered yet; it does at its next step.")
    elif ack.accepted:
        changes = ""
        if isinstance(ack.after, dict):
            values: dict[str, Any] = ack.after  # pyright: ignore[reportUnknownVariableType]
            changes = ": " + ", ".join(f"{name} {ack.before[name]} → {value}" for name, value in values.items())
        print(f"{record.name} {words} (step {ack.step:,}{changes}).")
    else:
        print(f"{record.name} refused at step {ack.step:,}: {ack.reason}")
    return FAILED if ack is not None and not ack.accepted else DONE


def _wait(workspace: Workspace, record: JobRecord, command: str) -> Ack | None:
    from llm_core.backend.run_commands import answer_to

    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        ack = answer_to(workspace, record.id, command)
        if ack is not None:
            return ack
        with Registry(workspace) as registry:
            if registry.get(record.id).is_final:
                raise UserError("The run ended before it could answer", value=record.name)
        time.sleep(_POLL_SECONDS)
    return None
