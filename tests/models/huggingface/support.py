"""Real models of transformers with wide random weights, saved as a person saves them, and ours beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers

from llm_core.config.data import DataConfig
from llm_core.config.model import TransformerConfig
from llm_core.config.run import RunConfig
from llm_core.models.decoder import Decoder
from llm_core.models.interface import LanguageModel
from llm_core.models.loading import load_checkpoint_model, save_weights
from llm_core.text.subword import SubwordTokenizer
from llm_core.text.subword_training import train_bpe
from llm_core.text.tokenizers import TextTokenizer
from llm_core.workspace.checkpoints import find_checkpoint, write_checkpoint
from llm_core.workspace.paths import Workspace
from llm_core.workspace.runs import run_folder

V, CONTEXT = 300, 64
TEXT = "The quick brown fox jumps over the lazy dog. Größe, naïve, 東京!\n  It's 1984, isn't it?\n" * 8

_SHAPE = {
    "vocab_size": V,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
}
_GPT2 = {"vocab_size": V, "n_positions": CONTEXT, "n_embd": 32, "n_layer": 2, "n_head": 4}
FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2", _GPT2),
    "gpt2, inner width": ("GPT2", {**_GPT2, "n_inner": 40, "layer_norm_epsilon": 1e-4}),
    "llama": ("Llama", _SHAPE),
    "llama, biases": ("Llama", {**_SHAPE, "attention_bias": True, "mlp_bias": True, "head_dim": 12}),
    "qwen3": ("Qwen3", {**_SHAPE, "head_dim": 12, "rope_parameters": {"rope_type": "default", "rope_theta": 50_000.0}}),
    "qwen3, window": (
        "Qwen3",
        {**_SHAPE, "head_dim": 8, "use_sliding_window": True, "sliding_window": 9, "max_window_layers": 0},
    ),
    "mistral": ("Mistral", {**_SHAPE, "sliding_window": 9, "rms_norm_eps": 1e-5}),
    "mistral, no window": ("Mistral", {**_SHAPE, "sliding_window": None}),
}


def transformers_model(form: str, *, tied: bool = True, dtype: torch.dtype = torch.float32, **changes: Any) -> Any:
    """A language model of transformers in evaluation mode, every weight drawn with standard deviation 0.25."""
    name, values = FORMS[form]
    config = getattr(transformers, f"{name}Config")(**{**values, "tie_word_embeddings": tied, **changes})
    class_name = "GPT2LMHeadModel" if name == "GPT2" else f"{name}ForCausalLM"
    model = getattr(transformers, class_name)(config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.empty_like(parameter).normal_(0.0, 0.25, generator=generator))
    return model.to(dtype).eval()


def save(model: Any, folder: Path, **options: Any) -> Path:
    """Save model and tokenizer; returns the folder."""
    model.save_pretrained(folder, **options)
    (folder / "tokenizer.json").write_text(bpe_tokenizer().to_json(), encoding="utf-8")
    return folder


def load(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    """What transformers makes of a folder."""
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()


def bpe_tokenizer() -> SubwordTokenizer:
    """Byte-level BPE of 290 entries, ten fewer than the models have."""
    return train_bpe([TEXT], 290)


def imported(workspace: Workspace, run_id: str, dtype: torch.dtype = torch.float32) -> LanguageModel:
    """The model of an imported run."""
    return load_checkpoint_model(checkpoint_of(workspace, run_id), dtype=dtype).model


def checkpoint_of(workspace: Workspace, run_id: str) -> Path:
    """The newest checkpoint of a run."""
    return find_checkpoint(run_folder(workspace, run_id)).path


def tokens() -> torch.Tensor:
    """Two rows of 40 tokens."""
    return torch.randint(V, (2, 40), generator=torch.Generator().manual_seed(1))


def our_logits(model: LanguageModel, tokens_BT: torch.Tensor | None = None) -> torch.Tensor:
    return model.logits(model(tokens() if tokens_BT is None else tokens_BT).hidden_BTD)


def their_logits(model: Any, tokens_BT: torch.Tensor | None = None) -> torch.Tensor:
    with torch.no_grad():
        return model(tokens() if tokens_BT is None else tokens_BT).logits


def change_config(folder: Path, **changes: Any) -> Path:
    """Set keys of config.json; `...` removes one."""
    path = folder / "config.json"
    values = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not ...}), encoding="utf-8")
    return folder


def tree(root: Path) -> set[str]:
    """Every file below a folder, the registry's own aside."""
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.name.startswith("glassbox.db")}


def our_checkpoint(folder: Path, model: LanguageModel, tokenizer: TextTokenizer) -> Path:
    """A checkpoint of our own with the model's weights, as training writes one; returns its folder."""
    config = RunConfig(name="mine", data=DataConfig(context_length=model.context_length), model=model.config)
    writers = {
        "model.safetensors": lambda path: save_weights(model, path),
        "config.json": lambda path: path.write_text(config.model_dump_json(), encoding="utf-8"),
        "tokenizer.json": lambda path: path.write_text(tokenizer.to_json(), encoding="utf-8"),
    }
    return write_checkpoint(folder, 7, writers, kind="weights", lease_token="")


def wide_decoder(tokenizer: TextTokenizer, **settings: Any) -> Decoder:
    """A small decoder of ours with weights drawn with standard deviation 0.25."""
    values = {"num_layers": 2, "num_heads": 4, "hidden_size": 32, **settings}
    model = Decoder(TransformerConfig.model_validate(values), tokenizer.vocabulary_size, CONTEXT)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.empty_like(parameter).normal_(0.0, 0.25, generator=generator))
    return model.eval()
