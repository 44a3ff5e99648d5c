"""Sudden events in a run: a loss that jumps, gradients that explode, steps that become slow. One number after the other, in bounded memory.

Each watch is told every logged point and answers at once. Robust z-scores: how far a value lies above the median of the last points, in
spreads. The spread is the median absolute difference of neighbours (times 1.4826 / √2, which makes it the standard deviation of normal
noise): a falling curve does not widen it, and one outlier does not hide the next. Free of torch. Not here: what the events mean in words
(`health_watch.py`), troubles of the whole course (`health_rules.py`).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

# Points a spread is taken from, at least and at most, and the newest of them that a level is taken from; reckoned anew after every few.
_LEAST, _KEPT, _NEWEST, _EVERY = 15, 60, 15, 5
_SPIKE_Z, _SPIKE_RISE = 6.0, 0.05
_RECOVERED_OF, _PATIENCE = 5, 30
_EXPLOSION, _EXPLOSIONS, _EXPLOSION_OF = 5.0, 3, 10
_SLOW, _NO_LONGER_SLOW, _SLOW_OF, _SLOW_SECONDS = 0.5, 0.7, 10, 20.0


class Level:
    """The usual value of the last points, and the usual spread of points."""

    def __init__(self, least_spread: float) -> None:
        self._values = deque[float](maxlen=_KEPT)
        self._least_spread = least_spread
        self._added = 0
        self.middle = math.nan
        self.spread = math.nan

    def add(self, value: float) -> None:
        """One more point; the level follows after every few."""
        self._values.append(value)
        self._added += 1
        if len(self._values) >= _LEAST and (self._added % _EVERY == 0 or math.isnan(self.middle)):
            values = list(self._values)
            self.middle = median(values[-_NEWEST:])
            noise = 1.4826 / math.sqrt(2) * median(abs(a - b) for a, b in pairwise(values))
            self.spread = max(noise, self._least_spread * abs(self.middle), 1e-9)

    def z(self, value: float) -> float:
        """Robust z-score of a value; 0 before there is a level."""
        return 0.0 if math.isnan(self.middle) else (value - self.middle) / self.spread


@dataclass
class Spike:
    """A jump of the loss, and whether it came back."""

    step: int
    before: float
    """The usual loss until then."""
    peak: float
    z: float
    recovered_at: int | None = None
    stays: bool = False
    """True once it has not come back for long."""


class SpikeWatch:
    """Finds jumps of the loss, and whether each comes back."""

    def __init__(self) -> None:
        self.spikes: list[Spike] = []
        self._level = Level(least_spread=0.01)
        self._open: Spike | None = None
        self._since = deque[float](maxlen=_RECOVERED_OF)
        self._points = 0

    def add(self, step: int, loss: float) -> Spike | None:
        """The spike whose state this point changes: it begins, comes back, or stays; None at all other points."""
        if self._open is None:
            z = self._level.z(loss)
            if z < _SPIKE_Z or loss < (1 + _SPIKE_RISE) * self._level.middle:
                self._level.add(loss)
                return None
            self._open = Spike(step, self._level.middle, loss, z)
            self.spikes.append(self._open)
            self._since.clear()
            self._points = 0
            return self._open
        return self._go_on(self._open, step, loss)

    def _go_on(self, spike: Spike, step: int, loss: float) -> Spike | None:
        spike.peak = max(spike.peak, loss)
        self._since.append(loss)
        self._points += 1
        if len(self._since) == _RECOVERED_OF and self._level.z(median(self._since)) < 2.0:
            spike.recovered_at = step
        elif self._points >= _PATIENCE:
            spike.stays = True
            self._level = Level(least_spread=0.01)
        else:
            return None
        self._open = None
        return spike


class ExplosionWatch:
    """Finds gradients that are again and again far longer than usual."""

    def __init__(self) -> None:
        self._level = Level(least_spread=0.05)
        self._recent = deque[bool](maxlen=_EXPLOSION_OF)

    def add(self, norm: float) -> float | None:
        """How many times longer than usual, when several of the last points were; None otherwise."""
        if norm <= 0:
            return None
        logarithm = math.log(norm)
        is_far = self._level.z(logarithm) > _SPIKE_Z and logarithm - self._level.middle > math.log(_EXPLOSION)
        self._recent.append(is_far)
        if not is_far:
            self._level.add(logarithm)
        if not is_far or sum(self._recent) < _EXPLOSIONS:
            return None
        times = math.exp(logarithm - self._level.middle)
        self._recent.clear()
        self._level = Level(least_spread=0.05)
        return times


class SpeedWatch:
    """Finds a training that became much slower than it was, and stays so."""

    def __init__(self) -> None:
        self._level = Level(least_spread=0.05)
        self._recent = deque[float](maxlen=_SLOW_OF)
        self._slow_since: float | None = None
        self._is_told = False

    def add(self, tokens_per_second: float, seconds: float) -> tuple[float, float] | None:
        """Usual and present speed, once the present one has been below half for long; `seconds` of training lie behind."""
        self._recent.append(tokens_per_second)
        now = median(self._recent)
        if len(self._recent) == _SLOW_OF and now < _SLOW * self._level.middle:
            self._slow_since = seconds if self._slow_since is None else self._slow_since
        elif not now < _NO_LONGER_SLOW * self._level.middle:
            self._slow_since, self._is_told = None, False
        if self._slow_since is None:
            if not tokens_per_second < _SLOW * self._level.middle:
                self._level.add(tokens_per_second)
            return None
        if self._is_told or seconds - self._slow_since < _SLOW_SECONDS:
            return None
        self._is_told = True
        return self._level.middle, now
