"""Tiny checkpoints of every family, written as a run writes them, for tests that open them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from llm_core.config.overrides import apply_overrides
from llm_core.config.run import RunConfig
from llm_core.generation.opening import OpenedModel, open_model
from llm_core.models.loading import WEIGHTS_FILE, save_weights
from llm_core.models.ngram import fit_ngrams
from llm_core.models.ngram_files import save_ngrams
from llm_core.models.registry import build_model
from llm_core.text.tokenizers import TextTokenizer
from llm_core.text.vocabulary import model_vocabulary
from llm_core.workspace.json_files import write_text

CONTEXT = 96
TEXT = "the statement is executed (or not)\n" * 40
_SHAPE = ("model.hidden_size=32", "model.num_layers=2", "model.num_heads=4")
FAMILIES: dict[str, tuple[str, ...]] = {
    "ngram": ("model.kind=ngram", "model.order=4"),
    "mingru": ("model.kind=mingru", "model.hidden_size=16"),
    "transformer": ("model.kind=transformer", *_SHAPE),
    "encoder": ("model.kind=encoder", *_SHAPE),
    "gaps": ("model.kind=encoder-decoder", "objective.num_sentinels=6", *_SHAPE),
    "pairs": ("model.kind=encoder-decoder", "objective.kind=sequence-to-sequence", *_SHAPE),
}


def family_config(family: str, *changes: str) -> RunConfig:
    """The settings of a tiny run."""
    return apply_overrides(
        RunConfig(),
        [*FAMILIES[family], f"name={family}", "data.dataset=letters", f"data.context_length={CONTEXT}", *changes],
    )


def open_family(folder: Path, family: str, tokenizer: TextTokenizer, *changes: str) -> OpenedModel:
    """Write a checkpoint with weights wide enough that what should matter does, or with counts, and open it."""
    config = family_config(family, *changes)
    folder.mkdir(exist_ok=True)
    write_text(folder / "config.json", config.model_dump_json())
    write_text(folder / "tokenizer.json", tokenizer.to_json())
    vocabulary = model_vocabulary(tokenizer, config.objective)
    if family == "ngram":
        tokens = np.array(tokenizer.encode(TEXT))
        save_ngrams(fit_ngrams(tokens, 4, vocabulary.size, vocabulary.end_of_text), folder / WEIGHTS_FILE)
    else:
        torch.manual_seed(3)
        model = build_model(config.model, vocabulary.size, CONTEXT)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    parameter.normal_(0, 0.25)
        save_weights(model, folder / WEIGHTS_FILE)
    return open_model(folder)
