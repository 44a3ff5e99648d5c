"""A chart of curves and of what happened along them, as plain data that plotly.js draws.

Built as dictionaries, because the command line makes reports too and Plotly's Python library takes a second to import. Not here: live
curves (`llm_core.ui.live_plot`), the page around the chart (`standalone_page.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

from llm_core.figures.escaping import plotly_text

HEIGHT_PIXELS = 340
_MARK_SYMBOLS = {"checkpoint": "triangle-up", "resumed": "diamond", "health": "circle", "diverged": "x"}


class Curve(Protocol):
    """One line: what it is called, its points, how it is drawn."""

    @property
    def label(self) -> str:
        """Its name in the legend."""
        ...

    @property
    def x(self) -> Sequence[float]:
        """Where along the run."""
        ...

    @property
    def y(self) -> Sequence[float]:
        """The values; NaN is a gap."""
        ...

    @property
    def color(self) -> str:
        """#RRGGBB."""
        ...

    @property
    def dash(self) -> str:
        """Plotly's name of the dash."""
        ...

    @property
    def is_marked(self) -> bool:
        """Whether each point was measured for itself and is drawn as one."""
        ...


class Mark(Protocol):
    """Something that happened at a step."""

    @property
    def x(self) -> float:
        """Where along the run."""
        ...

    @property
    def kind(self) -> str:
        """What kind of thing, which chooses the sign."""
        ...

    @property
    def label(self) -> str:
        """What happened, in a sentence."""
        ...


def chart(curves: Sequence[Curve], marks: Sequence[Mark], *, x_label: str, y_label: str) -> dict[str, Any]:
    """Data, layout and configuration for `Plotly.newPlot`. Whatever a label holds is shown as text."""
    traces = [_trace(curve) for curve in curves]
    if marks:
        traces.append(_marks(marks))
    axis = {"zeroline": False, "automargin": True}
    layout = {
        "height": HEIGHT_PIXELS,
        "margin": {"t": 30, "r": 16, "b": 44, "l": 60},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hovermode": "x unified",
        "showlegend": len(curves) > 1,
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
        "xaxis": {**axis, "title": {"text": plotly_text(x_label)}, "showgrid": False, "rangemode": "tozero"},
        "yaxis": {**axis, "title": {"text": plotly_text(y_label)}},
        "yaxis2": {"overlaying": "y", "range": [0, 1], "fixedrange": True, "visible": False},
    }
    # Plotly's "Share chart" would send the curves to its makers.
    private = {"showSendToCloud": False, "plotlyServerURL": "", "displaylogo": False}
    config = {**private, "responsive": True, "modeBarButtonsToRemove": ["select2d", "lasso2d"]}
    return {"data": traces, "layout": layout, "config": config}


def _trace(curve: Curve) -> dict[str, Any]:
    label = plotly_text(curve.label)
    return {
        "type": "scatter",
        "name": label,
        "x": [_number(value) for value in curve.x],
        "y": [_number(value) for value in curve.y],
        "mode": "lines+markers" if curve.is_marked else "lines",
        "connectgaps": curve.is_marked,
        "line": {"color": curve.color, "width": 2, "dash": "dot" if curve.is_marked else curve.dash or "solid"},
        "marker": {"size": 6},
        "hovertemplate": f"%{{y:.4~g}}<extra>{label}</extra>",
    }


def _marks(marks: Sequence[Mark]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "x": [_number(mark.x) for mark in marks],
        "y": [0.015] * len(marks),
        "yaxis": "y2",
        "mode": "markers",
        "showlegend": False,
        "text": [plotly_text(mark.label) for mark in marks],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"symbol": [_MARK_SYMBOLS.get(mark.kind, "circle") for mark in marks], "size": 8, "color": "#7F7F7F"},
    }


def _number(value: float) -> float | int | None:
    return value if math.isfinite(value) else None
