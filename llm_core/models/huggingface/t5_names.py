"""Our names of an encoder-decoder's tensors in the words of T5.

Not here: other families (`tensor_names.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from llm_core.models.huggingface.correspondence import Correspondence, split_name

_TOP = {
    "norm": "final_layer_norm",
    "relative_bias": "block.0.layer.0.SelfAttention.relative_attention_bias",
}
_BLOCK = {
    "self_attn.q_proj": "layer.0.SelfAttention.q",
    "self_attn.k_proj": "layer.0.SelfAttention.k",
    "self_attn.v_proj": "layer.0.SelfAttention.v",
    "self_attn.o_proj": "layer.0.SelfAttention.o",
    "self_attn_norm": "layer.0.layer_norm",
    "cross_attn.q_proj": "layer.1.EncDecAttention.q",
    "cross_attn.k_proj": "layer.1.EncDecAttention.k",
    "cross_attn.v_proj": "layer.1.EncDecAttention.v",
    "cross_attn.o_proj": "layer.1.EncDecAttention.o",
    "cross_attn_norm": "layer.1.layer_norm",
}
_FEED_FORWARD = {
    "mlp.gate_proj": "DenseReluDense.wi_0",
    "mlp.down_proj": "DenseReluDense.wo",
    "mlp_norm": "layer_norm",
}
_SHARED = "shared.weight"

COPIES: Mapping[str, str] = MappingProxyType(
    {
        "encoder.embed_tokens.weight": _SHARED,
        "decoder.embed_tokens.weight": _SHARED,
        "lm_head.weight": _SHARED,  # last: without the shared matrix, that of the encoder is the embedding
    }
)


def t5(our_names: list[str]) -> list[Correspondence]:
    """Each of our tensors is one of theirs, saved without a prefix."""
    is_gated = any(".gate_proj." in name for name in our_names)
    return [Correspondence(_their_name(name, is_gated), (name,)) for name in our_names]


def _their_name(name: str, is_gated: bool) -> str:
    if name == "embed_tokens.weight":
        return _SHARED
    side, _, rest = name.partition(".")
    if side not in ("encoder", "decoder"):
        return name
    layer, module, kind = split_name(rest)
    if layer is None:
        return f"{side}.{_TOP[module]}.{kind}"
    if module in _BLOCK:
        return f"{side}.block.{layer}.{_BLOCK[module]}.{kind}"
    # The feed-forward block comes after cross-attention, which an encoder has not.
    place = 1 if side == "encoder" else 2
    theirs = _FEED_FORWARD.get(module) or ("DenseReluDense.wi_1" if is_gated else "DenseReluDense.wi")
    return f"{side}.block.{layer}.layer.{place}.{theirs}.{kind}"
