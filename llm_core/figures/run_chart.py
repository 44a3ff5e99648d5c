"""A chart of curves and of what happened along them, as plain data that plotly.js draws.

Built as dictionaries, because the command line makes reports too and Plotly's Python library takes a second to import. A colour for
dark pages lies in the `meta` of a trace, where the page's script finds it. Not here: live curves (`llm_core.ui.live_plot`), the page
around the chart (`standalone_page.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

from llm_core.figures.escaping import plotly_text

HEIGHT_PIXELS = 340
_MARK_SYMBOLS = {"checkpoint": "triangle-up", "resumed": "diamond", "health": "circle", "diverged": "x"}
_AREA_OPACITY, _DARK_AREA_OPACITY, _FAINT_OPACITY = 0.25, 0.4, 0.45
_INK_OF_BOTH = "#7F7F7F"
"""Readable on a light and on a dark page."""


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
    def dark_color(self) -> str:
        """#RRGGBB on a dark page; empty for the same."""
        ...

    @property
    def dash(self) -> str:
        """Plotly's name of the dash."""
        ...

    @property
    def is_marked(self) -> bool:
        """Whether each point was measured for itself and is drawn as one."""
        ...

    @property
    def is_faint(self) -> bool:
        """Whether it stands behind the others, without a name."""
        ...


class Area(Protocol):
    """A pale stretch behind the curves."""

    @property
    def x(self) -> Sequence[float]:
        """Where along the run."""
        ...

    @property
    def low(self) -> Sequence[float]:
        """The lowest values; those that are no number are left out."""
        ...

    @property
    def high(self) -> Sequence[float]:
        """The highest values."""
        ...

    @property
    def color(self) -> str:
        """#RRGGBB."""
        ...

    @property
    def dark_color(self) -> str:
        """#RRGGBB on a dark page; empty for the same."""
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


class Level(Protocol):
    """A horizontal line to compare with."""

    @property
    def value(self) -> float:
        """In the unit of the axis."""
        ...

    @property
    def label(self) -> str:
        """What it means."""
        ...


class Chart(Protocol):
    """Curves that share an axis, and how the axes are written; formats are d3's, and empty leaves them to Plotly."""

    @property
    def curves(self) -> Sequence[Curve]:
        """Its lines."""
        ...

    @property
    def areas(self) -> Sequence[Area]:
        """What lies behind them."""
        ...

    @property
    def marks(self) -> Sequence[Mark]:
        """What happened along them."""
        ...

    @property
    def levels(self) -> Sequence[Level]:
        """What to compare with."""
        ...

    @property
    def x_label(self) -> str:
        """What the horizontal axis counts."""
        ...

    @property
    def y_label(self) -> str:
        """What the vertical axis counts, with its unit."""
        ...

    @property
    def is_log(self) -> bool:
        """Whether the vertical axis is logarithmic."""
        ...

    @property
    def decades(self) -> bool:
        """Label only powers of ten of a logarithmic axis."""
        ...

    @property
    def x_tick(self) -> str:
        """Format of the numbers along the horizontal axis."""
        ...

    @property
    def x_hover(self) -> str:
        """The same under the pointer."""
        ...

    @property
    def y_tick(self) -> str:
        """Format of the numbers along the vertical axis."""
        ...

    @property
    def y_hover(self) -> str:
        """The same under the pointer."""
        ...

    @property
    def y_suffix(self) -> str:
        """The unit behind those numbers."""
        ...


