"""Several curves as one: their mean along common steps, with the lowest and the highest.

Arithmetic on arrays alone. Not here: which runs belong together (`run_groups.py`), drawing (`llm_core.figures.group_bands`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

MOST_POINTS = 1000
LEAST_SHARE = 0.5
"""How far a curve must reach, as a share of the longest one, to have a part in the band."""


@dataclass(frozen=True)
class MeanBand:
    """The mean of some curves at each place, and how far they lie apart."""

    x: Floats
    mean: Floats
    low: Floats
    high: Floats
    count: int
    """How many curves."""
    left_out: int = 0
    """How many ended too early to have a part in it."""
    is_cut: bool = False
    """Whether it ends before the longest of its curves does."""


def mean_band(curves: Sequence[tuple[npt.ArrayLike, npt.ArrayLike]]) -> MeanBand:
    """The band of curves over the stretch that all of them cover.

    Between its points a curve is taken as a straight line, so that curves measured at different steps meet. Values that are no
    number are left out. Where a run ended early the band ends with it: a mean over fewer runs would jump. A run that came less than
    half as far as the longest one has no part in it, so that one failure at the beginning does not take the others away.

    Args:
        curves: x and y of each; those without a finite point do not count.
    """
    finite = [_finite(x, y) for x, y in curves]
    finite = [(x, y) for x, y in finite if len(x)]
    if not finite:
        nothing = np.zeros(0)
        return MeanBand(nothing, nothing, nothing, nothing, 0)
    longest = max(x[-1] for x, _ in finite)
    kept = [(x, y) for x, y in finite if x[-1] >= LEAST_SHARE * longest]
    first, last = max(x[0] for x, _ in kept), min(x[-1] for x, _ in kept)
    places = np.unique(np.concatenate([x for x, _ in kept]))
    places = places[(places >= first) & (places <= last)]
    if len(places) > MOST_POINTS:
        places = places[np.unique(np.linspace(0, len(places) - 1, MOST_POINTS).round().astype(int))]
    values = np.array([np.interp(places, x, y) for x, y in kept])
    return MeanBand(
        places,
        values.mean(axis=0),
        values.min(axis=0),
        values.max(axis=0),
        len(kept),
        left_out=len(finite) - len(kept),
        is_cut=bool(last < longest),
    )


def _finite(x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[Floats, Floats]:
    places, values = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    kept = np.flatnonzero(np.isfinite(values))
    kept = kept[np.argsort(places[kept], kind="stable")]
    return places[kept], values[kept]
