"""`glassbox note`: a run's name, its tags, and what a person writes about it."""

from __future__ import annotations

import argparse
from typing import Any

from llm_core.cli.output import print_json
from llm_core.cli.run_argument import run_of, verb_with_run
from llm_core.workspace.registry import Registry
from llm_core.workspace.run_notes import change_notes, read_notes
from llm_core.workspace.runs import run_folder


def add_verbs(verbs: Any) -> None:
    """Declare the verb on argparse's subparsers."""
    note = verb_with_run(verbs, "note", "name, notes and tags of a run; without options shows them", note_run)
    note.add_argument("--name", help="what the run is called from now on")
    note.add_argument("--text", help="the new text; an empty one takes it away")
    note.add_argument("--tag", action="append", default=[], metavar="TAG", help="add a tag; may be repeated")
    note.add_argument("--untag", action="append", default=[], metavar="TAG", help="take a tag away; may be repeated")
    note.add_argument("--json", action="store_true", help="one JSON object on the last line")


def note_run(options: argparse.Namespace) -> int:
    """Change the notes, if anything is to be changed, and show them."""
    workspace, record = run_of(options)
    if options.name is not None:
        with Registry(workspace) as registry:
            record = registry.rename(record.id, options.name)
    folder = run_folder(workspace, record.id)
    if options.text is not None or options.tag or options.untag:
        notes = change_notes(folder, text=options.text, tag=options.tag, untag=options.untag)
    else:
        notes = read_notes(folder)
    if options.json:
        print_json({"run_id": record.id, "name": record.name, "text": notes.text, "tags": list(notes.tags)})
        return 0
    print(f"{record.name} ({record.id}): {' · '.join(notes.tags) or 'no tags'}")
    if notes.text:
        print(notes.text)
    return 0
