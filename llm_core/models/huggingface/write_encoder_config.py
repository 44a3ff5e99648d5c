"""The settings of our encoder and encoder-decoder in the words of BERT, RoBERTa, ModernBERT and T5.

Not here: keys of all classes (`write_config.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_core.config.model import EncoderConfig, EncoderDecoderConfig
from llm_core.models.huggingface.families import MODERNBERT, ROBERTA, Family


def write_encoder(
    family: Family, model: EncoderConfig, context_length: int, special_ids: Mapping[str, int]
) -> dict[str, Any]:
    """Keys of a masked language model."""
    sizes: dict[str, Any] = {
        "hidden_size": model.hidden_size,
        "intermediate_size": model.resolved_feed_forward_size,
        "num_hidden_layers": model.num_layers,
        "num_attention_heads": model.num_heads,
        "max_position_embeddings": context_length,
        "tie_word_embeddings": True,
    }
    if family is MODERNBERT:
        return sizes | _modernbert(model, special_ids)
    values = {
        **sizes,
        "hidden_act": "gelu",
        "hidden_dropout_prob": model.dropout,
        "attention_probs_dropout_prob": model.dropout,
        "type_vocab_size": model.token_types,
        "layer_norm_eps": model.norm_epsilon,
    }
    if family is ROBERTA:
        # Positions count from the row after the padding token's number, so that number is part of the form.
        values["max_position_embeddings"] = context_length + model.position_offset
        values["pad_token_id"] = model.position_offset - 1
    return values


def _modernbert(model: EncoderConfig, special_ids: Mapping[str, int]) -> dict[str, Any]:
    kinds = ["sliding_attention" if model.is_local(layer) else "full_attention" for layer in range(model.num_layers)]
    thetas = {"full_attention": model.rope_theta, "sliding_attention": model.local_rope_theta}
    return {
        "hidden_activation": "gelu",
        "classifier_activation": "gelu",
        "norm_eps": model.norm_epsilon,
        "norm_bias": model.biases,
        "attention_bias": model.biases,
        "mlp_bias": model.biases,
        "classifier_bias": model.biases,
        "decoder_bias": True,
        "layer_types": kinds,
        "local_attention": model.window or 128,
        "rope_parameters": {kind: {"rope_type": "default", "rope_theta": theta} for kind, theta in thetas.items()},
        # Where these stood before transformers 5, and where converters to llama.cpp still look.
        "global_attn_every_n_layers": model.global_every if model.window else 1,
        "global_rope_theta": model.rope_theta,
        "local_rope_theta": model.local_rope_theta,
        "embedding_dropout": model.dropout,
        "attention_dropout": model.dropout,
        "mlp_dropout": model.dropout,
        "cls_token_id": special_ids.get("cls_token"),
        "sep_token_id": special_ids.get("sep_token"),
    }


def write_t5(model: EncoderDecoderConfig, context_length: int, special_ids: Mapping[str, int]) -> dict[str, Any]:
    """Keys of T5 in both its forms."""
    return {
        "is_encoder_decoder": True,
        "d_model": model.hidden_size,
        "d_kv": model.head_size,
        "d_ff": model.resolved_feed_forward_size,
        "num_layers": model.num_layers,
        "num_decoder_layers": model.resolved_num_decoder_layers,
        "num_heads": model.num_heads,
        "feed_forward_proj": "relu" if model.activation == "relu" else "gated-gelu",
        "relative_attention_num_buckets": model.position_buckets,
        "relative_attention_max_distance": model.position_distance,
        "layer_norm_epsilon": model.norm_epsilon,
        "dropout_rate": model.dropout,
        "n_positions": context_length,
        # In this class the word says whether outputs are scaled; matrices are tied where only one is stored.
        "tie_word_embeddings": model.scale_output,
        "decoder_start_token_id": special_ids["pad_token"],
        "use_cache": True,
    }
