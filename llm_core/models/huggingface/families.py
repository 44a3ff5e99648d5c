"""The classes of transformers whose forward pass our networks compute exactly, and which of them a form of ours is. Free of torch.

Not here: reading and writing their config.json (`read_config.py`, `write_config.py`), the names of their tensors
(`tensor_names.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from llm_core.config.errors import UserError
from llm_core.config.model import EncoderConfig, EncoderDecoderConfig, TransformerConfig

ExchangedConfig = TransformerConfig | EncoderConfig | EncoderDecoderConfig


@dataclass(frozen=True, eq=False)
class Family:
    """One class of transformers."""

    class_name: str
    """As `architectures` of a config.json has it."""
    model_type: str
    settings: type[TransformerConfig] | type[EncoderConfig] | type[EncoderDecoderConfig]
    prefix: str
    """What stands before the names of all tensors but the head's; a file saved by the base class leaves it out."""
    fixed: Mapping[str, object]
    """Settings of ours that the class leaves no choice in."""

    @property
    def loader(self) -> str:
        """The class of transformers that loads any model of this kind."""
        return _LOADERS[self.settings]


_LOADERS: Mapping[type, str] = MappingProxyType(
    {
        TransformerConfig: "AutoModelForCausalLM",
        EncoderConfig: "AutoModelForMaskedLM",
        EncoderDecoderConfig: "AutoModelForSeq2SeqLM",
    }
)

_LLAMA: dict[str, object] = {"positions": "rope", "norm": "rms", "activation": "swiglu", "qk_norm": False}
_BERT: dict[str, object] = {
    "norm_placement": "post",
    "positions": "learned",
    "activation": "gelu",
    "biases": True,
    "window": 0,
}


def _decoder(class_name: str, model_type: str, prefix: str, fixed: dict[str, object]) -> Family:
    return Family(class_name, model_type, TransformerConfig, prefix, MappingProxyType(fixed))


def _encoder(class_name: str, model_type: str, prefix: str, fixed: dict[str, object]) -> Family:
    return Family(class_name, model_type, EncoderConfig, prefix, MappingProxyType(fixed))


QWEN3 = _decoder("Qwen3ForCausalLM", "qwen3", "model.", {**_LLAMA, "qk_norm": True, "biases": False})
LLAMA = _decoder("LlamaForCausalLM", "llama", "model.", {**_LLAMA, "window": 0})
MISTRAL = _decoder("MistralForCausalLM", "mistral", "model.", {**_LLAMA, "biases": False})
GPT2 = _decoder(
    "GPT2LMHeadModel",
    "gpt2",
    "transformer.",
    {
        "positions": "learned",
        "norm": "layer",
        "activation": "gelu",
        "qk_norm": False,
        "biases": True,
        "window": 0,
    },
)
BERT = _encoder("BertForMaskedLM", "bert", "bert.", {**_BERT, "position_offset": 0})
ROBERTA = _encoder("RobertaForMaskedLM", "roberta", "roberta.", _BERT)
MODERNBERT = _encoder(
    "ModernBertForMaskedLM",
    "modernbert",
    "model.",
    {"norm_placement": "pre", "positions": "rope", "activation": "geglu", "token_types": 0},
)
T5 = Family(
    "T5ForConditionalGeneration",
    "t5",
    EncoderDecoderConfig,
    "transformer.",
    MappingProxyType(
        {
            "positions": "relative",
            "norm": "rms",
            "norm_placement": "before",
            "biases": False,
            "scale_scores": False,
            "scale_embeddings": False,
        }
    ),
)

FAMILIES = (QWEN3, LLAMA, MISTRAL, GPT2, BERT, ROBERTA, MODERNBERT, T5)


def supported_classes(settings: type | None = None) -> str:
    """The names of all classes, or of those that our settings class can be, for messages."""
    return ", ".join(family.class_name for family in FAMILIES if settings in (None, family.settings))


def loader_of(class_name: str) -> str:
    """The class of transformers that loads a model of this class, for lines of Python."""
    return next(family.loader for family in FAMILIES if family.class_name == class_name)


def family_of(config: ExchangedConfig) -> Family:
    """The class that computes exactly what a network with these settings computes.

    Raises:
        UserError: there is none; names the nearest class and the settings that differ from it.
    """
    candidates = [family for family in FAMILIES if isinstance(config, family.settings)]
    differing = {family.class_name: differences(family, config) for family in candidates}
    for family in candidates:
        if not differing[family.class_name]:
            return family
    nearest = min(differing, key=lambda name: len(differing[name]))
    raise UserError(
        f"No class of transformers computes exactly what this model does; {nearest} comes nearest",
        value="; ".join(differing[nearest]),
        limit=supported_classes(type(config)),
        remedy="Train with the form of one of these classes: take the preset and leave its form as it is",
    )


def differences(family: Family, config: ExchangedConfig) -> list[str]:
    """Settings in which a form differs from what the class can be, one phrase each; empty when the class fits."""
    found = [
        f"{name} is {getattr(config, name)}, the class has {value}"
        for name, value in family.fixed.items()
        if getattr(config, name) != value
    ]
    if isinstance(config, TransformerConfig):
        return found + _decoder_differences(family, config)
    if isinstance(config, EncoderConfig):
        return found + _encoder_differences(family, config)
    return found


def _decoder_differences(family: Family, config: TransformerConfig) -> list[str]:
    found: list[str] = []
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


def _encoder_differences(family: Family, config: EncoderConfig) -> list[str]:
    found: list[str] = []
    if family in (BERT, ROBERTA) and not config.token_types:
        found.append("token_types is 0, the class has at least one")
    if family is ROBERTA and not config.position_offset:
        found.append("position_offset is 0, the class leaves the rows up to the padding token's unused")
    return found
