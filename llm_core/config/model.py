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
    """Causal Transformer, by default in the form of Qwen3: RoPE, RMSNorm, QK-norm, SwiGLU, no biases."""

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
    dropout: float = setting(0.0, label="Dropout", help=_DROPOUT_HELP, level="simple", minimum=0.0, maximum=0.9)
    tie_embeddings: bool = setting(True, label="Tie embeddings", help=_TIE_HELP)
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
