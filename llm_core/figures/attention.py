"""Attention as pictures: all heads at a glance, one head exactly, where one token looks, influence, hidden units.

Arrays in, figure out; token strings are data and are escaped. Not here: the numbers (`llm_core.inspection`).

Axes: L layers, H heads, T tokens that look (or places of a thumbnail), S tokens looked at, U units.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from llm_core.figures.escaping import plotly_text

Array = npt.NDArray[np.floating]
# The colours run with the square root of a weight: faint ones can be seen, and rows of long texts do not look empty.
_SEQUENTIAL = {
    False: [[0, "#FBFAF7"], [0.0625, "#C3DAEC"], [0.25, "#5B9BD0"], [0.5625, "#1F5FA3"], [1, "#08306B"]],
    True: [[0, "#14171A"], [0.0625, "#1D4159"], [0.25, "#2C6E9E"], [0.5625, "#5AA3D0"], [1, "#8FD3FF"]],
}
_DIVERGING = {
    False: [[0, "#D55E00"], [0.5, "#FBFAF7"], [1, "#0072B2"]],
    True: [[0, "#F0804A"], [0.5, "#14171A"], [1, "#56B4E9"]],
}
_INK = {False: "#1F2328", True: "#E6E4DE"}
_GRID = {False: "#DDD9CF", True: "#33383D"}
_FAINT = {False: "#B9B2A2", True: "#59626B"}
_CROWDED = 12
_LONG_CHARACTERS = 4


def drawn(token: str) -> str:
    """A token on one line, its white space drawn."""
    return token.replace(" ", "·").replace("\n", "⏎").replace("\r", "␍").replace("\t", "⇥") or "∅"


def axis_labels(tokens: Sequence[str]) -> list[str]:
    """Token strings that can stand on an axis: white space drawn, markup escaped, repeats kept apart by an invisible mark."""
    return [plotly_text(drawn(token)) + "\u200c" * index for index, token in enumerate(tokens)]


def overview(thumbnails_LHTS: Array, *, dark: bool) -> go.Figure:
    """Every head as a thumbnail, layers down and heads across, in one picture. Clicking a head gives its layer and number.

    A thumbnail of more columns than rows is drawn as a square too. A heatmap gives no clicks in Streamlit, so an invisible marker lies
    over the middle of each.
    """
    layers, heads, rows, columns = thumbnails_LHTS.shape
    pitch_down, pitch_across = (side + max(1, round(side / 16)) for side in (rows, columns))
    height, width = (layers - 1) * pitch_down + rows, (heads - 1) * pitch_across + columns
    stitched = np.full((height, width), np.nan, dtype=np.float32)
    for layer in range(layers):
        for head in range(heads):
            top, left = layer * pitch_down, head * pitch_across
            stitched[top : top + rows, left : left + columns] = thumbnails_LHTS[layer, head]
    figure = go.Figure(
        go.Heatmap(
            z=stitched,
            zmin=0,
            zmax=1,
            colorscale=_SEQUENTIAL[dark],
            showscale=False,
            hoverinfo="skip",
            hoverongaps=False,
        )
    )
    down = (np.arange(layers) * pitch_down + (rows - 1) / 2).astype(np.float32)
    across = (np.arange(heads) * pitch_across + (columns - 1) / 2).astype(np.float32)
    places = [(layer, head) for layer in range(layers) for head in range(heads)]
    invisible = {"marker": {"opacity": 0}}
    figure.add_trace(
        go.Scatter(
            x=[across[head] for _, head in places],
            y=[down[layer] for layer, _ in places],
            mode="markers",
            marker={"size": max(14, min(80, 280 // heads)), "opacity": 0, "symbol": "square"},
            selected=invisible,
            unselected=invisible,
            customdata=[list(place) for place in places],
            hovertemplate="layer %{customdata[0]} · head %{customdata[1]}<extra></extra>",
            showlegend=False,
        )
    )
    for update, name, centre in ((figure.update_xaxes, "head", across), (figure.update_yaxes, "layer", down)):
        update(
            title={"text": name, "standoff": 6},
            tickvals=centre,
            ticktext=[str(index) for index in range(len(centre))],
            ticks="",
            showgrid=False,
            zeroline=False,
            constrain="domain",
        )
    figure.update_xaxes(side="top", range=[-0.5, width - 0.5])
    # As many units of height as of width for a thumbnail, whatever its shape.
    ratio = pitch_across / pitch_down
    figure.update_yaxes(range=[height - 0.5, -0.5], scaleanchor="x", scaleratio=ratio, constraintoward="top")
    _plain(figure, dark, height=max(200, min(640, 290 * layers // heads + 50)))
    return figure.update_layout(plot_bgcolor=_GRID[dark])


def token_map(
    weights_TS: Array,
    visible_TS: npt.NDArray[np.bool_],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    dark: bool,
    numbers: Sequence[int],
    verb: str = "looks at",
    titles: tuple[str, str] = ("", ""),
    divided_at: int | None = None,
) -> go.Figure:
    """One map exactly, tokens on both axes; what a token cannot look at is left empty. Also for influence maps.

    Args:
        numbers: of the columns in their text, of which only a window may be shown.
        titles: of the rows and of the columns, where they are two texts.
        divided_at: the column before which a line is drawn, where the columns are two texts in a row.
    """
    row_labels, column_labels = axis_labels(rows), axis_labels(columns)
    values = np.where(visible_TS, weights_TS, np.nan).astype(np.float32)
    figure = go.Figure(
        go.Heatmap(
            z=values,
            x=column_labels,
            y=row_labels,
            customdata=np.broadcast_to(np.asarray(numbers), values.shape),
            zmin=0,
            zmax=1,
            colorscale=_SEQUENTIAL[dark],
            hoverongaps=False,
            hovertemplate="“%{y}” " + plotly_text(verb) + " “%{x}” (token %{customdata}): %{z:.3f}<extra></extra>",
            colorbar={"thickness": 10, "outlinewidth": 0, "tickvals": [0, 0.1, 0.25, 0.5, 1]},
        )
    )
    figure.update_xaxes(side="top", tickangle=-60 if _is_wide(columns) else 0, tickvals=column_labels)
    figure.update_yaxes(autorange="reversed", tickvals=row_labels)
    for update, title in ((figure.update_yaxes, titles[0]), (figure.update_xaxes, titles[1])):
        update(showgrid=False, zeroline=False, ticks="", tickmode="array", tickfont={"size": 11})
        if title:
            update(title={"text": plotly_text(title), "standoff": 6})
    if divided_at is not None:
        figure.add_vline(x=divided_at - 0.5, line={"width": 1, "color": _FAINT[dark]})
    return _plain(figure, dark, height=max(min(340, 30 * len(rows) + 90), 12 * len(rows) + 90))


def looks_from(rows_HT: Array, tokens: Sequence[str], head: int, *, dark: bool) -> go.Figure:
    """Bars for each head of a layer: how one token's attention is shared among the tokens it may see.

    Args:
        head: the one that stands out.
    """
    heads = len(rows_HT)
    labels = axis_labels(tokens)
    figure = make_subplots(rows=heads, cols=1, shared_xaxes=True, vertical_spacing=0.25 / max(heads, 2))
    accent = _SEQUENTIAL[dark][3][1]
    for index in range(heads):
        figure.add_trace(
            go.Bar(
                x=labels,
                y=rows_HT[index].astype(np.float32),
                marker={"color": accent if index == head else _FAINT[dark]},
                hovertemplate=f"head {index} looks at “%{{x}}”: %{{y:.3f}}<extra></extra>",
            ),
            row=index + 1,
            col=1,
        )
    figure.update_xaxes(showgrid=False, tickangle=-60 if _is_wide(tokens) else 0, tickmode="array", tickvals=labels)
    figure.update_yaxes(range=[0, 1], tickvals=[0, 1], gridcolor=_GRID[dark], zeroline=False)
    for index in range(heads):
        name = f"<b>head {index}</b>" if index == head else f"head {index}"
        figure.update_yaxes(title={"text": name, "standoff": 4}, row=index + 1, col=1)
    figure.update_layout(showlegend=False, bargap=0.15)
    return _plain(figure, dark, height=40 + (180 if heads == 1 else max(64 * heads, 130)))


def moved_by(row_T: Array, tokens: Sequence[str], *, dark: bool) -> go.Figure:
    """Bars: how much each token moves one prediction."""
    labels = axis_labels(tokens)
    figure = go.Figure(
        go.Bar(
            x=labels,
            y=row_T.astype(np.float32),
            marker={"color": _SEQUENTIAL[dark][3][1]},
            hovertemplate="“%{x}”: %{y:.3f}<extra></extra>",
        )
    )
    figure.update_xaxes(showgrid=False, tickangle=-60 if _is_wide(tokens) else 0, tickmode="array", tickvals=labels)
    figure.update_yaxes(title="share of influence", rangemode="tozero", gridcolor=_GRID[dark])
    return _plain(figure, dark, height=240)


def unit_map(states_TU: Array, tokens: Sequence[str], units: Sequence[int], *, dark: bool) -> go.Figure:
    """Hidden units down, the text across; vermilion is negative, blue is positive."""
    chosen = states_TU[:, list(units)].T.astype(np.float32)
    labels = axis_labels(tokens)
    limit = max(1.0, float(np.abs(chosen).max(initial=0)))  # units without a squashing nonlinearity go beyond 1
    figure = go.Figure(
        go.Heatmap(
            z=chosen,
            x=labels,
            y=[f"unit {unit}" for unit in units],
            zmin=-limit,
            zmax=limit,
            colorscale=_DIVERGING[dark],
            hovertemplate="%{y} after “%{x}”: %{z:.3f}<extra></extra>",
            colorbar={"thickness": 10, "outlinewidth": 0, "tickvals": [-limit, 0, limit], "tickformat": ".3~g"},
        )
    )
    figure.update_xaxes(
        side="top", tickangle=-60 if _is_wide(tokens) else 0, ticks="", tickmode="array", tickvals=labels
    )
    figure.update_yaxes(autorange="reversed", ticks="", tickmode="array", tickvals=[f"unit {unit}" for unit in units])
    return _plain(figure, dark, height=max(160, min(720, 18 * len(units) + 90)))


def _is_wide(tokens: Sequence[str]) -> bool:
    """Whether the tokens side by side need more room than an axis has."""
    if len(tokens) <= _CROWDED:
        return False
    return sum(map(len, tokens)) > 3 * len(tokens) / 2 or max(map(len, tokens)) > _LONG_CHARACTERS


def _plain(figure: go.Figure, dark: bool, height: int) -> go.Figure:
    return figure.update_layout(
        height=height,
        margin={"t": 10, "r": 10, "b": 10, "l": 10},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": _INK[dark], "size": 12},
        dragmode=False,
    )
