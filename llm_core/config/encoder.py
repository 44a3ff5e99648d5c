"""The shape of an encoder: a network that reads a whole text at once and fills in what is hidden in it.

By its settings exactly BERT, RoBERTa or ModernBERT of transformers 5; `encoder_presets` names those, each in its published size
and in one that a laptop trains. Not here: how text is hidden (`masking.py`), the modules (`llm_core.models.encoder`).
"""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from llm_core.config.setting import Settings, setting
from llm_core.config.shapes import (
    DROPOUT_HELP,
    HEADS_HELP,
    LAYERS_HELP,
    MAXIMUM_LAYERS,
    MAXIMUM_WIDTH,
    WIDTH_HELP,
)


class EncoderConfig(Settings):
    """Bidirectional Transformer, by default in the form of ModernBERT: pre-norm, RoPE, local windows, GeGLU, no biases."""

    kind: Literal["encoder"] = "encoder"
    num_layers: int = setting(
        4,
        label="Layers",
        help=LAYERS_HELP,
        unit="layers",
        level="simple",
        minimum=1,
        maximum=MAXIMUM_LAYERS,
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
    hidden_size: int = setting(
        128,
        label="Width",
        help=WIDTH_HELP,
        unit="units",
        level="simple",
        minimum=2,
        maximum=MAXIMUM_WIDTH,
    )
    feed_forward_size: int | None = setting(
        None,
        label="Feed-forward width",
        help="Inner width of the feed-forward block. Empty takes 4 times the width, with GeGLU 3/2 of it.",
        unit="units",
        minimum=1,
        maximum=8 * MAXIMUM_WIDTH,
    )
    dropout: float = setting(
        0.0,
        label="Dropout",
        help=DROPOUT_HELP,
        level="simple",
        minimum=0.0,
        maximum=0.9,
    )
    norm_placement: Literal["pre", "post"] = setting(
        "pre",
        label="Place of the norms",
        help="Before each block, which trains more easily when the network is deep, or after each sum, as in BERT.",
        choice_labels={"pre": "Before each block", "post": "After each sum"},
    )
    positions: Literal["rope", "learned"] = setting(
        "rope",
        label="Positions",
        help="How a token knows its place: RoPE turns queries and keys; learned adds a vector for each place, as BERT does.",
        choice_labels={"rope": "Rotary (RoPE)", "learned": "Learned"},
    )
    position_offset: int = setting(
        0,
        label="First position",
        help="Row of the learned positions that the first token takes. RoBERTa starts at 2 and leaves the rows before it unused.",
        unit="rows",
        minimum=0,
        maximum=1024,
    )
    token_types: int = setting(
        0,
        label="Token types",
        help="BERT adds a vector for the first or second sentence. Text here is always of the first type; 0 leaves it out.",
        unit="types",
        minimum=0,
        maximum=16,
    )
    activation: Literal["geglu", "gelu"] = setting(
        "geglu",
        label="Feed-forward",
        help="GeGLU has three matrices, one of them a gate; GELU (exact form) has two, as in BERT.",
        choice_labels={"geglu": "GeGLU", "gelu": "GELU"},
    )
    biases: bool = setting(
        False,
        label="Biases",
        help="A number added after each product and norm, as in BERT. The scores of the vocabulary have one in any case.",
    )
    window: int = setting(
        128,
        label="Window",
        help="A local layer looks half this far to each side. 0 lets every layer look at the whole text.",
        unit="tokens",
        minimum=0,
        maximum=131_072,
    )
    global_every: int = setting(
        3,
        label="Global layers",
        help="Every how many layers one looks at the whole text, beginning with the first. 1 makes all of them global.",
        unit="layers",
        minimum=1,
        maximum=MAXIMUM_LAYERS,
    )
    rope_theta: float = setting(
        160_000.0,
        label="RoPE base",
        help="Base of the rotary position frequencies in global layers. Larger values suit longer texts.",
        minimum=1.0,
        maximum=1e9,
    )
    local_rope_theta: float = setting(
        10_000.0,
        label="RoPE base, local",
        help="Base of the rotary position frequencies in local layers, which look less far.",
        minimum=1.0,
        maximum=1e9,
    )
    norm_epsilon: float = setting(
        1e-5,
        label="Norm epsilon",
        help="Small number that keeps the norms from dividing by zero.",
        minimum=1e-12,
        maximum=1e-2,
    )

    @property
    def head_size(self) -> int:
        """Width of one head."""
        return self.hidden_size // self.num_heads

    @property
    def resolved_feed_forward_size(self) -> int:
        """Feed-forward width with the automatic choice resolved."""
        if self.feed_forward_size is not None:
            return self.feed_forward_size
        return 4 * self.hidden_size if self.activation == "gelu" else 3 * self.hidden_size // 2

    def is_local(self, layer: int) -> bool:
        """Whether a layer, counted from 0, looks through the window only."""
        return self.window > 0 and layer % self.global_every != 0

    @model_validator(mode="after")
    def _heads_divide(self) -> EncoderConfig:
        if self.hidden_size % self.num_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} cannot be cut into {self.num_heads} heads. "
                f"Choose a width that is a multiple of num_heads, for example {-(-self.hidden_size // self.num_heads) * self.num_heads}."
            )
        if self.positions == "rope" and self.head_size % 2:
            raise ValueError(
                f"a head of {self.head_size} units cannot be rotated in pairs (RoPE). "
                "Choose hidden_size and num_heads so that hidden_size / num_heads is even."
            )
        return self


def encoder_presets() -> dict[str, EncoderConfig]:
    """The published base sizes of the three forms, and small ones of the same form. Vocabulary and context come with the text."""
    bert = EncoderConfig(
        num_layers=12,
        num_heads=12,
        hidden_size=768,
        dropout=0.1,
        norm_placement="post",
        positions="learned",
        token_types=2,
        activation="gelu",
        biases=True,
        window=0,
        norm_epsilon=1e-12,
    )
    # RoBERTa's published weights have a single token type and this epsilon; the class in transformers defaults to BERT's.
    roberta = bert.model_copy(update={"position_offset": 2, "token_types": 1, "norm_epsilon": 1e-5})
    modernbert = EncoderConfig(num_layers=22, num_heads=12, hidden_size=768)
    small = {"num_layers": 4, "num_heads": 4, "hidden_size": 128, "dropout": 0.0}
    return {
        "bert": bert,
        "bert-small": bert.model_copy(update=small),
        "roberta": roberta,
        "roberta-small": roberta.model_copy(update=small),
        "modernbert": modernbert,
        "modernbert-small": modernbert.model_copy(update=small),
    }
