"""Our names of an encoder's tensors in the words of BERT, RoBERTa and ModernBERT.

Not here: other families (`tensor_names.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from llm_core.models.huggingface.correspondence import Correspondence, split_name
from llm_core.models.huggingface.families import BERT, MODERNBERT, ROBERTA, Family

_BERT_TOP = {
    "embed_tokens": "embeddings.word_embeddings",
    "embed_positions": "embeddings.position_embeddings",
    "embed_types": "embeddings.token_type_embeddings",
    "embed_norm": "embeddings.LayerNorm",
}
_BERT_BLOCK = {
    "self_attn.q_proj": "attention.self.query",
    "self_attn.k_proj": "attention.self.key",
    "self_attn.v_proj": "attention.self.value",
    "self_attn.o_proj": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "mlp.up_proj": "intermediate.dense",
    "mlp.down_proj": "output.dense",
    "feed_forward_norm": "output.LayerNorm",
}
_HEADS: Mapping[Family, Mapping[str, str]] = MappingProxyType(
    {
        BERT: {
            "head": "cls.predictions",
            "head.dense": "cls.predictions.transform.dense",
            "head.norm": "cls.predictions.transform.LayerNorm",
        },
        ROBERTA: {"head": "lm_head", "head.dense": "lm_head.dense", "head.norm": "lm_head.layer_norm"},
    }
)

_MODERNBERT_TOP = {
    "embed_tokens": "model.embeddings.tok_embeddings",
    "embed_norm": "model.embeddings.norm",
    "norm": "model.final_norm",
    "head": "decoder",
    "head.dense": "head.dense",
    "head.norm": "head.norm",
}
_MODERNBERT_BLOCK = {
    "attention_norm": ("attn_norm", ("attention_norm",)),
    "self_attn.q_proj": ("attn.Wqkv", ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")),
    "self_attn.o_proj": ("attn.Wo", ("self_attn.o_proj",)),
    "feed_forward_norm": ("mlp_norm", ("feed_forward_norm",)),
    "mlp.gate_proj": ("mlp.Wi", ("mlp.gate_proj", "mlp.up_proj")),
    "mlp.down_proj": ("mlp.Wo", ("mlp.down_proj",)),
}
# They lie in the matrix of the first part that they share with.
_JOINED = ("self_attn.k_proj", "self_attn.v_proj", "mlp.up_proj")

COPIES: Mapping[Family, Mapping[str, str]] = MappingProxyType(
    {
        BERT: {
            "cls.predictions.decoder.weight": "embeddings.word_embeddings.weight",
            "cls.predictions.decoder.bias": "cls.predictions.bias",
        },
        ROBERTA: {
            "lm_head.decoder.weight": "embeddings.word_embeddings.weight",
            "lm_head.decoder.bias": "lm_head.bias",
        },
        MODERNBERT: {"decoder.weight": "embeddings.tok_embeddings.weight"},
    }
)


def bert(family: Family, our_names: list[str]) -> list[Correspondence]:
    """Of BERT and RoBERTa, which differ in the head alone; each of our tensors is one of theirs."""
    found: list[Correspondence] = []
    for name in our_names:
        layer, module, kind = split_name(name)
        if layer is not None:
            stem = f"{family.prefix}encoder.layer.{layer}.{_BERT_BLOCK[module]}"
        elif module in _BERT_TOP:
            stem = family.prefix + _BERT_TOP[module]
        else:
            stem = _HEADS[family][module]
        found.append(Correspondence(f"{stem}.{kind}", (name,)))
    return found


def modernbert(our_names: list[str]) -> list[Correspondence]:
    """Queries, keys and values are one matrix, gate and values of the feed-forward block another."""
    found: list[Correspondence] = []
    for name in our_names:
        layer, module, kind = split_name(name)
        if layer is None:
            found.append(Correspondence(f"{_MODERNBERT_TOP[module]}.{kind}", (name,)))
        elif module not in _JOINED:
            theirs, parts = _MODERNBERT_BLOCK[module]
            ours = tuple(f"layers.{layer}.{part}.{kind}" for part in parts)
            found.append(Correspondence(f"{MODERNBERT.prefix}layers.{layer}.{theirs}.{kind}", ours))
    return found
