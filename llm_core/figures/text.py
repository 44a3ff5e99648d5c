"""Pictures of a text's numbers: how long its documents or lines are.

Not here: what is counted (`llm_core.text.statistics`), small pictures of runs (`curves.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from llm_core.figures.escaping import plotly_text

_ACCENT = {False: "#0072B2", True: "#56B4E9"}
_INK = {False: "#1F2328", True: "#E6E4DE"}
_GRID = {False: "#DDD9CF", True: "#33383D"}


def length_histogram(edges: Sequence[int], counts: Sequence[int], *, unit: str, dark: bool) -> go.Figure:
    """How many documents or lines have which length.

    Args:
        edges: bin i holds lengths from edges[i] to edges[i + 1] - 1; one more than `counts`.
        unit: `characters per document`, say; its last word is what is counted.
    """
    unit = plotly_text(unit)
    what = unit.rpartition(" ")[2]
    labels = [_range(edges[index], edges[index + 1] - 1) for index in range(len(counts))]
    figure = go.Figure(
        go.Bar(
            x=labels,
            y=list(counts),
            marker={"color": _ACCENT[dark]},
            hovertemplate=f"%{{x}} characters: %{{y:,}} {what}s<extra></extra>",
        )
    )
    figure.update_xaxes(title=unit, type="category", fixedrange=True)
    figure.update_yaxes(title=f"{what}s", gridcolor=_GRID[dark], fixedrange=True, separatethousands=True)
    return _plain(figure, dark, 260)


def _range(first: int, last: int) -> str:
    return f"{first:,}" if first == last else f"{first:,} to {last:,}"


def _plain(figure: go.Figure, dark: bool, height: int) -> go.Figure:
    return figure.update_layout(
        height=height,
        margin={"t": 10, "r": 10, "b": 10, "l": 10},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": _INK[dark], "size": 12},
        dragmode=False,
        bargap=0.15,
    )
