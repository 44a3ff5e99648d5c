"""Small pictures of numbers: the learning-rate schedule, candidates before and after the cuts.

Not here: live curves (`llm_core.ui.live_plot`), attention (`attention.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from llm_core.figures.attention import axis_labels

_ACCENT = {False: "#0072B2", True: "#56B4E9"}
_FAINT = {False: "#C9C3B5", True: "#4A5158"}
_INK = {False: "#1F2328", True: "#E6E4DE"}


def schedule(steps: Sequence[int], rates: Sequence[float], *, dark: bool) -> go.Figure:
    """The learning rate over the run."""
    figure = go.Figure(
        go.Scatter(
            x=np.asarray(steps, dtype=np.int64),
            y=np.asarray(rates, dtype=np.float64),
            mode="lines",
            line={"color": _ACCENT[dark], "width": 2},
            hovertemplate="step %{x:,}: %{y:.2e}<extra></extra>",
        )
    )
    figure.update_xaxes(
        showgrid=False, nticks=4, tickformat=",", ticksuffix=" steps", tickangle=0, zeroline=False, automargin=True
    )
    figure.update_yaxes(
        rangemode="tozero", nticks=4, tickformat="~g", gridcolor=_FAINT[dark], zeroline=False, automargin=True
    )
    return _plain(figure, dark, 130)


def candidates(texts: Sequence[str], before: Sequence[float], after: Sequence[float], *, dark: bool) -> go.Figure:
    """Next-token probabilities as the model gives them, and after temperature and cuts."""
    labels = axis_labels(texts)
    figure = go.Figure()
    figure.add_trace(
        go.Bar(name="model", x=labels, y=np.asarray(before, dtype=np.float32), marker={"color": _FAINT[dark]})
    )
    figure.add_trace(
        go.Bar(
            name="with these settings", x=labels, y=np.asarray(after, dtype=np.float32), marker={"color": _ACCENT[dark]}
        )
    )
    figure.update_traces(hovertemplate="“%{x}”: %{y:.3f}<extra>%{fullData.name}</extra>")
    figure.update_layout(barmode="group", legend={"orientation": "h", "y": 1.25}, bargap=0.25)
    figure.update_yaxes(title="probability", rangemode="tozero")
    return _plain(figure, dark, 240)


def _plain(figure: go.Figure, dark: bool, height: int) -> go.Figure:
    return figure.update_layout(
        height=height,
        margin={"t": 10, "r": 10, "b": 10, "l": 10},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": _INK[dark], "size": 12},
        dragmode=False,
    )
