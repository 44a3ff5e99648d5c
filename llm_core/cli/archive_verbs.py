"""`glassbox export-run`: a run as a table of all its points, as a report, as a chart, as a zip that opens in another workspace.

Not here: opening such a zip (`glassbox import run`, `exchange_verbs.py`), models for other programs (`glassbox export`).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from llm_core.cli.output import print_json
from llm_core.cli.run_argument import run_of
from llm_core.config.errors import UserError
from llm_core.quantities import size
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.json_files import write_text
from llm_core.workspace.paths import Workspace
from llm_core.workspace.runs import run_folder

_FORMS = ("csv", "report", "chart", "zip")


def add_verbs(verbs: Any) -> None:
    """Declare the verb on argparse's subparsers."""
    export: argparse.ArgumentParser = verbs.add_parser("export-run", help="a run's points, report or whole folder")
    export.add_argument("run", metavar="RUN", help="id, name, or the first four or more characters of the id")
    export.add_argument("--csv", metavar="FILE", help="all points of all curves (- for standard output)")
    export.add_argument("--report", metavar="FILE", help="one HTML file: figures, curves, samples, events, settings")
    export.add_argument("--chart", metavar="FILE", help="one HTML file with the curves of --key")
    export.add_argument("--zip", metavar="FILE", help="the run's folder, to be opened with `glassbox import run`")
    export.add_argument(
        "--key", action="append", default=[], help="a curve of the chart; may be repeated (default: the losses)"
    )
    export.add_argument("--all", action="store_true", help="in the CSV also stretches that were rolled back")
    export.add_argument("--no-checkpoints", action="store_true", help="leave them out of the zip")
    export.add_argument("--json", action="store_true", help="one JSON object on the last line")
    export.set_defaults(run_verb=export_run)


def export_run(options: argparse.Namespace) -> int:
    """Write what was asked for; several at once are allowed."""
    asked = {form: value for form in _FORMS if (value := getattr(options, form))}
    if not asked:
        raise UserError("There is nothing to write", remedy="Give --csv, --report, --chart or --zip with a file")
    workspace, record = run_of(options)
    written = {form: _write(form, file, workspace, record, options) for form, file in asked.items()}
    if options.json:
        files = {form: {"file": file, "bytes": size_bytes} for form, (file, size_bytes) in written.items()}
        print_json({"run_id": record.id, "files": files})
    elif options.csv != "-":
        for form, (file, size_bytes) in written.items():
            print(f"{record.name} as {form}: {file}, {size(size_bytes)}")
    return 0


def _write(
    form: str, file: str, workspace: Workspace, record: JobRecord, options: argparse.Namespace
) -> tuple[str, int]:
    """The file and its bytes."""
    from llm_core.backend.run_archive import write_archive

    path = Path(file)
    if form == "csv":
        _write_csv(file, run_folder(workspace, record.id), with_abandoned=options.all)
        if file == "-":
            return file, 0
    elif form == "zip":
        write_archive(run_folder(workspace, record.id), path, with_checkpoints=not options.no_checkpoints)
    else:
        write_text(path, _page(form, workspace, record, options.key))
    return str(path), path.stat().st_size


def _write_csv(file: str, folder: Path, *, with_abandoned: bool) -> None:
    from llm_core.backend.points_csv import points_csv

    pieces = points_csv(folder, with_abandoned=with_abandoned)
    if file == "-":
        sys.stdout.writelines(pieces)
        return
    with Path(file).open("w", encoding="utf-8", newline="") as target:
        target.writelines(pieces)


def _page(form: str, workspace: Workspace, record: JobRecord, keys: list[str]) -> str:
    from llm_core.backend.run_report import chart_report, run_report
    from llm_core.backend.verdict import verdict_on
    from llm_core.config.objective_words import objective_words
    from llm_core.figures.standalone_page import standalone_page
    from llm_core.web.vendor import plotly_source

    if form == "report":
        report = run_report(workspace, record, verdict=verdict_on(workspace, record))
    else:
        words = objective_words()[record.config["objective"]["kind"]]
        report = chart_report(workspace, record, keys or [words.train_key, words.validation_key])
    return standalone_page(report, plotly_source())
