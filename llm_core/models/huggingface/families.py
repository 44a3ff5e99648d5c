"""The classes of transformers whose forward pass our decoder computes exactly, and which of them a form of ours is.

Not here: reading and writing their config.json (`read_config.py`, `write_config.py`), the names of their tensors
(`tensor_names.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from llm_core.config.errors import UserError
from llm_core.config.model import TransformerConfig


@dataclass(frozen=True, eq=False)
class Family:
    """One class of transformers."""

    class_name: str
    """As `architectures` of a config.json has it."""
    model_type: str
    prefix: str
    """What stands before the name of every tensor but the head's; a file saved by the base class leaves it out."""
    fixed: Mapping[str, object]
    """Settings of ours that the class leaves no choice in."""


_LLAMA: dict[str, object] = {"positions": "rope", "norm": "rms", "activation": "swiglu", "qk_norm": False}

QWEN3 = Family("Qwen3ForCausalLM", "qwen3", "model.", MappingProxyType({**_LLAMA, "qk_norm": True, "biases": False}))
LLAMA = Family("LlamaForCausalLM", "llama", "model.", MappingProxyType({**_LLAMA, "window": 0}))
MISTRAL = Family("MistralForCausalLM", "mistral", "model.", MappingProxyType({**_LLAMA, "biases": False}))
GPT2 = Family(
    "GPT2LMHeadModel",
    "gpt2",
    "transformer.",
    MappingProxyType(
        {
            "positions": "learned",
            "norm": "layer",
            "activation": "gelu",
            "qk_norm": False,
            "biases": True,
            "window": 0,
        }
    ),
)

FAMILIES = (QWEN3, LLAMA, MISTRAL, GPT2)


def supported_classes() -> str:
    """The names of all classes, for messages."""
    return ", ".join(family.class_name for family in FAMILIES)


def family_of(config: TransformerConfig) -> Family:
    """The class that computes exactly what a decoder with these settings computes.

    Raises:
        UserError: there is none; names the nearest class and the settings that differ from it.
    """
    differing = {family.class_name: differences(family, config) for family in FAMILIES}
    for family in FAMILIES:
        if not differing[family.class_name]:
            return family
    nearest = min(differing, key=lambda name: len(differing[name]))
    raise UserError(
        f"No class of transformers computes exactly what this model does; {nearest} comes nearest",
        value="; ".join(differing[nearest]),
        limit=supported_classes(),
        remedy="Train with the form of one of these classes: take the preset and leave its form as it is",
    )


def differences(family: Family, config: TransformerConfig) -> list[str]:
    """Settings in which a form differs from what the class can be, one phrase each; empty when the class fits."""
    found = [
        f"{name} is {getattr(config, name)}, the class has {value}"
        for name, value in family.fixed.items()
        if getattr(config, name) != value
    ]
    if not config.resolved_feed_forward_size:
        found.append("feed_forward_size is 0, the class always has a feed-forward block")
    if family is MISTRAL and not config.window:
        found.append("window is 0, without one the class is LlamaForCausalLM")
    if family is GPT2:
        if config.resolved_num_kv_heads != config.num_heads:
            found.append(
                f"num_kv_heads is {config.num_kv_heads}, the class has one for each of {config.num_heads} heads"
            )
        if config.head_size * config.num_heads != config.hidden_size:
            found.append(f"size_per_head is {config.size_per_head}, the class shares the width among the heads")
    if family is LLAMA and config.hidden_size % config.num_heads:
        found.append(f"hidden_size is {config.hidden_size}, the class wants a multiple of {config.num_heads} heads")
    return found
