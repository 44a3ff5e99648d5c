"""The arithmetic of a drawn curve: smoothing that carries on, thinning to pixels, the band of the raw values, rounding.

Pure numpy on whole arrays; every function treats NaN and infinities as gaps. Not here: where the points come from
(`run_curves.py`), what is asked for (`series.py`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from tsdownsample import NaNMinMaxLTTBDownsampler

Floats = npt.NDArray[np.float64]
# Steps and tokens are whole numbers, seconds are not.
Axis = npt.NDArray[Any]
Indices = npt.NDArray[np.intp]

_BLOCK = 256
MAXIMUM_WEIGHT = 0.999
SIGNIFICANT_DIGITS = 5


class DebiasedAverage:
    """An exponential moving average that starts at the first value instead of at zero (Kingma and Ba 2015, section 3).

        s_n = w s_{n-1} + (1 - w) y_n,    drawn: s_n / (1 - w^n)

    Only finite values count; where there is a gap the average is NaN and its state stays. `extend` goes on where the last
    call stopped, so that new points cost no look at old ones.
    """

    def __init__(self, weight: float) -> None:
        self.weight = min(max(float(weight), 0.0), MAXIMUM_WEIGHT)
        self._state = 0.0
        self._count = 0
        # Within a block the average is a product with a lower triangular matrix; between blocks only the state is passed on.
        distance = np.arange(_BLOCK)[:, None] - np.arange(_BLOCK)[None, :]
        powers = self.weight ** np.maximum(distance, 0)
        self._within = np.where(distance >= 0, (1.0 - self.weight) * powers, 0.0)
        self._carry = self.weight ** np.arange(1, _BLOCK + 1)

    def extend(self, values: Floats) -> Floats:
        """The average after each of these values, which follow those of earlier calls."""
        averages = np.full(len(values), np.nan)
        finite = np.isfinite(values)
        averages[finite] = self._extend_finite(values[finite])
        return averages

    def _extend_finite(self, values: Floats) -> Floats:
        if not len(values) or self.weight == 0.0:
            return values
        number_of_blocks = -(-len(values) // _BLOCK)
        blocks = np.zeros((number_of_blocks, _BLOCK))
        blocks.reshape(-1)[: len(values)] = values
        sums = blocks @ self._within.T
        for block in sums:
            block += self._state * self._carry
            self._state = float(block[-1])
        flat = sums.reshape(-1)[: len(values)]
        self._state = float(flat[-1])  # the last block may have been padded with zeros
        counts = np.arange(self._count + 1, self._count + len(values) + 1)
        self._count += len(values)
        return flat / -np.expm1(counts * np.log(self.weight))


def thin(x: Axis, y: Floats, count: int) -> Indices:
    """The indices of at most `count` points that look like all of them: first, last, peaks, troughs and gaps are kept.

    MinMaxLTTB (Van Der Donckt and others 2023) with gaps kept, as in tsdownsample.
    """
    if len(y) <= count:
        return np.arange(len(y))
    even = max(4, count - count % 2)
    gaps = np.where(np.isfinite(y), y, np.nan)
    chosen = NaNMinMaxLTTBDownsampler().downsample(x, gaps, n_out=even, parallel=False)
    return np.unique(chosen.astype(np.intp))


def band(values: Floats, chosen: Indices) -> tuple[Floats, Floats]:
    """For each chosen point the lowest and highest raw value between it and half-way to its neighbours; NaN in a gap."""
    finite = np.where(np.isfinite(values), values, np.nan)
    starts = np.concatenate(([0], (chosen[:-1] + chosen[1:] + 1) // 2))
    return np.fmin.reduceat(finite, starts), np.fmax.reduceat(finite, starts)


def significant(values: Floats, digits: int = SIGNIFICANT_DIGITS) -> Floats:
    """The values rounded to so many significant digits, as the nearest doubles, so that JSON writes them short."""
    finite = np.isfinite(values) & (values != 0)
    exponents = np.floor(np.log10(np.abs(values, where=finite, out=np.ones_like(values))))
    places = np.clip(digits - 1 - exponents.astype(int), -300, 300)
    # Powers of ten are exact in one direction only: multiply by whole ones, divide by whole ones.
    small, large = 10.0 ** np.maximum(places, 0), 10.0 ** np.maximum(-places, 0)
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = np.round(values * small / large) / small * large
    return np.where(finite & np.isfinite(rounded), rounded, values)


def share(lengths: list[int], budget: int) -> list[int]:
    """How many points each curve may show so that all together stay within the budget; short curves leave theirs over."""
    shares = [0] * len(lengths)
    left, curves_left = budget, len(lengths)
    for index in sorted(range(len(lengths)), key=lambda index: lengths[index]):
        shares[index] = min(lengths[index], max(4, left // curves_left))
        left, curves_left = max(0, left - shares[index]), curves_left - 1
    return shares
