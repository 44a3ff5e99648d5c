"""What a forward pass tells an observer: queries and keys, hidden states, gates.

Training hands no tap (`tap=None`), and then nothing here costs anything. `inspection` hands one for a single forward pass
and works from what it receives. This file holds the protocol and a recorder that keeps everything; it computes no attention.

Axes: B batch, T new positions, S all positions looked at, H query heads, K key-value heads, E head width, D model width,
U recurrent units.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from torch import Tensor

Part = Literal["encoder", "decoder", "cross"]
"""Where in an encoder-decoder a layer stands: reading the source, writing the target, or looking from target to source."""


class Tap(Protocol):
    """Receives what the layers of one forward pass compute. Layers count from 0; every tensor is the one in use, not a copy."""

    def attention(
        self,
        layer: int,
        q_BHTE: Tensor,
        k_BKSE: Tensor,
        mask: Tensor | None,
        scale: float,
        positions_BT: Tensor,
        bias: Tensor | None = None,
        part: Part = "decoder",
    ) -> None:
        """Queries and keys as the attention kernel gets them, after norm and rotation.

        `mask` is boolean, broadcastable to (B, 1, T, S), True where a query may look; None means every query sees every key.
        `bias` (B or 1, H, T, S) is added to the scores; None means nothing is.
        Probabilities are softmax(scale * q @ k^T + bias) over S, query head h reading key head h // (H // K).
        `positions_BT` are the queries' positions inside their document. A model of one stack leaves `part` as it is.
        """
        ...

    def hidden(self, layer: int, hidden_BTD: Tensor, part: Part = "decoder") -> None:
        """The stream after a layer; layer -1 is the embedding. A recurrent layer's hidden stream is its output."""
        ...

    def gates(self, layer: int, values: Mapping[str, Tensor]) -> None:
        """A recurrent layer over time, each value (B, T, U).

        "state" always; LSTM also "cell", "i", "f", "g", "o"; GRU "r", "z", "n"; minGRU "z", "n".
        """
        ...


@dataclass(frozen=True)
class RecordedAttention:
    """One layer's arguments of `Tap.attention`."""

    q_BHTE: Tensor
    k_BKSE: Tensor
    mask: Tensor | None
    scale: float
    positions_BT: Tensor
    bias: Tensor | None = None


@dataclass
class RecordingTap:
    """Keeps everything it is handed, by layer, detached from the graph."""

    attentions: dict[int, RecordedAttention] = field(default_factory=dict[int, RecordedAttention])
    encoder_attentions: dict[int, RecordedAttention] = field(default_factory=dict[int, RecordedAttention])
    cross_attentions: dict[int, RecordedAttention] = field(default_factory=dict[int, RecordedAttention])
    hiddens: dict[int, Tensor] = field(default_factory=dict[int, Tensor])
    encoder_hiddens: dict[int, Tensor] = field(default_factory=dict[int, Tensor])
    gate_values: dict[int, dict[str, Tensor]] = field(default_factory=dict[int, dict[str, Tensor]])

    def attention(
        self,
        layer: int,
        q_BHTE: Tensor,
        k_BKSE: Tensor,
        mask: Tensor | None,
        scale: float,
        positions_BT: Tensor,
        bias: Tensor | None = None,
        part: Part = "decoder",
    ) -> None:
        kept = {"encoder": self.encoder_attentions, "decoder": self.attentions, "cross": self.cross_attentions}[part]
        bias = None if bias is None else bias.detach()
        kept[layer] = RecordedAttention(q_BHTE.detach(), k_BKSE.detach(), mask, scale, positions_BT, bias)

    def hidden(self, layer: int, hidden_BTD: Tensor, part: Part = "decoder") -> None:
        kept = self.encoder_hiddens if part == "encoder" else self.hiddens
        kept[layer] = hidden_BTD.detach()

    def gates(self, layer: int, values: Mapping[str, Tensor]) -> None:
        self.gate_values[layer] = {name: value.detach() for name, value in values.items()}
