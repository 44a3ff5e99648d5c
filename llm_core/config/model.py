"""The shape of a network: one frozen class for each family, told apart by `kind`.

Not here: the modules themselves (`llm_core.models`), parameter counts (`llm_core.models.counting`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from llm_core.config.setting import Settings, setting

MAXIMUM_LAYERS = 200
MAXIMUM_WIDTH = 16_384

_LAYERS_HELP = "How many layers stand on top of each other. Doubling it about doubles the work and the memory."
_WIDTH_HELP = "How many numbers describe one token inside the network. Doubling it about quadruples the parameters."
_DROPOUT_HELP = (
    "Share of activations switched off at random while training. Helps when the text is small for the model."
)
_TIE_HELP = "Use one matrix both to read tokens in and to score them at the end. Saves vocabulary × width parameters."


class _RecurrentSettings(Settings):
    """What all recurrent families share."""

    num_layers: int = setting(
        1, label="Layers", help=_LAYERS_HELP, unit="layers", level="simple", minimum=1, maximum=MAXIMUM_LAYERS
    )
    hidden_size: int = setting(
        256, label="Width", help=_WIDTH_HELP, unit="units", level="simple", minimum=2, maximum=MAXIMUM_WIDTH
    )
    embedding_size: int = setting(
        0,
        label="Embedding width",
        help="Width of the token vectors; 0 takes the width of the layers.",
        unit="units",
        minimum=0,
        maximum=MAXIMUM_WIDTH,
    )
    dropout: float = setting(0.0, label="Dropout", help=_DROPOUT_HELP, level="simple", minimum=0.0, maximum=0.9)
    tie_embeddings: bool = setting(False, label="Tie embeddings", help=_TIE_HELP)

    @property
    def resolved_embedding_size(self) -> int:
        """Width of the token vectors with 0 resolved."""
        return self.embedding_size or self.hidden_size

    @model_validator(mode="after")
    def _tied_sizes_agree(self) -> _RecurrentSettings:
        if self.tie_embeddings and self.resolved_embedding_size != self.hidden_size:
            raise ValueError(
                f"tie_embeddings needs equal widths: embedding_size is {self.embedding_size}, hidden_size is {self.hidden_size}. "
                "Set embedding_size to 0 or switch tie_embeddings off."
            )
        return self


class RNNConfig(_RecurrentSettings):
    """Elman network: h_t = σ(W_hh h_{t-1} + W_xh x_t + b)."""

    kind: Literal["rnn"] = "rnn"
    nonlinearity: Literal["tanh", "relu", "sigmoid"] = setting(
        "tanh",
        label="Nonlinearity",
        help="The σ of the formula. tanh is the usual choice; relu can explode; sigmoid forgets fastest.",
        level="simple",
    )


class GRUConfig(_RecurrentSettings):
    """Gated recurrent unit (Cho et al. 2014), in the form of torch.nn.GRU."""

    kind: Literal["gru"] = "gru"


class LSTMConfig(_RecurrentSettings):
    """Long short-term memory (Hochreiter and Schmidhuber 1997), in the form of torch.nn.LSTM."""

    kind: Literal["lstm"] = "lstm"


class TransformerConfig(Settings):
    """Causal Transformer in the form of Qwen3: RoPE, RMSNorm, QK-norm, grouped queries, SwiGLU, no biases."""

    kind: Literal["transformer"] = "transformer"
    num_layers: int = setting(
        4, label="Layers", help=_LAYERS_HELP, unit="layers", level="simple", minimum=1, maximum=MAXIMUM_LAYERS
    )
    num_heads: int = setting(
        4,
        label="Heads",
        help="Parallel attention patterns in each layer. They share the width, so the size stays the same.",
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
        128, label="Width", help=_WIDTH_HELP, unit="units", level="simple", minimum=2, maximum=MAXIMUM_WIDTH
    )
    feed_forward_size: int | None = setting(
        None,
        label="Feed-forward width",
        help="Inner width of the feed-forward block. Empty takes 8/3 of the width; 0 leaves the block out.",
        unit="units",
        minimum=0,
        maximum=8 * MAXIMUM_WIDTH,
    )
    dropout: float = setting(0.0, label="Dropout", help=_DROPOUT_HELP, level="simple", minimum=0.0, maximum=0.9)
    tie_embeddings: bool = setting(True, label="Tie embeddings", help=_TIE_HELP)
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
        return self.hidden_size // self.num_heads

    @property
    def resolved_num_kv_heads(self) -> int:
        """Key-value heads with 0 resolved."""
        return self.num_kv_heads or self.num_heads

    @property
    def resolved_feed_forward_size(self) -> int:
        """Feed-forward width with the automatic choice resolved: 8/3 of the width, rounded up to a multiple of 32."""
        if self.feed_forward_size is not None:
            return self.feed_forward_size
        return -(-8 * self.hidden_size // (3 * 32)) * 32

    @model_validator(mode="after")
    def _heads_divide(self) -> TransformerConfig:
        if self.hidden_size % self.num_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} cannot be cut into {self.num_heads} heads. "
                f"Choose a width that is a multiple of num_heads, for example {-(-self.hidden_size // self.num_heads) * self.num_heads}."
            )
        if self.head_size % 2:
            raise ValueError(
                f"a head of {self.head_size} units cannot be rotated in pairs (RoPE). "
                "Choose hidden_size and num_heads so that hidden_size / num_heads is even."
            )
        if self.num_heads % self.resolved_num_kv_heads:
            raise ValueError(
                f"num_heads {self.num_heads} is not a multiple of num_kv_heads {self.num_kv_heads}. "
                "Choose a divisor of num_heads, or 0 for one each."
            )
        return self


ModelConfig = Annotated[RNNConfig | GRUConfig | LSTMConfig | TransformerConfig, Field(discriminator="kind")]

MODEL_CONFIGS: dict[str, type[RNNConfig] | type[GRUConfig] | type[LSTMConfig] | type[TransformerConfig]] = {
    "rnn": RNNConfig,
    "gru": GRUConfig,
    "lstm": LSTMConfig,
    "transformer": TransformerConfig,
}
