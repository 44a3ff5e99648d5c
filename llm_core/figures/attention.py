"""Attention as pictures: all heads at a glance, one head exactly, where one token looks, influence, hidden units.

Arrays in, figure out; token strings are data and are escaped. Not here: the numbers (`llm_core.inspection`).

Axes: L layers, H heads, T tokens, U units.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

Array = npt.NDArray[np.floating]
LARGEST_THUMBNAIL = 48

_SEQUENTIAL = {
    False: [[0, "#FBFAF7"], [0.5, "#5B9BD0"], [1, "#08306B"]],
    True: [[0, "#14171A"], [0.5, "#2C6E9E"], [1, "#8FD3FF"]],
}
_DIVERGING = {
    False: [[0, "#D55E00"], [0.5, "#FBFAF7"], [1, "#0072B2"]],
    True: [[0, "#F0804A"], [0.5, "#14171A"], [1, "#56B4E9"]],
}
_INK = {False: "#1F2328", True: "#E6E4DE"}


def axis_labels(tokens: Sequence[str]) -> list[str]:
    """Token strings that can stand on an axis: white space drawn, markup escaped, repeats kept apart by an invisible mark."""
    drawn = [token.replace(" ", "·").replace("\n", "⏎").replace("\t", "⇥") or "∅" for token in tokens]
    return [html.escape(text).replace("$", "&#36;") + "\u200c" * index for index, text in enumerate(drawn)]


def overview(weights_LHTT: Array, *, dark: bool) -> go.Figure:
    """Every head as a thumbnail, layers down and heads across, in one picture. Clicking a head gives its layer and number.

    A heatmap gives no clicks in Streamlit, so an invisible marker lies over the middle of each thumbnail.
    """
    layers, heads = weights_LHTT.shape[:2]
    small = pooled(weights_LHTT, LARGEST_THUMBNAIL)
    side = small.shape[-1]
    stitched = np.full((layers * (side + 1) - 1, heads * (side + 1) - 1), np.nan, dtype=np.float32)
    for layer in range(layers):
        for head in range(heads):
            top, left = layer * (side + 1), head * (side + 1)
            # The square root lets faint weights be seen; rows of long texts would look empty otherwise.
            stitched[top : top + side, left : left + side] = np.sqrt(small[layer, head])
    figure = go.Figure(
        go.Heatmap(z=stitched, zmin=0, zmax=1, colorscale=_SEQUENTIAL[dark], showscale=False, hoverinfo="skip")
    )
    centre = (np.arange(max(layers, heads)) * (side + 1) + (side - 1) / 2).astype(np.float32)
    places = [(layer, head) for layer in range(layers) for head in range(heads)]
    figure.add_trace(
        go.Scatter(
            x=[centre[head] for _, head in places],
            y=[centre[layer] for layer, _ in places],
            mode="markers",
            marker={"size": max(12, min(60, 300 // max(layers, heads))), "opacity": 0, "symbol": "square"},
            customdata=[list(place) for place in places],
            hovertemplate="layer %{customdata[0]} · head %{customdata[1]}<extra></extra>",
            showlegend=False,
        )
    )
    figure.update_xaxes(
        tickvals=centre[:heads],
        ticktext=[f"head {head}" for head in range(heads)],
        side="top",
        showgrid=False,
        zeroline=False,
    )
    figure.update_yaxes(
        tickvals=centre[:layers],
        ticktext=[f"layer {layer}" for layer in range(layers)],
        autorange="reversed",
        showgrid=False,
        zeroline=False,
        scaleanchor="x",
    )
    return _plain(figure, dark, height=max(220, min(640, 90 * layers + 60)))


def pooled(weights: Array, longest: int) -> Array:
    """The last two axes brought to at most `longest` by taking the largest of each block: a mean would hide stripes."""
    length = weights.shape[-1]
    if length <= longest:
        return weights
    block = -(-length // longest)
    padding = -length % block
    padded = np.pad(weights, [(0, 0)] * (weights.ndim - 2) + [(0, padding), (0, padding)])
    blocks = padded.reshape(*weights.shape[:-2], padded.shape[-2] // block, block, padded.shape[-1] // block, block)
    return blocks.max(axis=(-3, -1))


def token_map(weights_TT: Array, tokens: Sequence[str], *, dark: bool, verb: str = "looks at") -> go.Figure:
    """One map exactly, tokens on both axes; what lies above the diagonal is left empty. Also for influence maps."""
    labels = axis_labels(tokens)
    values = np.where(np.tril(np.ones_like(weights_TT, dtype=bool)), weights_TT, np.nan).astype(np.float32)
    figure = go.Figure(
        go.Heatmap(
            z=values,
            x=labels,
            y=labels,
            zmin=0,
            zmax=float(np.nanmax(values)) if values.size else 1.0,
            colorscale=_SEQUENTIAL[dark],
            hoverongaps=False,
            hovertemplate="“%{y}” " + verb + " “%{x}”: %{z:.3f}<extra></extra>",
            colorbar={"thickness": 10, "outlinewidth": 0},
        )
    )
    figure.update_xaxes(side="top", tickangle=-60 if len(tokens) > 12 else 0, showgrid=False)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return _plain(figure, dark, height=max(360, min(720, 14 * len(tokens) + 140)))


def looks_from(row_T: Array, tokens: Sequence[str], *, dark: bool, color: str) -> go.Figure:
    """Bars: how one token's attention is shared among the tokens it may see."""
    figure = go.Figure(
        go.Bar(
            x=axis_labels(tokens),
            y=row_T.astype(np.float32),
            marker={"color": color},
            hovertemplate="“%{x}”: %{y:.3f}<extra></extra>",
        )
    )
    figure.update_yaxes(range=[0, 1], title="share of attention")
    return _plain(figure, dark, height=260)


def unit_map(states_TU: Array, tokens: Sequence[str], units: Sequence[int], *, dark: bool) -> go.Figure:
    """Hidden units down, the text across; vermilion is negative, blue is positive."""
    chosen = states_TU[:, list(units)].T.astype(np.float32)
    reach = float(np.abs(chosen).max()) if chosen.size else 1.0
    figure = go.Figure(
        go.Heatmap(
            z=chosen,
            x=axis_labels(tokens),
            y=[f"unit {unit}" for unit in units],
            zmin=-reach,
            zmax=reach,
            colorscale=_DIVERGING[dark],
            hovertemplate="%{y} after “%{x}”: %{z:.3f}<extra></extra>",
            colorbar={"thickness": 10, "outlinewidth": 0},
        )
    )
    figure.update_xaxes(side="top", tickangle=-60 if len(tokens) > 12 else 0)
    figure.update_yaxes(autorange="reversed")
    return _plain(figure, dark, height=max(320, min(720, 16 * len(units) + 120)))


def _plain(figure: go.Figure, dark: bool, height: int) -> go.Figure:
    return figure.update_layout(
        height=height,
        margin={"t": 40, "r": 10, "b": 10, "l": 10},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": _INK[dark], "size": 12},
        dragmode=False,
    )
