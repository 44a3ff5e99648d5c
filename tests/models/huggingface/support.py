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
from llm_core.models.huggingface.families import loader_of
from llm_core.models.interface import LanguageModel
from llm_core.models.loading import load_checkpoint_model, save_weights
from llm_core.text.subword import SubwordTokenizer
from llm_core.text.tokenizers import TextTokenizer, train_bpe
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
    "gpt2": ("GPT2LMHeadModel", _GPT2),
    "gpt2, inner width": ("GPT2LMHeadModel", {**_GPT2, "n_inner": 40, "layer_norm_epsilon": 1e-4}),
    "llama": ("LlamaForCausalLM", _SHAPE),
    "llama, biases": ("LlamaForCausalLM", {**_SHAPE, "attention_bias": True, "mlp_bias": True, "head_dim": 12}),
    "qwen3": (
        "Qwen3ForCausalLM",
        {**_SHAPE, "head_dim": 12, "rope_parameters": {"rope_type": "default", "rope_theta": 50_000.0}},
    ),
    "qwen3, window": (
        "Qwen3ForCausalLM",
        {**_SHAPE, "head_dim": 8, "use_sliding_window": True, "sliding_window": 9, "max_window_layers": 0},
    ),
    "mistral": ("MistralForCausalLM", {**_SHAPE, "sliding_window": 9, "rms_norm_eps": 1e-5}),
    "mistral, no window": ("MistralForCausalLM", {**_SHAPE, "sliding_window": None}),
}


def transformers_model(form: str, *, tied: bool = True, dtype: torch.dtype = torch.float32, **changes: Any) -> Any:
    """A language model of transformers in evaluation mode, every weight drawn with standard deviation 0.25."""
    class_name, values = FORMS[form]
    return random_model(class_name, {**values, "tie_word_embeddings": tied, **changes}, dtype)


def random_model(class_name: str, values: dict[str, Any], dtype: torch.dtype = torch.float32) -> Any:
    """A model of one class, every weight drawn with standard deviation 0.25."""
    model_class = getattr(transformers, class_name)
    return wide(model_class(model_class.config_class(**values))).to(dtype).eval()


def wide(model: Any, seed: int = 3) -> Any:
    """The model with weights so wide that a missing mask, position or norm shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Gains of norms around 1: small ones would hide what stands before them.
            mean = 1.0 if parameter.dim() == 1 and name.endswith("weight") else 0.0
            parameter.copy_(torch.empty_like(parameter).normal_(mean, 0.25, generator=generator))
    return model


def save(model: Any, folder: Path, tokenizer_json: str = "", **options: Any) -> Path:
    """Save model and tokenizer; returns the folder."""
    model.save_pretrained(folder, **options)
    (folder / "tokenizer.json").write_text(tokenizer_json or bpe_tokenizer().to_json(), encoding="utf-8")
    return folder


def load(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    """What transformers makes of a folder, by the class that its kind is loaded with."""
    (class_name,) = json.loads((folder / "config.json").read_text(encoding="utf-8"))["architectures"]
    return getattr(transformers, loader_of(class_name)).from_pretrained(folder, dtype=dtype).eval()


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


def our_checkpoint(folder: Path, model: LanguageModel, tokenizer: TextTokenizer, **settings: Any) -> Path:
    """A checkpoint of our own with the model's weights, as training writes one; returns its folder."""
    config = RunConfig(
        name="mine", data=DataConfig(context_length=model.context_length), model=model.config, **settings
    )
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
    return wide(model, seed=2).eval()
