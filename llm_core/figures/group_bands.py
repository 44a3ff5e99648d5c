"""Groups of curves as one line each: the mean, and a band from the lowest to the highest.

Plain arrays in, figure out. Not here: the arithmetic (`llm_core.backend.mean_curves`), live curves (`llm_core.ui.live_plot`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from llm_core.figures.escaping import plotly_text

_INK = {False: "#1F2328", True: "#E6E4DE"}
# The ground of the page, so that a saved picture can be read on any paper.
_GROUND = {False: "#FBFAF7", True: "#14171A"}
_GRID = {False: "#DDD9CF", True: "#33383D"}
_BAND_OPACITY = {False: 0.18, True: 0.3}
_COLORS = {
    False: ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B87F00", "#56B4E9"),
    True: ("#56B4E9", "#F0804A", "#2EBE93", "#DE8FC0", "#F2B23A", "#D9CE5A"),
}
_LONG = 100_000  # from here on ticks are written 200k, 1M
_DASHES = ("solid", "dash", "dot")


@dataclass(frozen=True)
class Band:
    """One group. All arrays are equally long."""

    label: str
    x: npt.ArrayLike
    mean: npt.ArrayLike
    low: npt.ArrayLike
    high: npt.ArrayLike
    count: int
    """How many curves it stands for."""


def group_bands(bands: Sequence[Band], *, x_title: str, y_title: str, dark: bool, height: int = 400) -> go.Figure:
    """The lines, named in a legend above that wraps on a narrow screen."""
    figure = go.Figure()
    for number, band in enumerate(bands):
        colors = _COLORS[dark]
        color, dash = colors[number % len(colors)], _DASHES[number // len(colors) % len(_DASHES)]
        x = np.asarray(band.x)
        if band.count > 1:
            around = np.concatenate([x, x[::-1]])
            edge = np.concatenate([np.asarray(band.high), np.asarray(band.low)[::-1]])
            shade = {"fill": "toself", "fillcolor": _tinted(color, _BAND_OPACITY[dark]), "line": {"width": 0}}
            figure.add_trace(go.Scatter(x=around, y=edge, mode="lines", hoverinfo="skip", showlegend=False, **shade))
        name = plotly_text(band.label)
        runs = f"{band.count} runs" if band.count > 1 else "1 run"
        figure.add_trace(
            go.Scatter(
                x=x,
                y=np.asarray(band.mean),
                name=f"{name} ({runs})",
                mode="lines" if len(x) > 1 else "markers",
                line={"color": color, "width": 2, "dash": dash},
                marker={"color": color, "size": 8},
                hovertemplate=f"%{{y:.4~g}}<extra>{name}</extra>",
            )
        )
    longest = max((float(np.max(band.x)) for band in bands if len(np.asarray(band.x))), default=0.0)
    figure.update_xaxes(
        title=plotly_text(x_title),
        showgrid=False,
        zeroline=False,
        rangemode="tozero",
        tickformat="~s" if longest >= _LONG else ",",
        automargin=True,
    )
    figure.update_yaxes(title=plotly_text(y_title), gridcolor=_GRID[dark], zeroline=False, automargin=True)
    return figure.update_layout(
        height=height,
        margin={"t": 10, "r": 10, "b": 10, "l": 10},
        paper_bgcolor=_GROUND[dark],
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "Inter, 'Source Sans', sans-serif", "color": _INK[dark], "size": 12},
        hovermode="x unified",
        hoverlabel={"bgcolor": "#FFFFFF" if not dark else "#1B1F23", "font": {"color": _INK[dark]}},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "traceorder": "normal"},
        showlegend=True,
        dragmode=False,
    )


def _tinted(color: str, opacity: float) -> str:
    red, green, blue = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"
