"""The shape of a causal Transformer; by its settings GPT-2, Llama, Mistral or Qwen3.

Not here: the module (`llm_core.models.decoder`), parameter counts (`llm_core.models.counting`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import model_validator

from llm_core.config.setting import Settings, setting
from llm_core.config.shapes import (
    DROPOUT_HELP,
    HEADS_HELP,
    LAYERS_HELP,
    MAXIMUM_LAYERS,
    MAXIMUM_WIDTH,
    TIE_HELP,
    WIDTH_HELP,
)


class TransformerConfig(Settings):
    """Causal Transformer, by default in the form of Qwen3: RoPE, RMSNorm, QK-norm, SwiGLU, no biases."""

    kind: Literal["transformer"] = "transformer"
    num_layers: int = setting(
        4, label="Layers", help=LAYERS_HELP, unit="layers", level="simple", minimum=1, maximum=MAXIMUM_LAYERS
    )
    num_heads: int = setting(
        4,
        label="Heads",
        help=HEADS_HELP,
        unit="heads",
        level="simple",
        minimum=1,
        maximum=256,
    )
    num_kv_heads: int = setting(
        0,
        label="Key-value heads",
        help="Heads that share keys and values (grouped queries). 0 gives every head its own; fewer make generation lighter.",
        unit="heads",
        minimum=0,
        maximum=256,
    )
    hidden_size: int = setting(
        128, label="Width", help=WIDTH_HELP, unit="units", level="simple", minimum=2, maximum=MAXIMUM_WIDTH
    )
    feed_forward_size: int | None = setting(
        None,
        label="Feed-forward width",
        help="Inner width of the feed-forward block. Empty takes 8/3 of the width (4 times with GELU); 0 leaves the block out.",
        unit="units",
        minimum=0,
        maximum=8 * MAXIMUM_WIDTH,
    )
    size_per_head: int = setting(
        0,
        label="Width of a head",
        help="0 shares the width among the heads. Qwen3 gives its heads more than that.",
        unit="units",
        minimum=0,
        maximum=1024,
    )
    dropout: float = setting(0.0, label="Dropout", help=DROPOUT_HELP, level="simple", minimum=0.0, maximum=0.9)
    tie_embeddings: bool = setting(True, label="Tie embeddings", help=TIE_HELP)
    positions: Literal["rope", "learned"] = setting(
        "rope",
        label="Positions",
        help="How a token knows its place: RoPE turns queries and keys; learned adds a vector for each place, as GPT-2 does.",
        choice_labels={"rope": "Rotary (RoPE)", "learned": "Learned"},
    )
    norm: Literal["rms", "layer"] = setting(
        "rms",
        label="Norm",
        help="RMSNorm divides by the size of a vector; LayerNorm takes its mean off first and is a little slower.",
        choice_labels={"rms": "RMSNorm", "layer": "LayerNorm"},
    )
    activation: Literal["swiglu", "gelu"] = setting(
        "swiglu",
        label="Feed-forward",
        help="SwiGLU has three matrices, one of them a gate; GELU (tanh form) has two, as in GPT-2.",
        choice_labels={"swiglu": "SwiGLU", "gelu": "GELU"},
    )
    qk_norm: bool = setting(
        True,
        label="Norm of queries and keys",
        help="Keeps attention scores from growing, so that higher rates are stable.",
    )
    biases: bool = setting(
        False,
        label="Biases",
        help="A number added after each product and LayerNorm, as in GPT-2. Few parameters, little effect.",
    )
    window: int = setting(
        0,
        label="Window",
        help="How many tokens back each layer may look, itself included (Mistral). 0 lets it look at the whole context.",
        unit="tokens",
        minimum=0,
        maximum=131_072,
    )
    rope_theta: float = setting(
        10_000.0,
        label="RoPE base",
        help="Base of the rotary position frequencies. Larger values suit longer contexts.",
        minimum=1.0,
        maximum=1e9,
    )
    norm_epsilon: float = setting(
        1e-6,
        label="Norm epsilon",
        help="Small number that keeps the norms from dividing by zero.",
        minimum=1e-12,
        maximum=1e-2,
    )

    @property
    def head_size(self) -> int:
        """Width of one head."""
        return self.size_per_head or self.hidden_size // self.num_heads

    @property
    def resolved_num_kv_heads(self) -> int:
        """Key-value heads with 0 resolved."""
        return self.num_kv_heads or self.num_heads

    @property
    def resolved_feed_forward_size(self) -> int:
        """Feed-forward width with the automatic choice resolved: 8/3 of the width, rounded up to a multiple of 32; 4 times with GELU."""
        if self.feed_forward_size is not None:
            return self.feed_forward_size
        if self.activation == "gelu":
            return 4 * self.hidden_size
        return -(-8 * self.hidden_size // (3 * 32)) * 32

    @model_validator(mode="after")
    def _heads_divide(self) -> TransformerConfig:
        if self.hidden_size % self.num_heads and not self.size_per_head:
            raise ValueError(
                f"hidden_size {self.hidden_size} cannot be cut into {self.num_heads} heads. "
                f"Choose a width that is a multiple of num_heads, for example {-(-self.hidden_size // self.num_heads) * self.num_heads}."
            )
        if self.positions == "rope" and self.head_size % 2:
            raise ValueError(
                f"a head of {self.head_size} units cannot be rotated in pairs (RoPE). "
                + (
                    "Choose an even size_per_head."
                    if self.size_per_head
                    else "Choose hidden_size and num_heads so that hidden_size / num_heads is even."
                )
            )
        if self.num_heads % self.resolved_num_kv_heads:
            raise ValueError(
                f"num_heads {self.num_heads} is not a multiple of num_kv_heads {self.num_kv_heads}. "
                "Choose a divisor of num_heads, or 0 for one each."
            )
        return self


@dataclass(frozen=True)
class DecoderForm:
    """A published form: its words, its settings at a published size and at one that two CPU cores train in minutes."""

    name: str
    title: str
    sentence: str
    config: TransformerConfig
    small: TransformerConfig


def decoder_forms() -> dict[str, DecoderForm]:
    """The classics as settings of the same layers, oldest first."""
    gpt2: dict[str, Any] = {
        "positions": "learned",
        "norm": "layer",
        "activation": "gelu",
        "qk_norm": False,
        "biases": True,
        "norm_epsilon": 1e-5,
    }
    llama: dict[str, Any] = {"qk_norm": False, "tie_embeddings": False}
    forms = (
        _form(
            "gpt2",
            "GPT-2",
            "Learned positions, LayerNorm, GELU, a bias after every product (Radford et al. 2019).",
            gpt2,
            {"num_layers": 12, "num_heads": 12, "hidden_size": 768, "dropout": 0.1},
        ),
        _form(
            "llama",
            "Llama",
            "Rotary positions, RMSNorm, SwiGLU, no biases (Touvron et al. 2023).",
            llama,
            {"num_layers": 32, "num_heads": 32, "hidden_size": 4096, "feed_forward_size": 11_008},
        ),
        _form(
            "mistral",
            "Mistral",
            "Llama with grouped queries and a sliding window: each layer looks back a little, several together far (Jiang et al. 2023).",
            {**llama, "norm_epsilon": 1e-5},
            {
                "num_layers": 32,
                "num_heads": 32,
                "num_kv_heads": 8,
                "hidden_size": 4096,
                "feed_forward_size": 14_336,
                "window": 4096,
            },
            {"num_kv_heads": 2, "window": 32},
        ),
        _form(
            "qwen3",
            "Qwen3",
            "Llama with grouped queries, and a norm of queries and keys that keeps training calm (Yang et al. 2025).",
            {},
            {
                "num_layers": 28,
                "num_heads": 16,
                "num_kv_heads": 8,
                "hidden_size": 1024,
                "feed_forward_size": 3072,
                "size_per_head": 128,
                "rope_theta": 1_000_000.0,
            },
            {"num_kv_heads": 2},
        ),
    )
    return {form.name: form for form in forms}


def _form(
    name: str,
    title: str,
    sentence: str,
    settings: dict[str, Any],
    size: dict[str, Any],
    small: dict[str, Any] | None = None,
) -> DecoderForm:
    published = TransformerConfig.model_validate({**settings, **size})
    shape = {"num_layers": 4, "num_heads": 4, "hidden_size": 128}
    return DecoderForm(
        name, title, sentence, published, TransformerConfig.model_validate({**settings, **shape, **(small or {})})
    )
