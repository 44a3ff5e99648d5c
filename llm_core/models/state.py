"""What the families remember between calls: keys and values of a Transformer, or the vectors of a recurrent network.

Not here: who writes them (`decoder.py`, `layers.py`, `rnn.py`).

Axes: B batch, T new positions, S places for tokens, K key-value heads, E head width, U recurrent units, L layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from llm_core.config.errors import UserError
from llm_core.models.interface import State


@dataclass(frozen=True)
class CachePlaces:
    """Where the tokens of one forward pass stand in a cache."""

    start: int | None
    """First place of the new tokens when all rows agree, else None."""
    used: int
    """Places in use once they are written, in the longest row: S of this pass."""
    slots_BT: Tensor | None
    """The place of each token when rows differ, else None."""


class KeyValueCache(State):
    """Keys and values of every layer in preallocated room, rows of different lengths side by side.

    A forward pass asks for `places`, lets each layer `write`, and ends with `advance`. While all rows are of one length
    that length is known as a plain number: then no mask is needed for a single new token, writing is a plain copy, and
    nothing waits for the device. Padding is written to one spare place past the end, at which nobody looks.

    Shapes: keys and values (L, B, K, S + 1, E).
    """

    def __init__(
        self, keys_LBKSE: Tensor, values_LBKSE: Tensor, lengths_B: Tensor, uniform_length: int | None, longest: int
    ) -> None:
        self.keys_LBKSE = keys_LBKSE
        self.values_LBKSE = values_LBKSE
        self.lengths_B = lengths_B
        self.uniform_length = uniform_length
        self.longest = longest

    @classmethod
    def empty(
        cls, shape_LBKSE: tuple[int, int, int, int, int], *, device: torch.device | str, dtype: torch.dtype
    ) -> Self:
        """A cache that has read nothing, with room for S tokens a row."""
        layers, batch_size, kv_heads, room, head_size = shape_LBKSE
        keys = torch.zeros((layers, batch_size, kv_heads, room + 1, head_size), device=device, dtype=dtype)
        lengths_B = torch.zeros(batch_size, dtype=torch.int64, device=device)
        return cls(keys, torch.zeros_like(keys), lengths_B, uniform_length=0, longest=0)

    @property
    def capacity(self) -> int:
        """How many tokens a row has room for."""
        return self.keys_LBKSE.shape[3] - 1

    def places(self, length: int, padding_BT: Tensor | None) -> CachePlaces:
        """Places for the next T tokens of each row: each goes on where it ended. Raises UserError when they do not fit."""
        counts_BT = None if padding_BT is None else (~padding_BT).cumsum(dim=1)
        if counts_BT is None:
            used = self.longest + length
        else:
            used = max(1, int((self.lengths_B + counts_BT[:, -1]).max()))
        if used > self.capacity:
            raise UserError(
                "The text is longer than the room kept for it",
                value=f"{used} tokens",
                limit=f"{self.capacity} tokens",
                remedy="Ask for a longer initial_state, or cut the text",
            )
        if padding_BT is not None and counts_BT is not None:
            slots_BT = self.lengths_B[:, None] + counts_BT - 1
            return CachePlaces(None, used, slots_BT.masked_fill(padding_BT, self.capacity))
        if self.uniform_length is None:
            return CachePlaces(None, used, self.lengths_B[:, None] + torch.arange(length, device=self.lengths_B.device))
        return CachePlaces(self.uniform_length, used, None)

    def write(self, layer: int, places: CachePlaces, k_BKTE: Tensor, v_BKTE: Tensor) -> tuple[Tensor, Tensor]:
        """Store one layer's new keys and values; returns all of that layer's (B, K, S, E), unused places included."""
        if places.start == 0:
            self.keys_LBKSE[layer, :, :, : places.used] = k_BKTE
            self.values_LBKSE[layer, :, :, : places.used] = v_BKTE
            return k_BKTE, v_BKTE
        return (
            _written(self.keys_LBKSE[layer], places, k_BKTE),
            _written(self.values_LBKSE[layer], places, v_BKTE),
        )

    def advance(self, places: CachePlaces, length: int, padding_BT: Tensor | None) -> None:
        """Count the tokens just written, padding excepted."""
        new_B = length if padding_BT is None else (~padding_BT).sum(dim=1)
        self.lengths_B = self.lengths_B + new_B
        self.longest = places.used
        self.uniform_length = None if places.start is None else places.used

    def select(self, rows: Tensor) -> Self:
        lengths_B = self.lengths_B.index_select(0, rows)
        uniform, longest = self.uniform_length, self.longest
        if uniform is None:  # the longest row may be among those that are dropped
            kept = lengths_B.tolist()
            uniform, longest = kept[0] if len(set(kept)) == 1 else None, max(kept, default=0)
        keys_LBKSE, values_LBKSE = (part.index_select(1, rows) for part in (self.keys_LBKSE, self.values_LBKSE))
        return type(self)(keys_LBKSE, values_LBKSE, lengths_B, uniform, longest)

    def truncate(self, lengths_B: Tensor) -> Self:
        wanted, known = lengths_B.tolist(), self.lengths_B.tolist()
        if any(not 0 <= new <= old for new, old in zip(wanted, known, strict=True)):
            raise UserError(
                "A state can only be cut shorter",
                value=wanted,
                limit=known,
                remedy="Give lengths that were already read",
            )
        uniform = wanted[0] if len(set(wanted)) == 1 else None
        lengths_B = lengths_B.to(self.lengths_B)
        return type(self)(self.keys_LBKSE, self.values_LBKSE, lengths_B, uniform, max(wanted, default=0))

    def restart(self, rows_B: Tensor) -> Self:
        return self.truncate(self.lengths_B.masked_fill(rows_B, 0))

    def detach(self) -> Self:
        return type(self)(
            self.keys_LBKSE.detach(), self.values_LBKSE.detach(), self.lengths_B, self.uniform_length, self.longest
        )


def _written(stored_BKSE: Tensor, places: CachePlaces, new_BKTE: Tensor) -> Tensor:
    """One layer's keys or values with the new ones in their places, cut to the places in use, in the new ones' dtype."""
    if places.slots_BT is None:
        stored_BKSE[:, :, places.start : places.used] = new_BKTE
    else:
        slots = places.slots_BT[:, None, :, None].expand_as(new_BKTE)
        stored_BKSE.scatter_(2, slots, new_BKTE.to(stored_BKSE.dtype))
    return stored_BKSE[:, :, : places.used].to(new_BKTE.dtype)


class RecurrentState(State):
    """The vectors after the last token: h for every layer, and c for an LSTM."""

    def __init__(self, hidden_LBU: Tensor, cell_LBU: Tensor | None, lengths_B: Tensor) -> None:
        self.hidden_LBU = hidden_LBU
        self.cell_LBU = cell_LBU
        self.lengths_B = lengths_B

    def select(self, rows: Tensor) -> Self:
        cell = None if self.cell_LBU is None else self.cell_LBU.index_select(1, rows)
        return type(self)(self.hidden_LBU.index_select(1, rows), cell, self.lengths_B.index_select(0, rows))

    def replace(self, rows: Tensor, other: Self) -> Self:
        """The state with the given rows taken from `other`, which holds just these."""
        cell = None
        if self.cell_LBU is not None and other.cell_LBU is not None:
            cell = self.cell_LBU.index_copy(1, rows, other.cell_LBU.to(self.cell_LBU.dtype))
        return type(self)(
            # In mixed precision what was just computed is narrower than what is kept.
            self.hidden_LBU.index_copy(1, rows, other.hidden_LBU.to(self.hidden_LBU.dtype)),
            cell,
            self.lengths_B.index_copy(0, rows, other.lengths_B),
        )

    def truncate(self, lengths_B: Tensor) -> Self:
        if not torch.equal(lengths_B.to(self.lengths_B), self.lengths_B):
            raise UserError(
                "A recurrent network keeps only its last state, not the way there",
                value=lengths_B.tolist(),
                limit=self.lengths_B.tolist(),
                remedy="Read the shorter text again",
            )
        return self

    def restart(self, rows_B: Tensor) -> Self:
        keep_1B1 = (~rows_B)[None, :, None]
        # A product would keep NaN alive (0 · NaN), so the rows are replaced.
        hidden = torch.where(keep_1B1, self.hidden_LBU, 0.0)
        cell = None if self.cell_LBU is None else torch.where(keep_1B1, self.cell_LBU, 0.0)
        return type(self)(hidden, cell, self.lengths_B.masked_fill(rows_B, 0))

    def detach(self) -> Self:
        cell = None if self.cell_LBU is None else self.cell_LBU.detach()
        return type(self)(self.hidden_LBU.detach(), cell, self.lengths_B)
