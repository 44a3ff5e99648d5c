"""`glassbox`: the argument parser, and how a verb's outcome becomes an exit status.

0 done, 1 failed or diverged, 2 wrong input, 130 interrupted. Not here: the verbs (the other files of this room). Heavy libraries are
imported inside the verbs that need them.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from llm_core.cli import (
    archive_verbs,
    control_verbs,
    dashboard,
    data_verbs,
    exchange_verbs,
    machine_verbs,
    model_verbs,
    note_verbs,
    queue_verbs,
    run_verbs,
    sweep_verbs,
)
from llm_core.cli.output import DONE, FAILED, INTERRUPTED, WRONG_INPUT, print_json
from llm_core.config.errors import UserError
from llm_core.workspace.leases import LeaseLost


def build_parser() -> argparse.ArgumentParser:
    """All verbs. Without one, `glassbox` starts the dashboard."""
    parser = argparse.ArgumentParser(
        prog="glassbox", description="Train small language models, watch them learn, look inside, talk to them."
    )
    parser.add_argument("--version", action="version", version=f"glassbox {_version()}")
    parser.add_argument(
        "--workspace", metavar="DIR", help="the workspace folder (default: $GLASSBOX_HOME, else see the manual)"
    )
    dashboard.add_arguments(parser)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    runs = (run_verbs, control_verbs, queue_verbs, note_verbs, archive_verbs, sweep_verbs)
    for module in (data_verbs, *runs, model_verbs, exchange_verbs, machine_verbs):
        module.add_verbs(verbs)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = build_parser().parse_args(arguments)
    as_json = bool(getattr(options, "json", False))
    run = getattr(options, "run_verb", dashboard.run)
    try:
        return run(options)
    except UserError as error:
        print(f"glassbox: {error}", file=sys.stderr)
        if as_json:
            print_json({"error": error.to_dict()})
        return WRONG_INPUT
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output (head, less) has left; keep Python from complaining about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except (OSError, sqlite3.OperationalError, LeaseLost) as error:
        print(f"glassbox: {error}", file=sys.stderr)
        if as_json:
            print_json({"error": {"what": str(error)}})
        return FAILED


def _version() -> str:
    try:
        return version("glassbox-lm")
    except PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    sys.exit(main())
