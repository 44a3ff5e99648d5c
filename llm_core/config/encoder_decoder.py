"""The shape of an encoder-decoder, and the three forms whose exact settings are known: T5, T5 v1.1 and the Transformer of 2017.

Not here: the modules (`llm_core.models.encoder_decoder`), parameter counts (`llm_core.models.encoder_decoder_counting`), what such
a model is asked to predict (`llm_core.objectives`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import model_validator

from llm_core.config.errors import NotFound
from llm_core.config.setting import Settings, setting
from llm_core.config.shapes import (
    DROPOUT_HELP,
    HEADS_HELP,
    MAXIMUM_LAYERS,
    MAXIMUM_WIDTH,
    WIDTH_HELP,
)


class EncoderDecoderConfig(Settings):
    """An encoder that reads the whole source, and a decoder that writes the target while it looks at it; by default T5 v1.1."""

    kind: Literal["encoder-decoder"] = "encoder-decoder"
    num_layers: int = setting(
        4,
        label="Encoder layers",
        help="Layers that read the source. Doubling them about doubles the work of reading.",
        unit="layers",
        level="simple",
        minimum=1,
        maximum=MAXIMUM_LAYERS,
    )
    num_decoder_layers: int = setting(
        0,
        label="Decoder layers",
        help="Layers that write the target; 0 takes as many as the encoder has. Fewer make writing quicker.",
        unit="layers",
        minimum=0,
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
    feed_forward_size: int = setting(
        0,
        label="Feed-forward width",
        help="Inner width of the feed-forward block; 0 takes 4 times the width, or 8/3 of it with a gate, which is as many numbers.",
        unit="units",
        minimum=0,
        maximum=8 * MAXIMUM_WIDTH,
    )
    size_per_head: int = setting(
        0,
        label="Width of a head",
        help="0 shares the width among the heads. Some sizes of T5 give their heads more or less than that.",
        unit="units",
        minimum=0,
        maximum=1024,
    )
    dropout: float = setting(
        0.0,
        label="Dropout",
        help=DROPOUT_HELP,
        level="simple",
        minimum=0.0,
        maximum=0.9,
    )
    tie_embeddings: bool = setting(
        False,
        label="Tie embeddings",
        help="Score words with the matrix that reads them in. Saves vocabulary × width parameters. Source and target share it always.",
    )
    positions: Literal["relative", "sinusoidal"] = setting(
        "relative",
        label="Positions",
        help="Relative adds a learned number to each score, by distance (T5); sinusoidal adds fixed waves to the words (2017).",
        choice_labels={"relative": "Relative", "sinusoidal": "Sinusoidal"},
    )
    position_buckets: int = setting(
        32,
        label="Distance buckets",
        help="How many distances are told apart by relative positions; near ones exactly, far ones ever more roughly.",
        unit="buckets",
        minimum=4,
        maximum=1024,
    )
    position_distance: int = setting(
        128,
        label="Farthest distance",
        help="From this distance on, relative positions tell tokens no longer apart.",
        unit="tokens",
        minimum=4,
        maximum=131_072,
    )
    norm: Literal["rms", "layer"] = setting(
        "rms",
        label="Norm",
        help="RMSNorm divides by the size of a vector; LayerNorm takes its mean off first and is a little slower.",
        choice_labels={"rms": "RMSNorm", "layer": "LayerNorm"},
    )
    norm_placement: Literal["before", "after"] = setting(
        "before",
        label="Place of the norms",
        help="Before each block, or after each sum as in 2017, which needs a slow start of the learning rate.",
        choice_labels={"before": "Before each block", "after": "After each sum"},
    )
    norm_epsilon: float = setting(
        1e-6,
        label="Norm epsilon",
        help="Small number that keeps the norms from dividing by zero.",
        minimum=1e-12,
        maximum=1e-2,
    )
    activation: Literal["geglu", "relu"] = setting(
        "geglu",
        label="Feed-forward",
        help="Gated GELU (tanh form) has three matrices, one of them a gate; ReLU has two.",
        choice_labels={"geglu": "Gated GELU", "relu": "ReLU"},
    )
    biases: bool = setting(
        False,
        label="Biases",
        help="A number added after each product and LayerNorm, as in 2017. Few parameters, little effect.",
    )
    scale_scores: bool = setting(
        False,
        label="Scale scores",
        help="Divide attention scores by the root of the head's width. T5 leaves that to its first weights.",
    )
    scale_embeddings: bool = setting(
        False,
        label="Scale embeddings",
        help="Multiply the words by the root of the width before positions are added, as in 2017.",
    )
    scale_output: bool = setting(
        False,
        label="Scale output",
        help="Divide by the root of the width before words are scored, as the first T5 does with its tied matrix.",
    )

    @property
    def head_size(self) -> int:
        """Width of one head."""
        return self.size_per_head or self.hidden_size // self.num_heads

    @property
    def resolved_num_decoder_layers(self) -> int:
        """Decoder layers with 0 resolved."""
        return self.num_decoder_layers or self.num_layers

    @property
    def resolved_feed_forward_size(self) -> int:
        """Feed-forward width with 0 resolved; with a gate 8/3 of the width, rounded up to a multiple of 32."""
        if self.feed_forward_size:
            return self.feed_forward_size
        if self.activation == "relu":
            return 4 * self.hidden_size
        return -(-8 * self.hidden_size // (3 * 32)) * 32

    @model_validator(mode="after")
    def _sizes_agree(self) -> EncoderDecoderConfig:
        if self.hidden_size % self.num_heads and not self.size_per_head:
            raise ValueError(
                f"hidden_size {self.hidden_size} cannot be cut into {self.num_heads} heads. "
                f"Choose a width that is a multiple of num_heads, for example {-(-self.hidden_size // self.num_heads) * self.num_heads}."
            )
        if self.positions == "sinusoidal" and self.hidden_size % 2:
            raise ValueError(
                f"hidden_size {self.hidden_size} is odd, and sinusoidal positions come in pairs of sine and cosine. "
                f"Choose {self.hidden_size + 1}, or relative positions."
            )
        # The encoder gives half of the buckets to each side, and half of those to exact distances.
        if self.position_buckets % 4:
            raise ValueError(
                f"position_buckets {self.position_buckets} is not a multiple of 4. "
                f"Choose {-(-self.position_buckets // 4) * 4}, so that both sides get exact and rough buckets."
            )
        if self.position_distance <= self.position_buckets // 2:
            raise ValueError(
                f"position_distance {self.position_distance} is within the exact buckets already. "
                f"Choose more than {self.position_buckets // 2}, or fewer position_buckets."
            )
        return self


@dataclass(frozen=True)
class EncoderDecoderForm:
    """A published form: its words, its settings at the published size and at one that two CPU cores train in minutes."""

    name: str
    title: str
    sentence: str
    config: EncoderDecoderConfig
    small: EncoderDecoderConfig


def encoder_decoder_forms() -> dict[str, EncoderDecoderForm]:
    """All forms by name, oldest first."""
    return {form.name: form for form in (_transformer_2017(), _t5(), _t5_v1_1())}


def encoder_decoder_form(name: str) -> EncoderDecoderForm:
    """One form; raises NotFound listing the names there are."""
    forms = encoder_decoder_forms()
    if name not in forms:
        raise NotFound("There is no encoder-decoder of this name", value=name, limit=", ".join(forms))
    return forms[name]


_SMALL: dict[str, Any] = {"num_layers": 2, "num_heads": 4, "hidden_size": 64, "feed_forward_size": 256}


def _form(name: str, title: str, sentence: str, settings: dict[str, Any], size: dict[str, Any]) -> EncoderDecoderForm:
    config = EncoderDecoderConfig.model_validate({**settings, **size})
    return EncoderDecoderForm(
        name, title, sentence, config, EncoderDecoderConfig.model_validate({**settings, **_SMALL})
    )


def _transformer_2017() -> EncoderDecoderForm:
    return _form(
        "transformer-2017",
        "Transformer of 2017",
        "The first Transformer, made for translation: sinusoidal positions, norms after each sum (Vaswani et al. 2017).",
        {
            "tie_embeddings": True,
            "positions": "sinusoidal",
            "norm": "layer",
            "norm_placement": "after",
            "norm_epsilon": 1e-5,
            "activation": "relu",
            "biases": True,
            "scale_scores": True,
            "scale_embeddings": True,
        },
        {"num_layers": 6, "num_heads": 8, "hidden_size": 512, "feed_forward_size": 2048, "dropout": 0.1},
    )


def _t5() -> EncoderDecoderForm:
    return _form(
        "t5",
        "T5",
        "Every task as text to text: relative positions, ReLU, one matrix for all words (Raffel et al. 2020).",
        {"activation": "relu", "tie_embeddings": True, "scale_output": True},
        {"num_layers": 6, "num_heads": 8, "hidden_size": 512, "feed_forward_size": 2048, "dropout": 0.1},
    )


def _t5_v1_1() -> EncoderDecoderForm:
    return _form(
        "t5-v1.1",
        "T5 v1.1",
        "T5 with a gated feed-forward block and its own matrix for the output; the usual choice today (Shazeer 2020).",
        {"activation": "geglu", "tie_embeddings": False, "scale_output": False},
        # Pre-training of v1.1 went without dropout; it comes back for fine-tuning.
        {"num_layers": 8, "num_heads": 6, "hidden_size": 512, "size_per_head": 64, "feed_forward_size": 1024},
    )
