"""Weights to and from safetensors files, and a model from a checkpoint folder.

Not here: optimizer state and random numbers (`llm_core.training.checkpoint_state`), how checkpoints are kept
(`llm_core.workspace.checkpoints`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from llm_core.config.errors import UserError
from llm_core.config.run import RunConfig, load_config
from llm_core.models.interface import LanguageModel
from llm_core.models.registry import build_model
from llm_core.text.tokenizers import TextTokenizer, tokenizer_from_json

WEIGHTS_FILE = "model.safetensors"


@dataclass(frozen=True)
class LoadedModel:
    """A checkpoint ready to be used: evaluation mode, gradients off."""

    model: LanguageModel
    config: RunConfig
    tokenizer: TextTokenizer


def save_weights(model: LanguageModel, path: Path) -> None:
    """Write every parameter under its own name."""
    save_file({name: tensor.detach().contiguous().cpu() for name, tensor in model.state_dict().items()}, path)


def load_weights(model: LanguageModel, path: Path) -> None:
    """Read what `save_weights` wrote, into the model's own dtype and device.

    Names and shapes are checked before a single tensor is read.

    Raises:
        UserError: no safetensors file, or names or shapes differ; names the first that does.
    """
    try:
        with safe_open(path, framework="pt") as file:
            _check_fit(model, {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()})  # noqa: SIM118
            with torch.no_grad():
                for name, tensor in model.state_dict().items():
                    tensor.copy_(file.get_tensor(name))
    except (SafetensorError, OSError) as error:
        raise UserError(
            "The weights cannot be read", value=path.name, remedy=f"Use another checkpoint ({error})"
        ) from error


def _check_fit(model: LanguageModel, shapes: dict[str, tuple[int, ...]]) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if missing := sorted(expected.keys() - shapes.keys()):
        raise UserError("The weights file lacks a tensor", value=missing[0], remedy="Use another checkpoint")
    if unknown := sorted(shapes.keys() - expected.keys()):
        raise UserError(
            "The weights file holds a tensor that this model has no place for",
            value=unknown[0],
            remedy="Use the checkpoint's own config.json",
        )
    for name, shape in shapes.items():
        if shape != expected[name]:
            raise UserError(
                f"Tensor {name} has another shape than the model",
                value=shape,
                limit=expected[name],
                remedy="Use the checkpoint's own config.json",
            )


def stored_vocabulary_size(path: Path) -> int:
    """Rows of the embedding in a weights file. Imported models often have more than their tokenizer has tokens.

    Raises:
        UserError: no safetensors file, or no embedding in it.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return int(file.get_slice("embed_tokens.weight").get_shape()[0])
    except (SafetensorError, OSError) as error:
        raise UserError(
            "The weights cannot be read", value=path.name, remedy=f"Use another checkpoint ({error})"
        ) from error


def check_tokenizer_fits(tokenizer: TextTokenizer, vocabulary_size: int) -> None:
    """Raise UserError when text could become a token that the model has no vector for; special tokens never come from text."""
    beyond = [i for i in range(vocabulary_size, tokenizer.vocabulary_size) if i not in tokenizer.special_ids]
    if beyond:
        raise UserError(
            "The tokenizer has tokens that the model has no vector for",
            value=f"{tokenizer.token_text(beyond[-1])} (id {beyond[-1]:,})",
            limit=f"ids below {vocabulary_size:,}",
            remedy="Use the tokenizer.json that belongs to these weights",
        )


def load_checkpoint_model(
    folder: Path, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> LoadedModel:
    """The model, settings and tokenizer of one checkpoint folder."""
    config = load_config((folder / "config.json").read_bytes())
    tokenizer = tokenizer_from_json((folder / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary_size = stored_vocabulary_size(folder / WEIGHTS_FILE)
    check_tokenizer_fits(tokenizer, vocabulary_size)
    with torch.device("meta"):  # no weights are drawn, and no random stream moves, for values that are replaced at once
        model = build_model(config.model, vocabulary_size, config.data.context_length)
    model = model.to(dtype).to_empty(device=device)
    load_weights(model, folder / WEIGHTS_FILE)
    return LoadedModel(model.requires_grad_(False).eval(), config, tokenizer)
