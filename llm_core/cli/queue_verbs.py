"""`glassbox queue`: what waits, in which order; and changing the order or a run that waits. `glassbox stop` takes a run out."""

from __future__ import annotations

import argparse
from typing import Any

from llm_core.cli.output import DONE, print_json, print_table
from llm_core.config.errors import UserError
from llm_core.config.overrides import apply_overrides
from llm_core.config.run import config_from_dict
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.registry import Registry


def add_verbs(verbs: Any) -> None:
    """Declare the verb on argparse's subparsers."""
    queue: argparse.ArgumentParser = verbs.add_parser("queue", help="the runs that wait, and their order")
    queue.add_argument("run", metavar="RUN", nargs="?", help="a run that waits; without one the queue is listed")
    place = queue.add_mutually_exclusive_group()
    place.add_argument("--first", action="store_true", help="let it be the next")
    place.add_argument("--last", action="store_true", help="let it wait at the end")
    place.add_argument("--before", metavar="OTHER", help="let it wait right before another one")
    queue.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change one of its settings; may be repeated"
    )
    queue.add_argument("--json", action="store_true", help="one JSON object on the last line")
    queue.set_defaults(run_verb=show_or_change_queue)


def show_or_change_queue(options: argparse.Namespace) -> int:
    """Change what is asked for, then list the queue."""
    workspace = open_workspace(options.workspace)
    wants_change = options.first or options.last or options.before is not None or bool(options.set)
    if options.run is None and wants_change:
        raise UserError("Say which run", remedy="For example: glassbox queue RUN --first")
    if options.run is not None:
        if not wants_change:
            remedy = "Give --first, --last, --before OTHER or --set NAME=VALUE"
            raise UserError("Say what to do with the run", value=options.run, remedy=remedy)
        _change(workspace, options)
    with Registry(workspace) as registry:
        waiting = registry.queue()
    if options.json:
        print_json([{"run_id": run.id, "name": run.name, "place": place} for place, run in enumerate(waiting, 1)])
    elif not waiting:
        print("Nothing waits.")
    else:
        rows = [(place, run.name, run.id, *_what(run)) for place, run in enumerate(waiting, 1)]
        print_table(("place", "name", "id", "family", "text"), rows)
    return DONE


def _change(workspace: Workspace, options: argparse.Namespace) -> None:
    from llm_core.backend.jobs import edit_queued_run

    with Registry(workspace) as registry:
        record = registry.find(options.run)
        other = registry.find(options.before) if options.before is not None else None
    if options.set:
        edit_queued_run(workspace, record.id, apply_overrides(config_from_dict(record.config), options.set))
    with Registry(workspace) as registry:
        if options.first:
            registry.move_to_front(record.id)
        elif options.last or other is not None:
            registry.move_in_queue(record.id, before=None if other is None else other.id)


def _what(run: JobRecord) -> tuple[str, str]:
    return str(run.config.get("model", {}).get("kind", "")), str(run.config.get("data", {}).get("dataset", ""))
