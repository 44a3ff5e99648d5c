"""`glassbox train`, `runs`, `show`, `stop`, `resume`, `delete`, `metrics`: everything about runs but the models in them."""

from __future__ import annotations

import argparse
import csv
import io
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llm_core.cli.control_verbs import AUTHOR, read_changes
from llm_core.cli.output import DONE, FAILED, INTERRUPTED, ProgressLine, print_json, print_table
from llm_core.cli.run_argument import run_of, verb_with_run
from llm_core.config.errors import UserError
from llm_core.config.objective_words import objective_words
from llm_core.config.overrides import apply_overrides
from llm_core.config.presets import preset
from llm_core.config.run import RunConfig, load_config
from llm_core.config.timing import Timing
from llm_core.quantities import duration, size, three_digits
from llm_core.workspace.adopted_runs import CopiedRuns
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import RunSummary, run_folder, summarise_run


def add_verbs(verbs: Any) -> None:
    """Declare the verbs on argparse's subparsers."""
    train = verbs.add_parser("train", help="start a run")
    add_config_arguments(train)
    train.add_argument("--name", help="a name of your own, unique in the workspace")
    train.add_argument("--foreground", action="store_true", help="train in this very process; Ctrl-C saves and stops")
    train.set_defaults(run_verb=train_run)
    runs = verbs.add_parser("runs", help="all runs of the workspace")
    runs.set_defaults(run_verb=list_runs)
    show = verb_with_run(verbs, "show", "one run in full", show_run)
    stop = verb_with_run(verbs, "stop", "finish the step, save and stop", stop_run)
    resume = verb_with_run(verbs, "resume", "go on from the last checkpoint", resume_run)
    resume.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change a setting from its next step on; a budget, say",
    )
    stop.add_argument("--no-save", action="store_true", help="end without a checkpoint of the last steps")
    resume.add_argument("--foreground", action="store_true", help="train in this very process")
    delete = verb_with_run(verbs, "delete", "delete a run and all its files", delete_run)
    metrics = verb_with_run(verbs, "metrics", "the points of a curve", print_metrics)
    metrics.add_argument(
        "--key",
        required=True,
        help="train_loss, val_loss, bits_per_byte, masked_val_loss, span_val_loss, learning_rate, grad_norm, …",
    )
    metrics.add_argument("--csv", metavar="FILE", help="write a CSV file (- for standard output)")
    metrics.add_argument("--all", action="store_true", help="with stretches that were rolled back")
    for parser in (train, runs, show, stop, resume, delete, metrics):
        parser.add_argument("--json", action="store_true", help="one JSON object on the last line")


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """--preset, --config and --set, for every verb that takes a configuration."""
    parser.add_argument("--preset", help="a named starting point (see `glassbox presets`)")
    parser.add_argument("--config", metavar="FILE", help="a config.json as a run folder holds it")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change one setting; may be repeated"
    )


def read_config(options: argparse.Namespace) -> RunConfig:
    """The configuration that --preset, --config and --set describe. Raises UserError."""
    if options.preset and options.config:
        raise UserError("Give a preset or a configuration file, not both")
    if options.config:
        try:
            config = load_config(Path(options.config).read_bytes())
        except OSError as error:
            raise UserError("The configuration file cannot be read", value=options.config, remedy=str(error)) from error
    else:
        config = preset(options.preset or "pocket-gpt")
    return apply_overrides(config, options.set)


def train_run(options: argparse.Namespace) -> int:
    """Queue a run, or train right here with --foreground."""
    from llm_core.backend.jobs import submit_run

    workspace = open_workspace(options.workspace)
    config = read_config(options)
    if options.name:
        config = apply_overrides(config, [f"name={options.name}"])
    record = submit_run(workspace, config, foreground=options.foreground, wish=options.preset or "")
    if options.foreground:
        return _in_foreground(workspace, record, options)
    if options.json:
        print_json({"run_id": record.id, "state": record.state})
    else:
        print(f"Queued {record.name} ({record.id}). Watch it with `glassbox show {record.name}` or in the dashboard.")
    return 0


def resume_run(options: argparse.Namespace) -> int:
    """Put a run back into the queue, or go on right here."""
    from llm_core.backend.run_commands import present_config, resume_run

    workspace, found = run_of(options)
    changes = read_changes(present_config(workspace, found), options.set) if options.set else {}
    record = resume_run(workspace, found.id, changes, AUTHOR, foreground=options.foreground)
    if options.foreground:
        return _in_foreground(workspace, record, options)
    if options.json:
        print_json({"run_id": record.id, "state": record.state})
    else:
        print(f"{record.name} is queued and goes on from its last checkpoint.")
    return 0


def _in_foreground(workspace: Workspace, record: JobRecord, options: argparse.Namespace) -> int:
    from llm_core.backend.endings import StopSignal
    from llm_core.backend.worker import run_in_foreground

    line = ProgressLine(quiet=options.json)
    stop = StopSignal()
    finished = threading.Event()

    def show() -> None:
        while not finished.wait(0.5):
            summary = summarise_run(workspace, record)
            loss = "" if summary.train_loss is None else f"loss {three_digits(summary.train_loss)}"
            left = summary.progress.get("eta_seconds")
            time_left = "" if left is None else f" · {duration(left)} left"
            line.show(
                str(summary.progress.get("phase", "starting")), summary.steps, summary.max_steps, loss + time_left
            )

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        record = run_in_foreground(workspace, record.id, Timing.from_environment(), stop)
    finally:
        finished.set()
        thread.join()
        line.close()
    if options.json:
        names = ("steps", "train_loss", "val_loss", "bits_per_byte", "tokens_per_second", "seconds")
        # An objective that is no code length adds its losses under their own names.
        own = {
            name: value
            for name, value in record.result.items()
            if name.endswith(("_train_loss", "_val_loss", "_accuracy"))
        }
        told = {name: record.result.get(name) for name in names}
        print_json({"run_id": record.id, "state": record.state, **told, **own})
    else:
        print(f"{record.name} ({record.id}) {record.state}. {record.reason} {record.remedy}".rstrip())
        print(_figures(summarise_run(workspace, record)))
    if record.state == "stopped" and stop.requested:
        return INTERRUPTED
    return DONE if record.state in ("finished", "stopped", "paused") else FAILED


