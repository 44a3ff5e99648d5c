"""A checkpoint as a folder that `from_pretrained` of transformers loads: config.json, model.safetensors, tokenizer.json.

The bits of the weights stay as they are. Not here: which class it is (`families.py`), GGUF (`gguf_export.py`).
"""

from __future__ import annotations

from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from llm_core.config.model import EncoderConfig
from llm_core.config.run import RunConfig
from llm_core.models.huggingface.families import BERT, ROBERTA, ExchangedConfig, Family, family_of
from llm_core.models.huggingface.source_folder import CONFIG_FILE, SINGLE_FILE, TOKENIZER_FILE
from llm_core.models.huggingface.special_tokens import is_padding, special_tokens_of
from llm_core.models.huggingface.tensor_names import POSITIONS, correspondences
from llm_core.models.huggingface.tokenizer_files import tokenizer_config, tokenizer_json
from llm_core.models.huggingface.write_config import write_config
from llm_core.models.loading import WEIGHTS_FILE, stored_vocabulary_size
from llm_core.text.progress import (
    READING_TENSORS,
    WRITING_FILES,
    CancelHook,
    ProgressHook,
    never_cancelled,
    no_progress,
    stop_if_cancelled,
)
from llm_core.text.tokenizers import TextTokenizer
from llm_core.workspace.checkpoints import MANIFEST
from llm_core.workspace.json_files import read_json, write_json, write_text

TOKENIZER_CONFIG_FILE = "tokenizer_config.json"


def write_folder(
    checkpoint: Path,
    config: RunConfig,
    tokenizer: TextTokenizer,
    folder: Path,
    *,
    progress: ProgressHook = no_progress,
    cancelled: CancelHook = never_cancelled,
) -> Family:
    """Write the files of one checkpoint into a folder that is there; returns the class they are for.

    Raises:
        UserError: no class of transformers has this form.
        Cancelled: on request.
    """
    assert isinstance(config.model, ExchangedConfig), "the caller knows the family"
    family, model = _class_and_form(config.model, tokenizer, _imported_class(checkpoint))
    weights = checkpoint / WEIGHTS_FILE
    rows, context_length = stored_vocabulary_size(weights), config.data.context_length
    tensors = their_tensors(
        family,
        weights,
        unused_positions=_position_offset(config.model) - _position_offset(model),
        progress=progress,
        cancelled=cancelled,
    )
    progress(WRITING_FILES, 0, None)
    dtype = max((tensor.dtype for tensor in tensors.values()), key=lambda dtype: dtype.itemsize)
    special = special_tokens_of(family, config, tokenizer, rows)
    values = write_config(
        family,
        model,
        vocabulary_size=rows,
        context_length=context_length,
        special_ids=special.ids,
        dtype=str(dtype).removeprefix("torch."),
    )
    write_json(folder / CONFIG_FILE, values)
    save_file(tensors, folder / SINGLE_FILE, metadata={"format": "pt"})
    write_text(folder / TOKENIZER_FILE, tokenizer_json(tokenizer, rows, special.added))
    names = tokenizer_config(tokenizer, special, context_length, has_token_types=family is BERT)
    write_json(folder / TOKENIZER_CONFIG_FILE, names)
    return family


def their_tensors(
    family: Family,
    weights: Path,
    *,
    unused_positions: int = 0,
    progress: ProgressHook = no_progress,
    cancelled: CancelHook = never_cancelled,
) -> dict[str, Tensor]:
    """The tensors of a weights file of ours under the names of the class; a tied head is left out.

    Args:
        unused_positions: how many rows at the top of learned positions to leave out.
    """
    with safe_open(weights, framework="pt") as file:
        items = correspondences(family, list(file.keys()))
        tensors: dict[str, Tensor] = {}
        for number, item in enumerate(items):
            stop_if_cancelled(cancelled)
            progress(READING_TENSORS, number, len(items))
            tensors[item.theirs] = item.to_theirs([file.get_tensor(name) for name in item.ours])
    if unused_positions:
        (theirs,) = (item.theirs for item in items if item.ours == (POSITIONS,))
        tensors[theirs] = tensors[theirs][unused_positions:].contiguous()
    return tensors


def _class_and_form(
    model: ExchangedConfig, tokenizer: TextTokenizer, imported_class: str
) -> tuple[Family, ExchangedConfig]:
    """The class, and the form in which it is that class.

    RoBERTa finds positions by counting the tokens that are not padding, which it knows by its id. In a model that was trained here
    that id may be a token of the text; then it computes what BERT computes, without the rows of positions that it does not use.
    """
    family = family_of(model)
    if family is ROBERTA and isinstance(model, EncoderConfig) and imported_class != ROBERTA.class_name:
        padding = model.position_offset - 1
        if padding < tokenizer.vocabulary_size and not is_padding(tokenizer, padding):
            return BERT, model.model_copy(update={"position_offset": 0})
    return family, model


def _imported_class(checkpoint: Path) -> str:
    """The class of transformers that a checkpoint was imported from; empty for one that was trained here."""
    manifest = read_json(checkpoint / MANIFEST) or {}
    return str(manifest.get("extra", {}).get("class", ""))


def _position_offset(model: ExchangedConfig) -> int:
    return model.position_offset if isinstance(model, EncoderConfig) else 0
