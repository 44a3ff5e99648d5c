"""Which tensor of a folder is which of ours, and in what shape.

Qwen3, Llama and Mistral have our names behind a prefix. GPT-2 keeps queries, keys and values in one matrix and every matrix the other
way round (its Conv1D stores inputs first). Not here: opening files (`source_folder.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from llm_core.models.huggingface.families import GPT2, Family

HEAD = "lm_head.weight"
EMBEDDING = "embed_tokens.weight"

# Tables that older versions of transformers saved with the weights; they follow from the config.
_BUFFERS: dict[bool, re.Pattern[str]] = {
    True: re.compile(r"h\.\d+\.attn\.(bias|masked_bias)"),
    False: re.compile(r"(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq"),
}

_GPT2_BLOCK = {
    "ln_1": ("input_layernorm",),
    "attn.c_attn": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attn.c_proj": ("self_attn.o_proj",),
    "ln_2": ("post_attention_layernorm",),
    "mlp.c_fc": ("mlp.up_proj",),
    "mlp.c_proj": ("mlp.down_proj",),
}

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Correspondence:
    """One tensor of theirs and the one or three of ours that it holds, along the outputs."""

    theirs: str
    """Without the prefix."""
    ours: tuple[str, ...]
    is_transposed: bool = False

    def shape(self, our_shapes: Mapping[str, Shape]) -> Shape:
        """Of theirs, from the shapes of ours."""
        parts = [our_shapes[name] for name in self.ours]
        joined = (sum(part[0] for part in parts), *parts[0][1:])
        return joined[::-1] if self.is_transposed else joined

    def to_ours(self, tensor: Tensor, our_shapes: Mapping[str, Shape]) -> dict[str, Tensor]:
        """Their tensor cut and turned into ours; the bits stay."""
        if self.is_transposed:
            tensor = tensor.T
        parts = tensor.split([our_shapes[name][0] for name in self.ours])
        return {name: part.contiguous() for name, part in zip(self.ours, parts, strict=True)}

    def to_theirs(self, tensors: list[Tensor]) -> Tensor:
        """Ours, in the order of `ours`, joined and turned into theirs."""
        joined = torch.cat(tensors) if len(tensors) > 1 else tensors[0]
        return (joined.T if self.is_transposed else joined).contiguous()


def correspondences(family: Family, our_names: list[str]) -> list[Correspondence]:
    """One for each of their tensors that together hold all of `our_names`."""
    if family is not GPT2:
        return [Correspondence(name, (name,)) for name in our_names]
    known = {
        EMBEDDING: "wte.weight",
        "embed_positions.weight": "wpe.weight",
        "norm.weight": "ln_f.weight",
        "norm.bias": "ln_f.bias",
        HEAD: HEAD,
    }
    found = [Correspondence(theirs, (ours,)) for ours, theirs in known.items() if ours in our_names]
    num_layers = 1 + max(int(name.split(".")[1]) for name in our_names if name.startswith("layers."))
    for layer in range(num_layers):
        for theirs, parts in _GPT2_BLOCK.items():
            for kind in ("weight", "bias"):
                ours = tuple(f"layers.{layer}.{part}.{kind}" for part in parts)
                is_matrix = kind == "weight" and not theirs.startswith("ln")
                found.append(Correspondence(f"h.{layer}.{theirs}.{kind}", ours, is_matrix))
    return found


def full_name(family: Family, theirs: str) -> str:
    """With the prefix, as transformers saves a language model."""
    return theirs if theirs == HEAD else family.prefix + theirs


def is_buffer(family: Family, theirs: str) -> bool:
    """Whether a name (without the prefix) is of a table that is computed, not learned."""
    return _BUFFERS[family is GPT2].fullmatch(theirs) is not None
