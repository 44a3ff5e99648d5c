"""`glassbox note`: what a person writes about a run, and its tags."""

from __future__ import annotations

import argparse
from typing import Any

from llm_core.cli.output import print_json
from llm_core.cli.run_argument import run_of
from llm_core.workspace.run_notes import change_notes, read_notes
from llm_core.workspace.runs import run_folder


def add_verbs(verbs: Any) -> None:
    """Declare the verb on argparse's subparsers."""
    note: argparse.ArgumentParser = verbs.add_parser("note", help="notes and tags of a run; without options shows them")
    note.add_argument("run", metavar="RUN", help="id, name, or the first four or more characters of the id")
    note.add_argument("--text", help="the new text; an empty one takes it away")
    note.add_argument("--tag", action="append", default=[], metavar="TAG", help="add a tag; may be repeated")
    note.add_argument("--untag", action="append", default=[], metavar="TAG", help="take a tag away; may be repeated")
    note.add_argument("--json", action="store_true", help="one JSON object on the last line")
    note.set_defaults(run_verb=note_run)


def note_run(options: argparse.Namespace) -> int:
    """Change the notes, if anything is to be changed, and show them."""
    workspace, record = run_of(options)
    folder = run_folder(workspace, record.id)
    if options.text is not None or options.tag or options.untag:
        notes = change_notes(folder, text=options.text, tag=options.tag, untag=options.untag)
    else:
        notes = read_notes(folder)
    if options.json:
        print_json({"run_id": record.id, "text": notes.text, "tags": list(notes.tags)})
        return 0
    print(f"{record.name} ({record.id}): {' · '.join(notes.tags) or 'no tags'}")
    if notes.text:
        print(notes.text)
    return 0
