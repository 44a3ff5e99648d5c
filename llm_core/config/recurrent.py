"""The shape of a recurrent network: one class for each family.

Not here: the modules (`llm_core.models.rnn`), parameter counts (`llm_core.models.counting`).
"""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from llm_core.config.setting import Settings, setting
from llm_core.config.shapes import (
    DROPOUT_HELP,
    LAYERS_HELP,
    MAXIMUM_LAYERS,
    MAXIMUM_WIDTH,
    TIE_HELP,
    WIDTH_HELP,
)


class _RecurrentSettings(Settings):
    """What all recurrent families share."""

    num_layers: int = setting(
        1, label="Layers", help=LAYERS_HELP, unit="layers", level="simple", minimum=1, maximum=MAXIMUM_LAYERS
    )
    hidden_size: int = setting(
        256, label="Width", help=WIDTH_HELP, unit="units", level="simple", minimum=2, maximum=MAXIMUM_WIDTH
    )
    embedding_size: int = setting(
        0,
        label="Embedding width",
        help="Width of the token vectors; 0 takes the width of the layers.",
        unit="units",
        minimum=0,
        maximum=MAXIMUM_WIDTH,
    )
    dropout: float = setting(0.0, label="Dropout", help=DROPOUT_HELP, level="simple", minimum=0.0, maximum=0.9)
    locked_dropout: float = setting(
        0.0,
        label="Locked dropout",
        help="Like dropout, but the same units stay off over a whole row of text (variational dropout): gentler on memory.",
        minimum=0.0,
        maximum=0.9,
    )
    tie_embeddings: bool = setting(False, label="Tie embeddings", help=TIE_HELP)

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


class _MatrixSettings(_RecurrentSettings):
    """What the families share that multiply the old vector by a matrix."""

    weight_drop: float = setting(
        0.0,
        label="Weight drop",
        help="Share of the numbers in the recurrent matrix switched off at random, anew at each step of training.",
        minimum=0.0,
        maximum=0.9,
    )


class RNNConfig(_MatrixSettings):
    """Elman network: h_t = σ(W_hh h_{t-1} + W_xh x_t + b)."""

    kind: Literal["rnn"] = "rnn"
    nonlinearity: Literal["tanh", "relu", "sigmoid"] = setting(
        "tanh",
        label="Nonlinearity",
        help="The σ of the formula. tanh is the usual choice; relu can explode; sigmoid forgets fastest.",
        level="simple",
    )


class GRUConfig(_MatrixSettings):
    """Gated recurrent unit (Cho et al. 2014), in the form of torch.nn.GRU."""

    kind: Literal["gru"] = "gru"


class LSTMConfig(_MatrixSettings):
    """Long short-term memory (Hochreiter and Schmidhuber 1997), in the form of torch.nn.LSTM."""

    kind: Literal["lstm"] = "lstm"


class MinGRUConfig(_RecurrentSettings):
    """Minimal gated recurrent unit (Feng et al. 2024): its gate sees the token alone, so that all steps are worked out at once."""

    kind: Literal["mingru"] = "mingru"


RecurrentConfig = RNNConfig | GRUConfig | LSTMConfig | MinGRUConfig
