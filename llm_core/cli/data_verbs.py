"""`glassbox data add` and `glassbox data list`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from llm_core.cli.output import ProgressLine, print_json, print_table
from llm_core.quantities import size
from llm_core.workspace.paths import open_workspace


def add_verbs(verbs: Any) -> None:
    """Declare the verbs on argparse's subparsers."""
    parser: argparse.ArgumentParser = verbs.add_parser("data", help="bring text, list what is there")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="import a file (.txt .md .csv .tsv .jsonl .parquet)")
    add.add_argument("path", metavar="PATH")
    add.add_argument("--name", help="the text's name (default: the file's)")
    add.add_argument("--column", help="the column that holds the text (tables)")
    add.add_argument("--separator", help="cut a .txt into documents at this line")
    add.add_argument("--json", action="store_true")
    add.set_defaults(run_verb=add_data)
    listing = actions.add_parser("list", help="the texts of this workspace")
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(run_verb=list_data)


def add_data(options: argparse.Namespace) -> int:
    """Import in this very process, with a progress line."""
    from llm_core.text.cleaning import CleaningOptions
    from llm_core.text.library import ImportOptions, import_corpus
    from llm_core.text.progress import never_cancelled

    workspace = open_workspace(options.workspace)
    path = Path(options.path)
    cleaning = CleaningOptions(document_separator=options.separator) if options.separator else CleaningOptions()
    import_options = ImportOptions(name=options.name or path.stem, text_column=options.column or "", cleaning=cleaning)
    line = ProgressLine(quiet=options.json)
    try:
        record = import_corpus(
            workspace,
            str(path),
            import_options,
            progress=lambda phase, done, total: line.show(phase, done, total),
            cancelled=never_cancelled,
        )
    finally:
        line.close()
    existing = record.existing
    if options.json:
        print_json(
            {
                "id": record.id,
                "name": record.name,
                "documents": record.documents,
                "characters": record.characters,
                "bytes": record.bytes,
                "existing": existing,
            }
        )
    else:
        word = "was there already" if existing else "is ready"
        print(
            f"{record.name} {word}: {record.characters:,} characters, {record.documents:,} documents. Id {record.id}."
        )
    return 0


def list_data(options: argparse.Namespace) -> int:
    """All texts, built-in ones included."""
    from llm_core.text.library import list_datasets

    records = list_datasets(open_workspace(options.workspace))
    if options.json:
        print_json(
            [
                {
                    "id": record.id,
                    "name": record.name,
                    "builtin": record.builtin,
                    "documents": record.documents,
                    "characters": record.characters,
                    "bytes": record.bytes,
                }
                for record in records
            ]
        )
        return 0
    rows = [
        (record.name, record.id, record.characters, record.documents, size(record.bytes) if record.bytes else None)
        for record in records
    ]
    print_table(("name", "id", "characters", "documents", "size"), rows)
    return 0
