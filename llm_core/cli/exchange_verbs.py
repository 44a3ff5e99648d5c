"""`glassbox import` and `glassbox export`: models from and to the formats of others, and whole runs from another workspace.

Not here: writing a whole run out (`archive_verbs.py`).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from llm_core.cli.output import ProgressLine, print_json
from llm_core.cli.run_argument import run_of
from llm_core.models.export_formats import FORMATS
from llm_core.quantities import size
from llm_core.workspace.checkpoints import find_checkpoint
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import run_folder


def add_verbs(verbs: Any) -> None:
    """Declare the verbs on argparse's subparsers."""
    importing: argparse.ArgumentParser = verbs.add_parser("import", help="bring a model of transformers, or a run")
    importing.add_argument(
        "format",
        choices=("hf", "run"),
        help="hf: a folder with config.json, safetensors and tokenizer.json; run: a zip of `glassbox export-run`, or a run's folder",
    )
    importing.add_argument(
        "source", metavar="SOURCE", help="the folder or zip, or owner/name of a model on the Hugging Face Hub"
    )
    importing.add_argument("--name", default="", help="the run's name (default: the one it had, or the folder's)")
    importing.set_defaults(run_verb=import_model)
    export: argparse.ArgumentParser = verbs.add_parser("export", help="write a run's model for other programs")
    export.add_argument("run", metavar="RUN")
    export.add_argument(
        "--format",
        choices=FORMATS,
        required=True,
        help="hf: Transformers for transformers and vLLM; gguf: causal Transformers for llama.cpp; onnx: RNN, GRU and LSTM",
    )
    export.add_argument("folder", metavar="DIR", help="a new or an empty folder")
    export.add_argument("--step", type=int, help="the checkpoint (default: the newest)")
    export.set_defaults(run_verb=export_model)
    for parser in (importing, export):
        parser.add_argument("--json", action="store_true", help="one JSON object on the last line")


def import_model(options: argparse.Namespace) -> int:
    """Import in this very process, with a progress line."""
    if options.format == "run":
        return _import_run(options)
    from llm_core.models.huggingface.import_model import import_model as import_folder

    line = ProgressLine(quiet=options.json)
    try:
        made = import_folder(open_workspace(options.workspace), options.source, options.name, progress=line.show)
    finally:
        line.close()
    if options.json:
        print_json(
            {
                "run_id": made.run_id,
                "name": made.name,
                "state": made.state,
                "class": made.class_name,
                "parameters": made.parameters,
                "vocabulary_size": made.vocabulary_size,
                "context_length": made.context_length,
                "tokenizer": made.tokenizer,
            }
        )
        return 0
    print(f"{made.name} is ready: {made.class_name} with {made.parameters:,} parameters. Id {made.run_id}.")
    return 0


def _import_run(options: argparse.Namespace) -> int:
    """A run of another workspace; says what of it was left out."""
    from llm_core.backend.run_import import import_run

    workspace = open_workspace(options.workspace)
    imported = import_run(workspace, Path(options.source))
    record = imported.record
    if options.name:
        with Registry(workspace) as registry:
            record = registry.rename(record.id, options.name)
    if options.json:
        print_json({"run_id": record.id, "name": record.name, "state": record.state, "problems": imported.problems})
        return 0
    for problem in imported.problems:
        print(problem)
    print(f"{record.name} ({record.id}) is here, {record.state}.")
    return 0


def export_model(options: argparse.Namespace) -> int:
    """Write the files of one checkpoint."""
    from llm_core.models.export import export_checkpoint

    workspace, record = run_of(options)
    checkpoint = find_checkpoint(run_folder(workspace, record.id), options.step)
    done = export_checkpoint(checkpoint.path, Path(options.folder), options.format, name=record.name)
    if options.json:
        print_json(
            {
                "run_id": record.id,
                "step": checkpoint.step,
                "format": done.format,
                "class": done.class_name,
                "folder": str(done.folder),
                "files": [{"name": name, "bytes": size_bytes} for name, size_bytes in done.files.items()],
            }
        )
        return 0
    print(f"{record.name} at step {checkpoint.step:,} as {done.class_name} in {done.folder}:")
    for name, size_bytes in done.files.items():
        print(f"  {name}  {size(size_bytes)}")
    return 0
