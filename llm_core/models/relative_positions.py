"""The positions of encoder-decoders: a learned bias for each distance (Raffel et al. 2020), and sinusoids (Vaswani et al. 2017).

Both rest on a table that is worked out once, on the CPU, so that every device gets the very same numbers.
Not here: rotary positions (`layers.py`), which positions a row has (`layers.positions_in_row`).

Axes: B batch, T queries, S keys, H heads, D model width.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FixedTable(nn.Module):
    """A table that follows the module to another device, but no change of dtype reaches it and no checkpoint holds it."""

    def __init__(self, compute: Callable[[], Tensor]) -> None:
        super().__init__()
        self._compute = compute
        self.values = compute().to(torch.get_default_device())

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """torch's hook behind .to(), .cuda() and .to_empty()."""
        super()._apply(fn, recurse)
        device = fn(self.values).device
        if device != self.values.device:
            self.values = self._compute().to(device)
        return self


def distance_buckets(num_buckets: int, farthest: int) -> Tensor:
    """The bucket of each distance 0 … farthest on one side: the first half exact, the rest growing with the logarithm.

    In float32, as T5 does: a distance at the edge of two buckets falls where rounding takes it.
    """
    num_exact = num_buckets // 2
    distances = torch.arange(farthest + 1, device="cpu")
    growth = torch.log(distances.float() / num_exact) / math.log(farthest / num_exact)
    rough = num_exact + (growth.clamp(min=0.0) * (num_buckets - num_exact)).long()
    return torch.where(distances < num_exact, distances, rough.clamp(max=num_buckets - 1))


class RelativePositionBias(nn.Module):
    """A number for each head and bucket of distance, added to the scores of all layers of one stack.

    Looking both ways, half of the buckets are for keys after the query.
    """

    def __init__(self, num_heads: int, num_buckets: int, farthest: int, *, looks_both_ways: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_buckets, num_heads))
        self.farthest = farthest
        self.num_buckets_a_side = num_buckets // 2 if looks_both_ways else num_buckets
        self.looks_both_ways = looks_both_ways
        self.buckets = FixedTable(partial(distance_buckets, self.num_buckets_a_side, farthest))

    def forward(self, queries_BT: Tensor, keys_BS: Tensor) -> Tensor:
        """The bias (B or 1, H, T, S) between queries and keys at the given positions."""
        ahead_BTS = keys_BS[:, None, :] - queries_BT[:, :, None]
        if self.looks_both_ways:
            buckets_BTS = self.buckets.values[ahead_BTS.abs().clamp(max=self.farthest)]
            buckets_BTS = buckets_BTS + (ahead_BTS > 0) * self.num_buckets_a_side
        else:
            # A key ahead counts as distance 0; the causal mask hides it.
            buckets_BTS = self.buckets.values[(-ahead_BTS).clamp(min=0, max=self.farthest)]
        return F.embedding(buckets_BTS, self.weight).permute(0, 3, 1, 2).contiguous()


def sinusoids(length: int, width: int) -> Tensor:
    """Table (length, D): sin(position / 10000^(i / D)) at even i, the cosine of the same angle beside it.

    Worked out in float64 and rounded once, so that far positions are as exact as near ones.
    """
    exponents = torch.arange(0, width, 2, dtype=torch.float64, device="cpu") / width
    angles = torch.arange(length, dtype=torch.float64, device="cpu")[:, None] / 10_000.0**exponents
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1).float()


class SinusoidalPositions(nn.Module):
    """The vector of each position."""

    def __init__(self, context_length: int, width: int) -> None:
        super().__init__()
        self.table = FixedTable(partial(sinusoids, context_length, width))

    def forward(self, positions_BT: Tensor, dtype: torch.dtype) -> Tensor:
        """Vectors (B or 1, T, D)."""
        return self.table.values[positions_BT].to(dtype)
