"""A checkpoint in a format that others read: a folder of transformers, a GGUF file for llama.cpp, an ONNX graph.

Not here: which family goes in which format (`export_formats.py`), the formats (`huggingface/`, `onnx_export.py`), finding the
checkpoint of a run (`llm_core.workspace.checkpoints`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llm_core.config.errors import UserError
from llm_core.config.run import load_config
from llm_core.models.export_formats import GGUF_FILE, ONNX_FILE, ExportFormat, check_format
from llm_core.models.huggingface.gguf_export import write_gguf
from llm_core.models.huggingface.target_folder import new_folder
from llm_core.models.huggingface.write_folder import write_folder
from llm_core.models.loading import load_checkpoint_model
from llm_core.models.rnn import RecurrentModel
from llm_core.text.progress import (
    WRITING_FILES,
    CancelHook,
    ProgressHook,
    never_cancelled,
    no_progress,
    stop_if_cancelled,
)
from llm_core.text.tokenizers import TextTokenizer, tokenizer_from_json

TOKENIZER_FILE = "tokenizer.json"


@dataclass(frozen=True)
class Exported:
    """What an export wrote."""

    format: ExportFormat
    folder: Path
    class_name: str
    """The class of transformers it is, or the kind of a recurrent network."""
    files: dict[str, int]
    """Name and size in bytes."""


def export_checkpoint(
    checkpoint: Path,
    target: Path,
    format: ExportFormat,
    *,
    name: str = "",
    progress: ProgressHook = no_progress,
    cancelled: CancelHook = never_cancelled,
) -> Exported:
    """Write the model and tokenizer of a checkpoint folder into a new or empty folder, whole or not at all.

    Args:
        name: of the model, where the format keeps one.

    Raises:
        UserError: the target is not empty, the format cannot hold this model or tokenizer, or a package is not installed.
        Cancelled: on request; nothing is left behind.
    """
    config = load_config((checkpoint / "config.json").read_bytes())
    tokenizer = tokenizer_from_json((checkpoint / TOKENIZER_FILE).read_text(encoding="utf-8"))
    check_format(config.model.kind, format)
    with new_folder(target) as folder:
        progress(WRITING_FILES, 0, None)
        if format == "onnx":
            class_name = _write_onnx(checkpoint, tokenizer, folder)
        elif format == "gguf":
            class_name = write_gguf(checkpoint, config, tokenizer, folder / GGUF_FILE, name).class_name
        else:
            class_name = write_folder(
                checkpoint, config, tokenizer, folder, progress=progress, cancelled=cancelled
            ).class_name
        files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
        stop_if_cancelled(cancelled)
    return Exported(format, target.expanduser().resolve(), class_name, files)


def _write_onnx(checkpoint: Path, tokenizer: TextTokenizer, folder: Path) -> str:
    try:
        from llm_core.models.onnx_export import export_onnx

        loaded = load_checkpoint_model(checkpoint)
        assert isinstance(loaded.model, RecurrentModel)
        export_onnx(loaded.model, folder / ONNX_FILE)
    except ModuleNotFoundError as error:
        raise UserError(
            "Writing ONNX needs the package `onnx`, which is not installed",
            remedy='Install it with: pip install "glassbox-lm[export]"',
        ) from error
    (folder / TOKENIZER_FILE).write_text(tokenizer.to_json(), encoding="utf-8")
    return loaded.config.model.kind
