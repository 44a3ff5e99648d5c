"""Our settings as a config.json that transformers 5 and its predecessors, vLLM and llama.cpp read.

Not here: the other way (`read_config.py`), which class it is (`families.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_core.config.model import EncoderConfig, EncoderDecoderConfig, TransformerConfig
from llm_core.models.huggingface.families import GPT2, LLAMA, MISTRAL, QWEN3, ExchangedConfig, Family
from llm_core.models.huggingface.write_encoder_config import write_encoder, write_t5


def write_config(
    family: Family,
    model: ExchangedConfig,
    *,
    vocabulary_size: int,
    context_length: int,
    special_ids: Mapping[str, int],
    dtype: str,
) -> dict[str, Any]:
    """The values of config.json.

    Args:
        vocabulary_size: rows of the embedding.
        special_ids: of tokens that stand for no text, by their part (`eos_token`, …); a part that is not there is null.
        dtype: of the tensors beside it: `float32`, `bfloat16`, …
    """
    common: dict[str, Any] = {
        "architectures": [family.class_name],
        "model_type": family.model_type,
        "dtype": dtype,
        "vocab_size": vocabulary_size,
        # Said even where there is none: the classes have numbers of their own as defaults.
        **{f"{part}_id": special_ids.get(part) for part in ("bos_token", "eos_token", "pad_token")},
    }
    if isinstance(model, EncoderConfig):
        return common | write_encoder(family, model, context_length, special_ids)
    if isinstance(model, EncoderDecoderConfig):
        return common | write_t5(model, context_length, special_ids)
    common |= {"tie_word_embeddings": model.tie_embeddings, "use_cache": True}
    if family is GPT2:
        return common | _gpt2(model, context_length)
    return common | _llama_like(family, model, context_length)


def _gpt2(model: TransformerConfig, context_length: int) -> dict[str, Any]:
    return {
        "n_positions": context_length,
        "n_ctx": context_length,  # an older name that converters to llama.cpp still ask for
        "n_embd": model.hidden_size,
        "n_layer": model.num_layers,
        "n_head": model.num_heads,
        "n_inner": model.resolved_feed_forward_size,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": model.norm_epsilon,
        "resid_pdrop": model.dropout,
        "embd_pdrop": model.dropout,
        "attn_pdrop": model.dropout,
    }


def _llama_like(family: Family, model: TransformerConfig, context_length: int) -> dict[str, Any]:
    values: dict[str, Any] = {
        "max_position_embeddings": context_length,
        "hidden_size": model.hidden_size,
        "intermediate_size": model.resolved_feed_forward_size,
        "num_hidden_layers": model.num_layers,
        "num_attention_heads": model.num_heads,
        "num_key_value_heads": model.resolved_num_kv_heads,
        "head_dim": model.head_size,
        "hidden_act": "silu",
        "rms_norm_eps": model.norm_epsilon,
        "rope_parameters": {"rope_type": "default", "rope_theta": model.rope_theta},
        "rope_theta": model.rope_theta,  # where it stood before transformers 5
        "attention_dropout": model.dropout,
    }
    if family is LLAMA:
        values |= {"attention_bias": model.biases, "mlp_bias": model.biases}
    elif family is MISTRAL:
        values |= {"sliding_window": model.window}
    elif family is QWEN3:
        kind = "sliding_attention" if model.window else "full_attention"
        values |= {
            "attention_bias": False,
            "use_sliding_window": bool(model.window),
            "sliding_window": model.window or None,
            "max_window_layers": 0 if model.window else model.num_layers,
            "layer_types": [kind] * model.num_layers,
        }
    return values
