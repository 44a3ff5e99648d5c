"""What an encoder-decoder remembers while it writes: a key-value cache of the target, and the source's keys and values.

The source's are worked out once, when the state is made; from then on the memory itself is not needed.
Not here: how the target's cache is kept (`state.py`).

Axes: B batch, T new positions, S source places, H heads, E head width, L decoder layers.
"""

from __future__ import annotations

from typing import Self

from torch import Tensor

from llm_core.models.interface import State
from llm_core.models.state import CachePlaces, KeyValueCache


class EncoderDecoderState(State):
    """A key-value cache beside the keys and values (L, B, H, S, E) that every decoder layer has of the source."""

    def __init__(
        self, target: KeyValueCache, keys_LBHSE: Tensor, values_LBHSE: Tensor, source_padding_BS: Tensor | None
    ) -> None:
        self.target = target
        self.keys_LBHSE = keys_LBHSE
        self.values_LBHSE = values_LBHSE
        self.source_padding_BS = source_padding_BS
        self.lengths_B = target.lengths_B

    def source(self, layer: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """One layer's keys and values of the source (B, H, S, E), in the dtype of `like`."""
        return self.keys_LBHSE[layer].to(like.dtype), self.values_LBHSE[layer].to(like.dtype)

    def advance(self, places: CachePlaces, length: int, padding_BT: Tensor | None) -> None:
        """Count the target tokens just written, padding excepted."""
        self.target.advance(places, length, padding_BT)
        self.lengths_B = self.target.lengths_B

    def select(self, rows: Tensor) -> Self:
        padding = self.source_padding_BS
        return type(self)(
            self.target.select(rows),
            self.keys_LBHSE.index_select(1, rows),
            self.values_LBHSE.index_select(1, rows),
            None if padding is None else padding.index_select(0, rows),
        )

    def truncate(self, lengths_B: Tensor) -> Self:
        return self._with(self.target.truncate(lengths_B))

    def restart(self, rows_B: Tensor) -> Self:
        """As before the first target token; the source stays."""
        return self._with(self.target.restart(rows_B))

    def detach(self) -> Self:
        return type(self)(
            self.target.detach(), self.keys_LBHSE.detach(), self.values_LBHSE.detach(), self.source_padding_BS
        )

    def _with(self, target: KeyValueCache) -> Self:
        return type(self)(target, self.keys_LBHSE, self.values_LBHSE, self.source_padding_BS)
