"""Intentions about models of other programs, and runs of another Glassbox, become jobs: bring one in, write one out. Free of torch.

What can be known at the click is refused here at once: a place that may not be read, a class that cannot be imported, a format that
cannot hold the family. Not here: doing it (`exchange_worker.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from llm_core.backend.jobs import submit_job, submit_with_file
from llm_core.config.errors import UserError
from llm_core.config.run import config_from_dict
from llm_core.models.export_formats import ExportFormat, check_format
from llm_core.models.huggingface.before_reading import check_config, check_free
from llm_core.models.huggingface.download import HUB_NAME
from llm_core.models.huggingface.families import ExchangedConfig, family_of
from llm_core.text.folders import remove_folder
from llm_core.text.import_roots import resolve_import_path
from llm_core.text.uploads import check_upload
from llm_core.workspace.checkpoints import find_checkpoint
from llm_core.workspace.job_record import FINISHED, JobRecord
from llm_core.workspace.paths import Workspace, safe_join
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import run_folder

Place = Literal["folder", "zip"]


@dataclass(frozen=True)
class Export:
    """One export of a run that is still there."""

    job_id: str
    path: Path
    """The folder, or the zip file."""
    place: Place
    format: ExportFormat
    step: int
    class_name: str
    """Of transformers, or the kind of a recurrent network."""
    size_bytes: int


def import_model_folder(
    workspace: Workspace, typed: str, roots: Sequence[Path], name: str = "", *, once: str | None = None
) -> JobRecord:
    """Queue the import of a folder of this machine; the worker looks again whether it lies under `roots`.

    Raises:
        Refused: it lies elsewhere, or there are no roots.
        NotFound, UserError: no folder, no model that can be imported, a name that cannot be given.
    """
    folder = resolve_import_path(workspace, typed, roots)
    check_free(workspace, name)
    check_config(folder)
    model = {"folder": str(folder), "roots": [str(root) for root in roots]}
    return submit_job(workspace, "import", name or _job_name(folder.name), {"model": model, "name": name}, once=once)


def import_model_hub(workspace: Workspace, hub_name: str, name: str = "", *, once: str | None = None) -> JobRecord:
    """Queue the import of a model of the Hugging Face Hub; UserError for what cannot be a name there."""
    wish = hub_name.strip()
    if not HUB_NAME.fullmatch(wish):
        raise UserError("This cannot be the name of a model on the Hub", value=wish or "(empty)", limit="owner/name",
                        remedy="Copy the name from its page on the Hub")  # fmt: skip
    check_free(workspace, name)
    config = {"model": {"hub": wish}, "name": name}
    return submit_job(workspace, "import", name or _job_name(wish.rsplit("/", 1)[-1]), config, once=once)


def import_run_zip(
    workspace: Workspace, file_name: str, stream: BinaryIO, name: str = "", *, once: str | None = None
) -> JobRecord:
    """Queue the bringing in of a run that was written as a zip elsewhere; the file is kept until the job has read it.

    Raises:
        UserError, NameTaken: a name that cannot be given, or the file is over 200 MB.
    """
    check_free(workspace, name)
    check_upload(stream, "Bring it in with `glassbox import run` on the machine where Glassbox runs")
    job_name = name or _job_name(Path(file_name).stem)
    return submit_with_file(workspace, "import", job_name, file_name, stream, {"is_run": True, "name": name}, once=once)


def export_run(
    workspace: Workspace, run_id: str, step: int | None, format: ExportFormat, place: Place, *, once: str | None = None
) -> JobRecord:
    """Queue the writing of one checkpoint into the workspace's folder for exports.

    Args:
        step: of the checkpoint; the newest when None.

    Raises:
        UserError: the format cannot hold this model, or there is no such checkpoint.
    """
    with Registry(workspace) as registry:
        run = registry.get(run_id)
    model = config_from_dict(run.config).model
    check_format(model.kind, format)
    if format == "hf" and isinstance(model, ExchangedConfig):
        family_of(model)
    found = find_checkpoint(run_folder(workspace, run.id), step)
    config = {"run": run.id, "step": found.step, "format": format, "place": place}
    return submit_job(workspace, "export", _job_name(f"{run.name} {format}"), config, once=once)


def exports_folder(workspace: Workspace) -> Path:
    """Where exports lie, one folder or zip file for each."""
    return workspace.root / "exports"


def exports_of(workspace: Workspace, run_id: str) -> list[Export]:
    """The exports of a run that are still there, newest first."""
    with Registry(workspace) as registry:
        jobs = registry.jobs("export", {FINISHED})
    found: list[Export] = []
    for job in jobs:
        path = safe_join(exports_folder(workspace), job.result["file_name"])
        if job.config["run"] == run_id and path.exists():
            found.append(
                Export(
                    job_id=job.id,
                    path=path,
                    place=job.config["place"],
                    format=job.config["format"],
                    step=job.config["step"],
                    class_name=job.result["class"],
                    size_bytes=job.result["size_bytes"],
                )
            )
    return found


def delete_export(workspace: Workspace, export: Export) -> int:
    """Remove the files of an export; returns the bytes freed."""
    path = safe_join(exports_folder(workspace), export.path.name)
    if path.is_dir():
        return remove_folder(path)
    size_bytes = path.stat().st_size
    path.unlink()
    return size_bytes


def _job_name(wish: str) -> str:
    """What the job is called in lists."""
    printable = "".join(character for character in wish if character.isprintable() and character not in "/\\")
    return printable.strip()[:80].strip() or "model"
