"""A folder in the format of Hugging Face, or a model of its Hub, as a finished run that can be read, scored and looked into.

Everything is checked before the first tensor is read, and the run appears whole or not at all. Not here: the parts
(`source_folder.py`, `read_config.py`, `read_weights.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from llm_core.config.data import DataConfig
from llm_core.config.decoder import TransformerConfig
from llm_core.config.errors import NotFound
from llm_core.config.learning import TrainingConfig
from llm_core.config.objective import ObjectiveConfig
from llm_core.config.run import RunConfig
from llm_core.models.huggingface.before_reading import check_free
from llm_core.models.huggingface.download import HUB_NAME, HubError, download_model
from llm_core.models.huggingface.read_config import ReadConfig, read_config
from llm_core.models.huggingface.read_weights import WeightsPlan, plan_weights, read_tensors
from llm_core.models.huggingface.source_folder import (
    TOKENIZER_FILE,
    check_folder,
    file_inside,
    read_config_file,
    stored_tensors,
)
from llm_core.models.huggingface.special_tokens import objective_of
from llm_core.models.huggingface.tokenizer_files import ended_as_configured, read_tokenizer
from llm_core.models.loading import WEIGHTS_FILE, check_tokenizer_fits
from llm_core.text.folders import building, publish
from llm_core.text.progress import CancelHook, ProgressHook, never_cancelled, no_progress, stop_if_cancelled
from llm_core.text.tokenizers import TextTokenizer
from llm_core.workspace.checkpoints import write_checkpoint
from llm_core.workspace.job_record import FINISHED, JobRecord
from llm_core.workspace.json_files import write_json
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import CONFIG, run_folder

CHECKING = "checking the folder"
WRITING_RUN = "writing the run"


@dataclass(frozen=True)
class ImportedModel:
    """What an import made."""

    run_id: str
    name: str
    state: str
    class_name: str
    parameters: int
    vocabulary_size: int
    context_length: int
    tokenizer: str
    """Its kind: `bpe`, `unigram`, …"""


@dataclass(frozen=True)
class CheckedFolder:
    """A folder whose every promise has been checked against headers; no tensor has been read."""

    plan: WeightsPlan
    tokenizer: TextTokenizer
    objective: ObjectiveConfig
    """What such a model is asked to predict."""


def import_model(
    workspace: Workspace,
    source: str,
    name: str = "",
    *,
    progress: ProgressHook = no_progress,
    cancelled: CancelHook = never_cancelled,
) -> ImportedModel:
    """Make a finished run with the checkpoint `step-00000000` (weights only) from a model of transformers.

    Args:
        source: a folder; or, where there is none of this name, a model of the Hub (`owner/name`).
        name: of the run; empty takes the folder's or the model's.

    Raises:
        NotFound, NameTaken, UserError: see `check_model_folder`; nothing is left behind.
        Cancelled: on request; nothing is left behind.
    """
    if Path(source).expanduser().exists():
        return import_folder(workspace, Path(source).expanduser(), name, progress=progress, cancelled=cancelled)
    if not HUB_NAME.fullmatch(source):
        raise NotFound("There is no such folder", value=source, remedy="Check the path, or give owner/name of the Hub")
    try:
        return import_from_hub(workspace, source, name, progress=progress, cancelled=cancelled)
    except HubError as error:
        what = error.what[0].lower() + error.what[1:]
        raise NotFound(f"There is no such folder, and {what}", value=source, remedy=error.remedy) from error


def import_from_hub(
    workspace: Workspace,
    hub_name: str,
    name: str = "",
    *,
    progress: ProgressHook = no_progress,
    cancelled: CancelHook = never_cancelled,
) -> ImportedModel:
    """As `import_model`, of a model of the Hub (`owner/name`), fetched to a plain copy first."""
    check_free(workspace, name)
    with building(workspace.root / "downloads") as download:
        download_model(hub_name, download, progress=progress, cancelled=cancelled)
        return _import_checked(workspace, download, hub_name, name, progress, cancelled)


def import_folder(
    workspace: Workspace,
    folder: Path,
    name: str = "",
    *,
    progress: ProgressHook = no_progress,
    cancelled: CancelHook = never_cancelled,
) -> ImportedModel:
    """As `import_model`, of a folder of this machine."""
    check_free(workspace, name)
    return _import_checked(workspace, folder, str(folder), name, progress, cancelled)


def _import_checked(
    workspace: Workspace, folder: Path, source: str, name: str, progress: ProgressHook, cancelled: CancelHook
) -> ImportedModel:
    progress(CHECKING, 0, None)
    checked = check_model_folder(folder)
    wish = name or _usable_name(source)
    config, tensors = read_tensors(checked.plan, progress=progress, cancelled=cancelled)
    stop_if_cancelled(cancelled)
    progress(WRITING_RUN, 0, None)
    parameters = sum(tensor.numel() for tensor in tensors.values())
    record = _make_run(workspace, wish, bool(name), checked, config, tensors, source, parameters)
    return ImportedModel(
        run_id=record.id,
        name=record.name,
        state=record.state,
        class_name=config.family.class_name,
        parameters=parameters,
        vocabulary_size=config.vocabulary_size,
        context_length=config.context_length,
        tokenizer=checked.tokenizer.kind,
    )


def check_model_folder(folder: Path) -> CheckedFolder:
    """Everything that can be known of a folder without reading a tensor.

    Raises:
        NotFound: there is no folder.
        UserError: a class, key, value, size, file, tensor or token that does not fit; says which, and what to do.
    """
    check_folder(folder)
    values = read_config_file(folder)
    config = read_config(values)
    plan = plan_weights(config, stored_tensors(folder))
    tokenizer, names = read_tokenizer(file_inside(folder, TOKENIZER_FILE), config.vocabulary_size)
    check_tokenizer_fits(tokenizer, config.vocabulary_size)
    if isinstance(config.model, TransformerConfig):
        tokenizer = ended_as_configured(tokenizer, values)
    return CheckedFolder(plan, tokenizer, objective_of(config.family, tokenizer, names, config.vocabulary_size))


def _make_run(
    workspace: Workspace,
    wish: str,
    is_exact: bool,
    checked: CheckedFolder,
    config: ReadConfig,
    tensors: dict[str, Tensor],
    source: str,
    parameters: int,
) -> JobRecord:
    with Registry(workspace) as registry, building(workspace.runs) as folder:
        name = wish if is_exact else registry.free_name("train", wish)
        run = RunConfig(
            name=name,
            # There is no text in this workspace that it was trained on, and its tokenizer is its own.
            data=DataConfig(dataset="", tokenizer="", context_length=config.context_length),
            model=config.model,
            objective=checked.objective,
            training=TrainingConfig(max_steps=None, max_epochs=1.0),
        )
        write_checkpoint(
            folder,
            0,
            {
                WEIGHTS_FILE: lambda path: save_file(tensors, path),
                CONFIG: _text(run.model_dump_json(indent=1)),
                TOKENIZER_FILE: _text(checked.tokenizer.to_json()),
            },
            kind="weights",
            lease_token="",
            extra={"source": source, "class": config.family.class_name},
        )
        write_json(folder / CONFIG, run.model_dump(mode="json"))
        result = {"steps": 0, "parameters": parameters, "imported_from": source, "class": config.family.class_name}
        record = registry.add("train", name, run.model_dump(mode="json"), state=FINISHED, result=result)
        try:
            publish(folder, run_folder(workspace, record.id))
        except BaseException:
            registry.delete(record.id)
            raise
        return record


def _text(text: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_text(text, encoding="utf-8")

    return write


def _usable_name(source: str) -> str:
    """The last part of a path or Hub name, without what a run's name may not hold."""
    last = Path(source).expanduser().resolve().name
    return "".join(character for character in last if character.isprintable())[:80].strip() or "imported"