def _figures(summary: RunSummary) -> str:
    parts = [f"{summary.steps:,} steps"]
    if summary.val_loss is not None:
        unit = objective_words()[summary.objective].axis_title.removeprefix("loss, nats per ")
        parts.append(f"validation {summary.val_loss:.4f} nats per {unit}")
    if summary.accuracy is not None:
        parts.append(f"{100 * summary.accuracy:.1f} % right")
    if summary.bits_per_byte is not None:
        parts.append(f"{summary.bits_per_byte:.4f} bits a byte")
    if summary.tokens_per_second:
        parts.append(f"{summary.tokens_per_second:,.0f} tokens/s")
    if summary.seconds:
        parts.append(f"trained {duration(summary.seconds)}")
    return " · ".join(parts)


def _code_length(summary: RunSummary) -> float | None:
    """A loss that compares with others in a table."""
    return summary.val_loss if objective_words()[summary.objective].is_code_length else None


def list_runs(options: argparse.Namespace) -> int:
    """All runs, newest first."""
    workspace = open_workspace(options.workspace)
    with Registry(workspace) as registry:
        CopiedRuns(workspace).take_in(registry)
        summaries = [summarise_run(workspace, record) for record in registry.jobs("train")]
    if options.json:
        print_json([_summary_json(summary) for summary in summaries])
        return 0
    rows = [
        (s.name, s.id, s.state, s.kind, s.dataset, s.steps, _code_length(s), s.bits_per_byte, size(s.size_bytes))
        for s in summaries
    ]
    print_table(("name", "id", "state", "family", "text", "steps", "val loss", "bits/byte", "disk"), rows)
    return 0


def _summary_json(summary: RunSummary) -> dict[str, Any]:
    values = asdict(summary)
    values["run_id"] = values.pop("id")
    return values


def show_run(options: argparse.Namespace) -> int:
    """One run: state, figures, checkpoints."""
    from llm_core.workspace.checkpoints import list_checkpoints

    workspace, record = run_of(options)
    summary = summarise_run(workspace, record)
    folder = run_folder(workspace, record.id)
    steps = [checkpoint.step for checkpoint in list_checkpoints(folder)]
    if options.json:
        print_json({**_summary_json(summary), "config": record.config, "checkpoints": steps, "folder": str(folder)})
        return 0
    print(f"{record.name} ({record.id}) is {record.state}. {record.reason} {record.remedy}".rstrip())
    print(_figures(summary))
    if steps:
        print("checkpoints at steps " + ", ".join(f"{step:,}" for step in steps))
    print(f"folder {folder}")
    return 0


def stop_run(options: argparse.Namespace) -> int:
    """Ask a run to end after its step."""
    from llm_core.backend import run_commands

    workspace, found = run_of(options)
    record = run_commands.stop_run(workspace, found.id, AUTHOR, save=not options.no_save)
    if options.json:
        print_json({"run_id": record.id, "state": record.state})
    elif record.state == "stopped":
        print(f"{record.name} is stopped: {record.reason}")
    else:
        print(f"{record.name} finishes its step{'' if options.no_save else ', saves'} and stops.")
    return 0


def delete_run(options: argparse.Namespace) -> int:
    """Delete a run with its files."""
    from llm_core.backend.jobs import delete_run as delete

    workspace, found = run_of(options)
    freed = delete(workspace, found.id)
    if options.json:
        print_json({"run_id": found.id, "freed_bytes": freed})
    else:
        print(f"{found.name} is gone; {size(freed)} are free again.")
    return 0


def print_metrics(options: argparse.Namespace) -> int:
    """The points of one key, as CSV, as JSON or in figures."""
    from llm_core.workspace.metrics_read import metric_keys, read_points, segments, surviving

    workspace, found = run_of(options)
    folder = run_folder(workspace, found.id)
    keys = metric_keys(folder)
    if options.key not in keys:
        # Those of the whole run first: a network has as many others as it has parts.
        known = ", ".join(sorted(keys, key=lambda key: ("/" in key, key))) or "none yet"
        raise UserError("This run has no such curve", value=options.key, limit=known, remedy="Choose one of these keys")
    points = read_points(folder, options.key)
    if not options.all:
        points = points.where(surviving(points, segments(folder)))
    rows = list(
        zip(points.step.tolist(), points.tokens.tolist(), points.seconds.tolist(), points.value.tolist(), strict=True)
    )
    if options.csv:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("step", "tokens", "seconds", "value"))
        writer.writerows((step, tokens, repr(seconds), repr(value)) for step, tokens, seconds, value in rows)
        if options.csv == "-":
            sys.stdout.write(text.getvalue())
        else:
            Path(options.csv).write_text(text.getvalue(), encoding="utf-8")
    if options.json:
        names = ("step", "tokens", "seconds", "value")
        print_json(
            {"run_id": found.id, "key": options.key, "points": [dict(zip(names, row, strict=True)) for row in rows]}
        )
    elif not options.csv:
        print_table(("step", "tokens", "seconds", options.key), rows)
    elif options.csv != "-":
        print(f"Wrote {len(rows):,} points to {options.csv}.")
    return 0
