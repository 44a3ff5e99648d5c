"""A curve the size of a word, as an SVG picture: cheap enough for every row of a list.

Numbers in, text out. Not here: curves that are read off (`llm_core.ui.live_plot`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_HEX = re.compile("#[0-9a-fA-F]{6}")
_GREY = "#7F7F7F"


def sparkline(values: Sequence[float], color: str, *, width: int = 120, height: int = 32) -> str:
    """The values from left to right between their lowest and highest, as SVG; a flat line where they are all equal.

    Args:
        values: finite numbers, at least one.
        color: #RRGGBB; grey for anything else.
    """
    assert values, "a sparkline of nothing"
    color = color if _HEX.fullmatch(color) else _GREY
    low, high = min(values), max(values)
    span, room = (high - low) or 1.0, height - 4
    step = (width - 4) / max(1, len(values) - 1)
    points = [(2 + index * step, 2 + room * (high - value) / span) for index, value in enumerate(values)]
    if high == low:
        points = [(2, height / 2), (width - 2, height / 2)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    last_x, last_y = points[-1]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
        f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="1.75" stroke-linejoin="round"/>'
        f'<circle cx="{last_x:.1f}" cy="{last_y:.1f}" r="2.25" fill="{color}"/></svg>'
    )
