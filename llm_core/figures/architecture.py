"""A network as a block diagram: what follows what, how wide it is, and where its parameters are.

Plain blocks in, figure out; the same picture serves every family. Not here: what the blocks of a configuration are
(`llm_core.ui.network`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import plotly.graph_objects as go

from llm_core.figures.escaping import plotly_text
from llm_core.quantities import large

Part = Literal["embedding", "attention", "cross", "feed-forward", "recurrent", "counts", "head"]

_COLORS: dict[Part, str] = {
    "embedding": "#0072B2",
    "attention": "#D55E00",
    "cross": "#56B4E9",
    "feed-forward": "#009E73",
    "recurrent": "#CC79A7",
    "counts": "#0072B2",
    "head": "#B87F00",
}
_INK = {False: "#1F2328", True: "#E6E4DE"}
_FAINT = {False: "#6B6F76", True: "#A5A29A"}
_LINE = {False: "#C9C3B5", True: "#4A5158"}
_BLOCK_PIXELS, _GAP_PIXELS, _END_PIXELS = 42, 14, 20


@dataclass(frozen=True)
class Block:
    """One box. `parameters` of all its repetitions together; a tied head has none and says so in `detail`."""

    part: Part
    title: str
    detail: str
    parameters: int


@dataclass(frozen=True)
class Stage:
    """Boxes that stand on top of each other, `repeats` times; 0 stands for boxes that are there once."""

    blocks: Sequence[Block]
    repeats: int = 0
    carries_state: bool = False
    """Whether the boxes hand something on to the next token."""
    reads: str = ""
    """What goes into the first box, in words, where it is not plain."""


@dataclass(frozen=True)
class Network:
    """Stages in the order a token passes them."""

    stages: Sequence[Stage]
    source: str
    """What goes in, in words."""
    outcome: str
    """What comes out, in words."""


def describe(network: Network) -> str:
    """The diagram in one sentence, for those who cannot see it."""
    names: list[str] = []
    for stage in network.stages:
        often = f"{stage.repeats} times " if stage.repeats else ""
        words = f"{stage.reads}, then " if stage.reads else ""
        names.append(words + often + " and ".join(f"{block.title} ({block.detail})" for block in stage.blocks))
    return f"{network.source}, then " + ", then ".join(names) + f", then {network.outcome}."


def architecture(network: Network, *, dark: bool) -> go.Figure:
    """The diagram, top to bottom, each box with its share of all parameters as a tinted bar."""
    total = sum(block.parameters for stage in network.stages for block in stage.blocks) or 1
    figure = go.Figure()
    y = _end(figure, network.source, 0.0, dark)
    for stage in network.stages:
        if stage.reads:
            y = _end(figure, stage.reads, _arrow(figure, y, dark), dark)
        top = y + _GAP_PIXELS
        for block in stage.blocks:
            y = _box(figure, block, total, _arrow(figure, y, dark), dark)
        if stage.repeats:
            _bracket(figure, top, y, stage, dark)
    y = _end(figure, network.outcome, _arrow(figure, y, dark), dark)
    figure.update_xaxes(visible=False, range=[0, 1], fixedrange=True)
    figure.update_yaxes(visible=False, range=[y, 0], fixedrange=True)
    return figure.update_layout(
        height=round(y) + 4,
        margin={"t": 2, "r": 2, "b": 2, "l": 2},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "Inter, 'Source Sans', sans-serif"},  # as in .streamlit/config.toml; the theme is off here
        showlegend=False,
        dragmode=False,
        hovermode="closest",
    )


_LEFT, _RIGHT = 0.0, 0.86  # the bracket needs the rest


def _box(figure: go.Figure, block: Block, total: int, y: float, dark: bool) -> float:
    """Draws one box from `y` downwards; returns where it ends."""
    color, end = _COLORS[block.part], y + _BLOCK_PIXELS
    share = block.parameters / total
    tint = {"x0": _LEFT, "x1": _LEFT + (_RIGHT - _LEFT) * share, "y0": y, "y1": end, "line": {"width": 0}}
    figure.add_shape(type="rect", **tint, fillcolor=color, opacity=0.35 if dark else 0.22, layer="below")
    edge = {"color": color, "width": 1.5}
    figure.add_shape(type="rect", x0=_LEFT, x1=_RIGHT, y0=y, y1=end, line=edge, layer="below")
    middle = (y + end) / 2
    _text(figure, _LEFT + 0.025, middle - 9, f"<b>{plotly_text(block.title)}</b>", dark, "left", 13)
    _text(figure, _LEFT + 0.025, middle + 9, plotly_text(block.detail), dark, "left", 11, faint=True)
    if block.parameters:
        _text(figure, _RIGHT - 0.025, middle - 9, f"{100 * share:.0f} %", dark, "right", 13)
        _text(figure, _RIGHT - 0.025, middle + 9, large(block.parameters), dark, "right", 11, faint=True)
    hover = f"{plotly_text(block.title)}: {block.parameters:,} parameters<extra></extra>"
    point = {"x": [(_LEFT + _RIGHT) / 2], "y": [middle], "mode": "markers", "hovertemplate": hover}
    figure.add_trace(go.Scatter(**point, marker={"size": _BLOCK_PIXELS, "opacity": 0}))
    return end


def _arrow(figure: go.Figure, y: float, dark: bool) -> float:
    middle = (_LEFT + _RIGHT) / 2
    path = f"M {middle} {y + 2} L {middle} {y + _GAP_PIXELS - 3} M {middle - 0.012} {y + _GAP_PIXELS - 8}"
    path += f" L {middle} {y + _GAP_PIXELS - 3} L {middle + 0.012} {y + _GAP_PIXELS - 8}"
    figure.add_shape(type="path", path=path, line={"color": _FAINT[dark], "width": 1.5})
    return y + _GAP_PIXELS


def _bracket(figure: go.Figure, top: float, bottom: float, stage: Stage, dark: bool) -> None:
    """The line at the side that says how often, and for recurrent layers the way back to the next token."""
    x, inner = _RIGHT + 0.03, _RIGHT + 0.01
    middle = (top + bottom) / 2
    path = f"M {inner} {top} L {x} {top} L {x} {bottom} L {inner} {bottom}"
    if stage.carries_state:
        path += f" M {inner + 0.014} {bottom - 5} L {inner} {bottom} L {inner + 0.014} {bottom + 5}"
    figure.add_shape(type="path", path=path, line={"color": _FAINT[dark], "width": 1.5})
    text = f"× {stage.repeats}"
    _text(figure, x + 0.015, middle, f"<b>{text}</b>", dark, "left", 14)


def _end(figure: go.Figure, text: str, y: float, dark: bool) -> float:
    _text(figure, (_LEFT + _RIGHT) / 2, y + _END_PIXELS / 2, plotly_text(text), dark, "center", 12, faint=True)
    return y + _END_PIXELS


def _text(
    figure: go.Figure, x: float, y: float, text: str, dark: bool, anchor: str, points: int, *, faint: bool = False
) -> None:
    color = (_FAINT if faint else _INK)[dark]
    figure.add_annotation(
        x=x, y=y, text=text, showarrow=False, xanchor=anchor, yanchor="middle", font={"size": points, "color": color}
    )
