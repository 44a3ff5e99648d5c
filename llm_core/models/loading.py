"""Weights to and from safetensors files, and a model from a checkpoint folder.

Not here: optimizer state and random numbers (`llm_core.training.checkpoint_state`), how checkpoints are kept
(`llm_core.workspace.checkpoints`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

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
    """Read what `save_weights` wrote. Raises UserError when names or shapes differ, naming the first that does."""
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(
            "The weights cannot be read", value=path.name, remedy=f"Use another checkpoint ({error})"
        ) from error
    expected = model.state_dict()
    if missing := sorted(set(expected) - set(tensors)):
        raise UserError("The weights file lacks a tensor", value=missing[0], remedy="Use another checkpoint")
    if unknown := sorted(set(tensors) - set(expected)):
        raise UserError("The weights file holds a tensor that this model has no place for", value=unknown[0])
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            shape, wanted = tuple(tensor.shape), tuple(expected[name].shape)
            raise UserError(f"Tensor {name} has another shape than the model", value=shape, limit=wanted)
    model.load_state_dict(tensors)


def load_checkpoint_model(
    folder: Path, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> LoadedModel:
    """The model, settings and tokenizer of one checkpoint folder."""
    config = load_config((folder / "config.json").read_bytes())
    tokenizer = tokenizer_from_json((folder / "tokenizer.json").read_text(encoding="utf-8"))
    with torch.random.fork_rng(devices=[]):  # building draws weights that are replaced at once
        model = build_model(config.model, tokenizer.vocabulary_size, config.data.context_length)
    load_weights(model, folder / WEIGHTS_FILE)
    model.requires_grad_(False)
    return LoadedModel(model.to(device=device, dtype=dtype).eval(), config, tokenizer)
