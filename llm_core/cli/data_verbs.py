"""`glassbox data add` and `glassbox data list`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from llm_core.cli.output import ProgressLine, print_json, print_table
from llm_core.config.data import DataConfig
from llm_core.config.errors import UserError
from llm_core.quantities import size
from llm_core.workspace.paths import Workspace, open_workspace


def add_verbs(verbs: Any) -> None:
    """Declare the verbs on argparse's subparsers."""
    parser: argparse.ArgumentParser = verbs.add_parser("data", help="bring text, list what is there")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="import a file (.txt .md .csv .tsv .jsonl .parquet) or a data set of the Hub")
    add.add_argument("path", metavar="PATH", help="a file; with --hub the name owner/name")
    add.add_argument("--name", help="the text's name (default: the file's)")
    add.add_argument("--hub", action="store_true", help="PATH is a data set of the Hugging Face Hub")
    add.add_argument("--hub-split", metavar="SPLIT", help="which part of it (default: train)")
    add.add_argument("--hub-config", metavar="CONFIG", help="for data sets that have several configurations")
    add.add_argument("--column", help="the column that holds the text (tables)")
    add.add_argument(
        "--target-column",
        metavar="COLUMN",
        help="the column that holds the answers: every row becomes a pair, for sequence-to-sequence training",
    )
    add.add_argument("--separator", help="cut text into documents wherever this occurs (\\n and \\t are understood)")
    add.add_argument("--keep-line-ends", action="store_true", help="leave CRLF as it is")
    add.add_argument("--nfc", action="store_true", help="compose characters (Unicode NFC)")
    add.add_argument("--drop-repeated", choices=("document", "line"), help="keep the first of equal documents or lines")
    add.add_argument("--json", action="store_true")
    add.set_defaults(run_verb=add_data)
    listing = actions.add_parser("list", help="the texts of this workspace")
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(run_verb=list_data)


def add_data(options: argparse.Namespace) -> int:
    """Import in this very process, with a progress line."""
    from llm_core.text.library import import_corpus

    workspace = open_workspace(options.workspace)
    line = ProgressLine(quiet=options.json)
    try:
        record = import_corpus(workspace, options.path, _import_options(options), progress=line.show)
    finally:
        line.close()
    warnings = _concerns_of_the_usual_split(workspace, record.id)
    if options.json:
        print_json(
            {
                "id": record.id,
                "name": record.name,
                "documents": record.documents,
                "is_pairs": record.is_pairs,
                "characters": record.characters,
                "bytes": record.bytes,
                "existing": record.existing,
                "warnings": [warning.to_dict() for warning in warnings],
            }
        )
        return 0
    word = "was there already" if record.existing else "is ready"
    what = "pairs" if record.is_pairs else "documents"
    print(f"{record.name} {word}: {record.characters:,} characters, {record.documents:,} {what}. Id {record.id}.")
    for warning in warnings:
        print(warning)
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
                    "is_pairs": record.is_pairs,
                    "characters": record.characters,
                    "bytes": record.bytes,
                }
                for record in records
            ]
        )
        return 0
    rows = [
        (record.name, record.id, record.characters, _documents(record), size(record.bytes) if record.bytes else None)
        for record in records
    ]
    print_table(("name", "id", "characters", "documents", "size"), rows)
    return 0


def _documents(record: Any) -> int | str:
    return f"{record.documents:,} pairs" if record.is_pairs and record.materialised else record.documents


def _import_options(options: argparse.Namespace) -> Any:
    from llm_core.text.cleaning import CleaningOptions
    from llm_core.text.dataset_record import ImportOptions

    given: dict[str, Any] = {"kind": "hub", "name": options.name or options.path.replace("/", " ")}
    if not options.hub:
        given = {"name": Path(options.path).stem if options.name is None else options.name}
    return ImportOptions(
        **given,
        text_column=options.column or "",
        target_column=options.target_column or "",
        hub_split=options.hub_split or "train",
        hub_configuration=options.hub_config or "",
        cleaning=CleaningOptions(
            line_ends=not options.keep_line_ends,
            unicode_nfc=options.nfc,
            duplicates=options.drop_repeated or "none",
            document_separator=options.separator,
        ),
    )


def _concerns_of_the_usual_split(workspace: Workspace, dataset: str) -> list[UserError]:
    from llm_core.text.library import split_of
    from llm_core.text.splits import split_concerns

    usual = DataConfig()
    split = split_of(workspace, dataset, usual.validation_fraction)
    return split_concerns(split, usual.validation_fraction, usual.context_length)
