"""A checkpoint as one GGUF file for llama.cpp: Qwen3, Llama and GPT-2 forms with byte-level BPE. Needs the package `gguf`.

Written directly and not through llama.cpp's converter, which knows a tokenizer by the hash of some ids and so refuses every one
that was trained at home. Numbers are float32. Not here: quantisation, which llama.cpp's own tool does to this file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
from safetensors import safe_open
from torch import Tensor

from llm_core.config.errors import UserError
from llm_core.config.model import TransformerConfig
from llm_core.config.run import RunConfig
from llm_core.models.huggingface.families import GPT2, LLAMA, MISTRAL, QWEN3, Family, family_of
from llm_core.models.huggingface.tokenizer_files import end_token_id
from llm_core.models.loading import WEIGHTS_FILE, stored_vocabulary_size
from llm_core.text.subword import SubwordTokenizer
from llm_core.text.tokenizers import TextTokenizer

# The name under which llama.cpp keeps the rule of GPT-2, by which `train_bpe` cuts too.
PRE_TOKENIZER: Final = "gpt-2"

_TOP = {
    "embed_tokens": "token_embd",
    "embed_positions": "position_embd",
    "norm": "output_norm",
    "lm_head": "output",
}
_IN_BLOCK = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
# Kinds of tokens as llama.cpp counts them.
_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5

Array = npt.NDArray[np.float32]


def write_gguf(checkpoint: Path, config: RunConfig, tokenizer: TextTokenizer, path: Path, name: str = "") -> Family:
    """Write one checkpoint of a Transformer; returns the class of transformers that it corresponds to.

    Raises:
        UserError: `gguf` is not installed; the form or the tokenizer is not one that llama.cpp computes.
    """
    model = config.model
    assert isinstance(model, TransformerConfig), "the caller knows the family"
    gguf = _package()
    family = _check_form(model)
    bpe = _check_tokenizer(tokenizer)
    architecture = {QWEN3: "qwen3", LLAMA: "llama", GPT2: "gpt2"}[family]
    weights = checkpoint / WEIGHTS_FILE
    vocabulary_size = stored_vocabulary_size(weights)
    writer = gguf.GGUFWriter(path, architecture)
    try:
        writer.add_name(name or config.name or architecture)
        writer.add_file_type(gguf.LlamaFileType.ALL_F32)
        _add_shape(writer, family, model, vocabulary_size, config.data.context_length)
        _add_tokenizer(writer, bpe, vocabulary_size)
        for tensor_name, array in gguf_arrays(family, model, weights).items():
            writer.add_tensor(tensor_name, array)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()
    return family


def gguf_arrays(family: Family, model: TransformerConfig, weights: Path) -> dict[str, Array]:
    """Every tensor under llama.cpp's name, float32, outputs first.

    Its `llama` turns neighbouring numbers of a head where transformers turns the two halves, so queries and keys have their rows
    reordered; `gpt2` has queries, keys and values in one.
    """
    with safe_open(weights, framework="pt") as file:
        tensors = {name: _array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 - no mapping
    if family is LLAMA:
        for name in list(tensors):
            for part, heads in (("q_proj", model.num_heads), ("k_proj", model.resolved_num_kv_heads)):
                if f".{part}." in name:
                    tensors[name] = halves_to_neighbours(tensors[name], heads)
    if family is GPT2:
        for layer in range(model.num_layers):
            for kind in ("weight", "bias"):
                parts = [tensors.pop(f"layers.{layer}.self_attn.{part}_proj.{kind}") for part in "qkv"]
                tensors[f"blk.{layer}.attn_qkv.{kind}"] = np.concatenate(parts)
    return {_their_name(name): array for name, array in tensors.items()}


def halves_to_neighbours(array: Array, heads: int) -> Array:
    """Rows (heads x width) reordered within each head from 0, w/2, 1, w/2 + 1 … side by side; as llama.cpp's converter does."""
    pairs = array.reshape(heads, 2, array.shape[0] // heads // 2, *array.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(array.shape))


def _check_form(model: TransformerConfig) -> Family:
    family = family_of(model)
    if family is MISTRAL or model.window:
        raise UserError(
            "llama.cpp looks at the whole context in models of this form, so a window would be lost",
            value=f"model.window = {model.window}",
            limit="model.window = 0",
            remedy="Export with --format hf, or train without a window",
        )
    return family


def _check_tokenizer(tokenizer: TextTokenizer) -> SubwordTokenizer:
    """The tokenizer, if it is the byte-level BPE of GPT-2's rule; says what it is instead otherwise."""
    problem = ""
    if not isinstance(tokenizer, SubwordTokenizer):
        problem = f"it is a {tokenizer.kind} tokenizer, and llama.cpp has none by single characters or bytes"
    else:
        fields = cast("dict[str, Any]", json.loads(tokenizer.to_json()))
        model, pre = fields["model"], fields.get("pre_tokenizer") or {}
        by_rule = (pre.get("type"), pre.get("add_prefix_space"), pre.get("use_regex", True))
        oddities = (
            "unk_token",
            "continuing_subword_prefix",
            "end_of_word_suffix",
            "byte_fallback",
            "ignore_merges",
            "dropout",
        )
        if model.get("type") != "BPE":
            problem = f"it is of the kind {model.get('type')}"
        elif by_rule != ("ByteLevel", False, True) or fields.get("normalizer") is not None:
            problem = "it cuts or normalises text by another rule than GPT-2's"
        elif any(model.get(key) for key in oddities):
            problem = f"it sets {next(key for key in oddities if model.get(key))}"
        elif not model.get("merges"):
            problem = "it has no merges"
    if problem:
        raise UserError(
            f"llama.cpp cannot cut text as this tokenizer does: {problem}",
            value=tokenizer.kind,
            limit="byte-level BPE with GPT-2's rule",
            remedy="Train with data.tokenizer=bpe:<size>, or export with --format hf",
        )
    return cast("SubwordTokenizer", tokenizer)


def _add_shape(
    writer: Any, family: Family, model: TransformerConfig, vocabulary_size: int, context_length: int
) -> None:
    writer.add_context_length(context_length)
    writer.add_embedding_length(model.hidden_size)
    writer.add_block_count(model.num_layers)
    writer.add_feed_forward_length(model.resolved_feed_forward_size)
    writer.add_head_count(model.num_heads)
    writer.add_vocab_size(vocabulary_size)
    if family is GPT2:
        writer.add_layer_norm_eps(model.norm_epsilon)
        return
    writer.add_head_count_kv(model.resolved_num_kv_heads)
    writer.add_layer_norm_rms_eps(model.norm_epsilon)
    writer.add_key_length(model.head_size)
    writer.add_value_length(model.head_size)
    writer.add_rope_dimension_count(model.head_size)
    writer.add_rope_freq_base(model.rope_theta)


def _add_tokenizer(writer: Any, tokenizer: SubwordTokenizer, vocabulary_size: int) -> None:
    fields = cast("dict[str, Any]", json.loads(tokenizer.to_json()))
    tokens = [f"[PAD{token_id}]" for token_id in range(vocabulary_size)]
    kinds = [_UNUSED] * vocabulary_size
    for token, token_id in fields["model"]["vocab"].items():
        if token_id < vocabulary_size:
            tokens[token_id], kinds[token_id] = token, _NORMAL
    for added in fields["added_tokens"]:
        if added["id"] < vocabulary_size:
            tokens[added["id"]] = added["content"]
            kinds[added["id"]] = _CONTROL if added["special"] else _USER_DEFINED
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in fields["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE_TOKENIZER)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    end_id = end_token_id(tokenizer, vocabulary_size)
    if end_id is not None:
        # Said for the beginning too, though none is added: llama.cpp's default is an id of its own.
        writer.add_bos_token_id(end_id)
        writer.add_eos_token_id(end_id)
    writer.add_add_bos_token(False)


def _their_name(name: str) -> str:
    if name.startswith("blk."):
        return name
    stem, _, kind = name.rpartition(".")
    if stem in _TOP:
        return f"{_TOP[stem]}.{kind}"
    _, layer, part = stem.split(".", 2)
    return f"blk.{layer}.{_IN_BLOCK[part]}.{kind}"


def _array(tensor: Tensor) -> Array:
    return tensor.float().numpy()


def _package() -> Any:
    try:
        import gguf
    except ModuleNotFoundError as error:
        raise UserError(
            "Writing GGUF needs the package `gguf`, which is not installed",
            remedy='Install it with: pip install "glassbox-lm[export]"',
        ) from error
    return gguf
