"""The argument RUN, which most verbs take: how it is declared, and the run that is meant by it.

Not here: the verbs (the other files of this room).
"""

from __future__ import annotations

import argparse
from typing import Any

from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.registry import Registry


def verb_with_run(verbs: Any, name: str, help_text: str, run_verb: Any) -> argparse.ArgumentParser:
    """A verb on argparse's subparsers whose first argument is a run."""
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=help_text)
    parser.add_argument("run", metavar="RUN", help="id, name, or the first four or more characters of the id")
    parser.set_defaults(run_verb=run_verb)
    return parser


def run_of(options: argparse.Namespace) -> tuple[Workspace, JobRecord]:
    """The workspace and the run that were named. Raises NotFound, which lists what there is."""
    workspace = open_workspace(options.workspace)
    with Registry(workspace) as registry:
        return workspace, registry.find(options.run)
