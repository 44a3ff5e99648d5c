"""Which tensor of a folder is which of ours, and which of a folder's tensors are none of ours.

Not here: the tables of encoders and encoder-decoders (`encoder_names.py`, `t5_names.py`), opening files (`source_folder.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from llm_core.models.huggingface import encoder_names, t5_names
from llm_core.models.huggingface.correspondence import Correspondence
from llm_core.models.huggingface.families import BERT, GPT2, LLAMA, MISTRAL, MODERNBERT, QWEN3, ROBERTA, T5, Family

HEAD = "lm_head.weight"
EMBEDDING = "embed_tokens.weight"
POSITIONS = "embed_positions.weight"

# Tables that follow from the config, which older versions of transformers saved with the weights; the pooler and the judge of
# sentence pairs of BERT, which filling in does not use; a table of T5's cross-attention that was never used.
_ROTARY = re.compile(r"(layers\.\d+\.(self_attn|attn)\.)?rotary_emb\.(\w+_)?inv_freq")
_LEFT_OUT: Mapping[Family, re.Pattern[str]] = MappingProxyType(
    {
        GPT2: re.compile(r"h\.\d+\.attn\.(bias|masked_bias)"),
        QWEN3: _ROTARY,
        LLAMA: _ROTARY,
        MISTRAL: _ROTARY,
        MODERNBERT: _ROTARY,
        BERT: re.compile(
            r"embeddings\.(position_ids|token_type_ids)|pooler\.dense\.(weight|bias)|cls\.seq_relationship\.(weight|bias)"
        ),
        ROBERTA: re.compile(r"embeddings\.(position_ids|token_type_ids)|pooler\.dense\.(weight|bias)"),
        T5: re.compile(r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight"),
    }
)
# Names that hold the same tensor again, because the class ties them; without the prefix.
_COPIES: Mapping[Family, Mapping[str, str]] = MappingProxyType(
    {
        GPT2: {HEAD: "wte.weight"},
        QWEN3: {HEAD: EMBEDDING},
        LLAMA: {HEAD: EMBEDDING},
        MISTRAL: {HEAD: EMBEDDING},
        **encoder_names.COPIES,
        T5: t5_names.COPIES,
    }
)

_GPT2_TOP = {
    EMBEDDING: "wte.weight",
    POSITIONS: "wpe.weight",
    "norm.weight": "ln_f.weight",
    "norm.bias": "ln_f.bias",
}
_GPT2_BLOCK = {
    "ln_1": ("input_layernorm",),
    "attn.c_attn": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attn.c_proj": ("self_attn.o_proj",),
    "ln_2": ("post_attention_layernorm",),
    "mlp.c_fc": ("mlp.up_proj",),
    "mlp.c_proj": ("mlp.down_proj",),
}


def correspondences(family: Family, our_names: list[str]) -> list[Correspondence]:
    """One for each of their tensors that together hold all of `our_names`."""
    if family in (BERT, ROBERTA):
        return encoder_names.bert(family, our_names)
    if family is MODERNBERT:
        return encoder_names.modernbert(our_names)
    if family is T5:
        return t5_names.t5(our_names)
    if family is GPT2:
        return _gpt2(our_names)
    return [Correspondence(name if name == HEAD else family.prefix + name, (name,)) for name in our_names]


def bare_name(family: Family, stored: str) -> str:
    """A name of theirs without the prefix and in today's words; the first BERTs call the parameters of a norm gamma and beta."""
    name = stored.removeprefix(family.prefix)
    if family in (BERT, ROBERTA):
        name = re.sub(r"(?<=LayerNorm\.)(gamma|beta)$", lambda old: "weight" if old[0] == "gamma" else "bias", name)
    return name


def copies(family: Family) -> Mapping[str, str]:
    """Names (without the prefix) under which a tensor may lie a second time, and the name that it goes by."""
    return _COPIES[family]


def is_left_out(family: Family, bare: str) -> bool:
    """Whether a name (without the prefix) is of something that the model with this head does not have."""
    return _LEFT_OUT[family].fullmatch(bare) is not None


def _gpt2(our_names: list[str]) -> list[Correspondence]:
    """Queries, keys and values are one matrix, and every matrix lies the other way round (its Conv1D stores inputs first)."""
    found = [Correspondence(GPT2.prefix + theirs, (ours,)) for ours, theirs in _GPT2_TOP.items() if ours in our_names]
    if HEAD in our_names:
        found.append(Correspondence(HEAD, (HEAD,)))
    num_layers = 1 + max(int(name.split(".")[1]) for name in our_names if name.startswith("layers."))
    for layer in range(num_layers):
        for theirs, parts in _GPT2_BLOCK.items():
            for kind in ("weight", "bias"):
                ours = tuple(f"layers.{layer}.{part}.{kind}" for part in parts)
                is_matrix = kind == "weight" and not theirs.startswith("ln")
                found.append(Correspondence(f"{GPT2.prefix}h.{layer}.{theirs}.{kind}", ours, is_matrix))
    return found
