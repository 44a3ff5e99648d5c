"""Where runs come from: one line a run along its steps, branching off its parent at the step it was forked from.

Plain values in, a figure out. Not here: reading lineages (`llm_core.ui.lineage_view`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from llm_core.figures.escaping import plotly_text

ROW_PIXELS, FRAME_PIXELS = 34, 60
_INK = {False: "#1F2328", True: "#E6E4DE"}
_FAINT = {False: "#C9C3B5", True: "#4A5158"}


@dataclass(frozen=True)
class Branch:
    """One run of a family, parents before their forks."""

    name: str
    color: str
    first_step: int
    last_step: int
    parent: int | None
    """Place of the parent in the list; None for a run that began from nothing, or whose parent is gone."""
    abandoned: tuple[tuple[int, int], ...] = ()
    """Stretches that a roll-back gave up, from the step gone back to, to the step it had come to."""
    is_shown: bool = False
    """The run whose page this is."""


def lineage(branches: Sequence[Branch], *, dark: bool) -> go.Figure:
    """A family of runs, the first at the top."""
    figure = go.Figure()
    for row, branch in enumerate(branches):
        name = plotly_text(branch.name)
        if branch.parent is not None:
            _line(figure, (branch.first_step, branch.first_step), (branch.parent, row), branch.color, 1.5, "dot", "")
        said = f"{name}: steps {branch.first_step:,} to {branch.last_step:,}"
        width = 4.0 if branch.is_shown else 2.0
        _line(figure, (branch.first_step, branch.last_step), (row, row), branch.color, width, "solid", said)
        for start, end in branch.abandoned:
            gone = f"{name}: steps {start:,} to {end:,} were abandoned"
            _line(figure, (start, end), (row + 0.28, row + 0.28), _FAINT[dark], 2.0, "dot", gone)
        figure.add_annotation(
            x=branch.last_step, y=row, text=f"<b>{name}</b>" if branch.is_shown else name, showarrow=False,
            xanchor="left", xshift=8, font={"color": _INK[dark], "size": 12},
        )  # fmt: skip
    longest = max((len(branch.name) for branch in branches), default=0)
    figure.update_xaxes(
        title="step", tickformat=",", showgrid=False, zeroline=False, rangemode="tozero", automargin=True
    )
    figure.update_yaxes(visible=False, range=[len(branches) - 0.4, -0.6])
    return figure.update_layout(
        height=FRAME_PIXELS + ROW_PIXELS * max(2, len(branches)),
        margin={"l": 16, "r": min(240, 24 + 7 * longest), "t": 8, "b": 40},
        showlegend=False,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": _INK[dark]},
    )


def _line(
    figure: go.Figure,
    x: tuple[float, float],
    y: tuple[float, float],
    color: str,
    width: float,
    dash: str,
    said: str,
) -> None:
    figure.add_trace(
        go.Scatter(
            x=list(x),
            y=list(y),
            mode="lines",
            line={"color": color, "width": width, "dash": dash},
            hovertemplate=f"{said}<extra></extra>" if said else None,
            hoverinfo=None if said else "skip",
        )
    )