def chart(shown: Chart) -> dict[str, Any]:
    """Data, layout and configuration for `Plotly.newPlot`. Whatever a label holds is shown as text."""
    traces = [edge for area in shown.areas for edge in _area(area)]
    # What stands behind is drawn first.
    for curve in sorted(shown.curves, key=lambda curve: not curve.is_faint):
        traces.append(_trace(curve, shown.y_hover, shown.y_suffix))
    if shown.marks:
        traces.append(_marks(shown.marks))
    levels = [level for level in shown.levels if level.value > 0 or not shown.is_log]
    named = sum(not curve.is_faint for curve in shown.curves)
    axis = {"zeroline": False, "automargin": True}
    x_formats = {"tickformat": shown.x_tick, "hoverformat": shown.x_hover}
    layout = {
        "height": HEIGHT_PIXELS,
        "margin": {"t": 30, "r": 16, "b": 44, "l": 60},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hovermode": "x unified",
        "showlegend": named > 1,
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "traceorder": "normal"},
        "shapes": [_line(level) for level in levels],
        "annotations": [_name(level, is_log=shown.is_log) for level in levels],
        "xaxis": {
            **axis,
            "title": {"text": plotly_text(shown.x_label)},
            "showgrid": False,
            "rangemode": "tozero",
            **x_formats,
        },
        "yaxis": {
            **axis,
            "title": {"text": plotly_text(shown.y_label), "standoff": 10},
            "type": "log" if shown.is_log else "linear",
            "tickformat": shown.y_tick,
            "ticksuffix": plotly_text(shown.y_suffix),
            **({"dtick": 1} if shown.is_log and shown.decades else {}),
        },
        "yaxis2": {"overlaying": "y", "range": [0, 1], "fixedrange": True, "visible": False},
    }
    # Plotly's "Share chart" would send the curves to its makers.
    private = {"showSendToCloud": False, "plotlyServerURL": "", "displaylogo": False}
    config = {**private, "responsive": True, "modeBarButtonsToRemove": ["select2d", "lasso2d"]}
    return {"data": traces, "layout": layout, "config": config}


def _trace(curve: Curve, hover: str, suffix: str) -> dict[str, Any]:
    label = plotly_text(curve.label)
    return {
        "type": "scatter",
        "name": label,
        "x": [_number(value) for value in curve.x],
        "y": [_number(value) for value in curve.y],
        "mode": "lines+markers" if curve.is_marked and not curve.is_faint else "lines",
        "connectgaps": curve.is_marked,
        "line": {"color": curve.color, "width": 2, "dash": "dot" if curve.is_marked else curve.dash or "solid"},
        "marker": {"size": 6, "color": curve.color},
        **({"meta": {"dark": curve.dark_color}} if curve.dark_color else {}),
        **(
            {"opacity": _FAINT_OPACITY, "showlegend": False, "hoverinfo": "skip"}
            if curve.is_faint
            else {"hovertemplate": f"%{{y:{hover}}}{plotly_text(suffix)}<extra>{label}</extra>"}
        ),
    }


def _area(area: Area) -> list[dict[str, Any]]:
    """Its lower edge, and its upper one with what lies between. Gaps are bridged: a fill between lines with gaps comes out wrong."""
    kept = [
        place for place, edges in enumerate(zip(area.low, area.high, strict=True)) if all(map(math.isfinite, edges))
    ]
    shade = _tinted(area.color, _AREA_OPACITY)
    edge: dict[str, Any] = {
        "type": "scatter",
        "x": [area.x[place] for place in kept],
        "mode": "lines",
        "line": {"width": 1, "color": shade},
        "meta": {"dark": _tinted(area.dark_color or area.color, _DARK_AREA_OPACITY)},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    low, high = ([side[place] for place in kept] for side in (area.low, area.high))
    return [{**edge, "y": low}, {**edge, "y": high, "fill": "tonexty", "fillcolor": shade}]


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
        "marker": {
            "symbol": [_MARK_SYMBOLS.get(mark.kind, "circle") for mark in marks],
            "size": 8,
            "color": _INK_OF_BOTH,
        },
    }


def _line(level: Level) -> dict[str, Any]:
    line = {"color": _INK_OF_BOTH, "width": 1, "dash": "dot"}
    where = {"xref": "paper", "x0": 0, "x1": 1, "y0": level.value, "y1": level.value}
    return {"type": "line", "layer": "below", "line": line, **where}


def _name(level: Level, *, is_log: bool) -> dict[str, Any]:
    """A logarithmic axis takes the places of notes as logarithms, and those of lines as they are."""
    place = math.log10(level.value) if is_log else level.value
    where = {"xref": "paper", "x": 1, "xanchor": "right", "y": place, "yanchor": "bottom"}
    return {**where, "showarrow": False, "text": plotly_text(level.label), "font": {"size": 11}}


def _tinted(color: str, opacity: float) -> str:
    red, green, blue = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def _number(value: float) -> float | int | None:
    return value if math.isfinite(value) else None
