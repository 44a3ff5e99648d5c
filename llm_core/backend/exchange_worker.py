"""What a worker does to bring a model in or to write one out. Imports torch.

Not here: what is refused before (`exchange_jobs.py`), the formats (`llm_core.models`).
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llm_core.backend.exchange_jobs import exports_folder
from llm_core.models.export import Exported, export_checkpoint
from llm_core.models.huggingface.import_model import import_folder, import_from_hub
from llm_core.text.folders import building
from llm_core.text.import_roots import resolve_import_path
from llm_core.text.progress import PACKING, stop_if_cancelled
from llm_core.workspace.checkpoints import find_checkpoint
from llm_core.workspace.json_files import sync_file, sync_folder
from llm_core.workspace.paths import Workspace, safe_join
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import run_folder

LONGEST_NAME_BYTES = 180
BLOCK_BYTES = 2**20

Report = Callable[[str, int, int | None], None]


def do_import(
    workspace: Workspace, config: dict[str, Any], report: Report, cancelled: Callable[[], bool]
) -> dict[str, Any]:
    """A model of transformers as a finished run; a folder is looked at again, for a link in it may lead elsewhere by now."""
    given, name = config["model"], config["name"]
    if "hub" in given:
        made = import_from_hub(workspace, given["hub"], name, progress=report, cancelled=cancelled)
    else:
        folder = resolve_import_path(workspace, given["folder"], [Path(root) for root in given["roots"]])
        made = import_folder(workspace, folder, name, progress=report, cancelled=cancelled)
    return {
        "run_id": made.run_id,
        "run_name": made.name,
        "class": made.class_name,
        "parameters": made.parameters,
        "tokenizer": made.tokenizer,
    }


def do_export(
    workspace: Workspace, config: dict[str, Any], report: Report, cancelled: Callable[[], bool]
) -> dict[str, Any]:
    """One checkpoint in another format, as a folder or a zip file with that folder in it, whole or not at all."""
    with Registry(workspace) as registry:
        run = registry.get(config["run"])
    checkpoint = find_checkpoint(run_folder(workspace, run.id), config["step"])
    parent = exports_folder(workspace)
    parent.mkdir(parents=True, exist_ok=True)
    suffix = ".zip" if config["place"] == "zip" else ""
    target = _free_place(parent, f"{_short(run.name)}-step-{checkpoint.step}-{config['format']}", suffix)

    def write(folder: Path) -> Exported:
        return export_checkpoint(
            checkpoint.path, folder, config["format"], name=run.name, progress=report, cancelled=cancelled
        )

    if suffix:
        with building(parent) as scratch:
            done = write(scratch / target.stem)
            packed = scratch / target.name
            _pack(scratch / target.stem, packed, report, cancelled)
            sync_file(packed)
            packed.rename(target)
            sync_folder(parent)
        size_bytes = target.stat().st_size
    else:
        done = write(target)
        size_bytes = sum(done.files.values())
    return {"file_name": target.name, "class": done.class_name, "files": done.files, "size_bytes": size_bytes}


def _pack(folder: Path, target: Path, report: Report, cancelled: Callable[[], bool]) -> None:
    """The folder as a zip file; stored as it is, for weights hardly shrink."""
    paths = sorted(folder.iterdir())
    total, done = sum(path.stat().st_size for path in paths), 0
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path in paths:
            with path.open("rb") as source, archive.open(f"{folder.name}/{path.name}", "w", force_zip64=True) as place:
                while block := source.read(BLOCK_BYTES):
                    stop_if_cancelled(cancelled)
                    place.write(block)
                    done += len(block)
                    report(PACKING, done, total)


def _free_place(parent: Path, name: str, suffix: str) -> Path:
    """A name that nothing has yet."""
    number, place = 1, safe_join(parent, name + suffix)
    while place.exists():
        number += 1
        place = safe_join(parent, f"{name}-{number}{suffix}")
    return place


def _short(name: str) -> str:
    """A run's name as the beginning of a file name."""
    kept = name.encode("utf-8")[:LONGEST_NAME_BYTES].decode("utf-8", "ignore").lstrip(".").strip()
    return kept or "model"
