"""What the families remember between calls: keys and values of a Transformer, or the vectors of a recurrent network.

Not here: who writes them (`layers.py`, `rnn.py`).

Axes: B batch, S room for positions, K key-value heads, E head width, U recurrent units, L layers.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from llm_core.config.errors import UserError
from llm_core.models.interface import State


class KeyValueCache(State):
    """Keys and values of every layer in preallocated room, rows of different lengths side by side.

    A forward pass first calls `reserve` with the number of new tokens of each row, then each layer calls `write`.
    """

    def __init__(self, keys_LBKSE: Tensor, values_LBKSE: Tensor, lengths_B: Tensor) -> None:
        self.keys_LBKSE = keys_LBKSE
        self.values_LBKSE = values_LBKSE
        self.lengths_B = lengths_B
        self._new_length = 0
        self._used_length = 0
        self._slots_BT: Tensor | None = None

    @property
    def capacity(self) -> int:
        """How many tokens a row has room for."""
        return self.keys_LBKSE.shape[3]

    def reserve(self, positions_BT: Tensor) -> int:
        """Choose the slots of the next T tokens: each row goes on where it ended. Returns S, the slots then in use."""
        self._new_length = positions_BT.shape[1]
        offsets_T = torch.arange(self._new_length, device=self.lengths_B.device)
        self._slots_BT = self.lengths_B[:, None] + offsets_T
        self._used_length = int(self.lengths_B.max()) + self._new_length
        if self._used_length > self.capacity:
            raise UserError(
                "The text is longer than the room kept for it",
                value=f"{self._used_length} tokens",
                limit=f"{self.capacity} tokens",
                remedy="Ask for a longer initial_state, or cut the text",
            )
        return self._used_length

    def write(self, layer: int, k_BKTE: Tensor, v_BKTE: Tensor) -> tuple[Tensor, Tensor]:
        """Store one layer's new keys and values; returns all of that layer's (B, K, S, E), unused slots included."""
        assert self._slots_BT is not None, "reserve comes before write"
        keys_BKSE, values_BKSE = self.keys_LBKSE[layer], self.values_LBKSE[layer]
        batch, _, _, head_size = k_BKTE.shape
        index = self._slots_BT[:, None, :, None].expand(batch, k_BKTE.shape[1], -1, head_size)
        keys_BKSE.scatter_(2, index, k_BKTE.to(keys_BKSE.dtype))
        values_BKSE.scatter_(2, index, v_BKTE.to(values_BKSE.dtype))
        used = self._used_length
        return keys_BKSE[:, :, :used].to(k_BKTE.dtype), values_BKSE[:, :, :used].to(v_BKTE.dtype)

    def advance(self, new_tokens_B: Tensor) -> None:
        """Count the tokens just written; padding at the end of a row is not counted and will be overwritten."""
        self.lengths_B = self.lengths_B + new_tokens_B

    def select(self, rows: Tensor) -> Self:
        return type(self)(self.keys_LBKSE[:, rows], self.values_LBKSE[:, rows], self.lengths_B[rows])

    def truncate(self, lengths_B: Tensor) -> Self:
        if bool((lengths_B > self.lengths_B).any()):
            raise UserError(
                "A state can only be cut shorter",
                value=lengths_B.tolist(),
                limit=self.lengths_B.tolist(),
                remedy="Give lengths that were already read",
            )
        return type(self)(self.keys_LBKSE, self.values_LBKSE, lengths_B.clone())

    def restart(self, rows_B: Tensor) -> Self:
        return type(self)(self.keys_LBKSE, self.values_LBKSE, self.lengths_B.masked_fill(rows_B, 0))

    def detach(self) -> Self:
        return type(self)(self.keys_LBKSE.detach(), self.values_LBKSE.detach(), self.lengths_B)


class RecurrentState(State):
    """The vectors after the last token: h for every layer, and c for an LSTM."""

    def __init__(self, hidden_LBU: Tensor, cell_LBU: Tensor | None, lengths_B: Tensor) -> None:
        self.hidden_LBU = hidden_LBU
        self.cell_LBU = cell_LBU
        self.lengths_B = lengths_B

    def select(self, rows: Tensor) -> Self:
        cell = None if self.cell_LBU is None else self.cell_LBU[:, rows]
        return type(self)(self.hidden_LBU[:, rows], cell, self.lengths_B[rows])

    def truncate(self, lengths_B: Tensor) -> Self:
        if bool((lengths_B != self.lengths_B).any()):
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
