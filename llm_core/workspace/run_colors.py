"""The colour and dash of a run's curve, chosen once when the run is created and the same on every page.

The hues are Okabe and Ito's (2008), which people with the common kinds of colour blindness can tell apart; the light ones
are darkened and black is a grey, so that each has a contrast of at least 3:1 on white and on a dark ground.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

COLORS = ("#0072B2", "#D55E00", "#009E73", "#C8749F", "#B87F00", "#3A8FC7", "#948A00", "#7F7F7F")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


def next_style(used: Iterable[tuple[str, str]]) -> tuple[str, str]:
    """The first (colour, dash) that the fewest of the existing runs have; all eight colours come before the next dash."""
    counts = Counter(used)
    return min(((color, dash) for dash in DASHES for color in COLORS), key=lambda style: counts[style])
