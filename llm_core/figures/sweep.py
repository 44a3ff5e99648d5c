"""A sweep in one picture: a line for each run through its settings to its loss; parallel coordinates.

Drawn with plain lines over axes of one height, because Plotly's own parallel coordinates need WebGL. Plain values in, figure out.
Not here: planning a sweep (`llm_core.backend.sweeps`), which settings differ (`llm_core.backend.run_groups`).
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from llm_core.figures.escaping import plotly_text

_INK = {False: "#1F2328", True: "#E6E4DE"}
# The ground of the page, so that a saved picture can be read on any paper.
_PAPER = {False: "#FBFAF7", True: "#14171A"}
_GROUND = {False: "rgba(251,250,247,0.85)", True: "rgba(20,23,26,0.85)"}
_LINE = {False: "#8A857A", True: "#7A8188"}
_WORST = {False: (214, 208, 196), True: (62, 68, 74)}
_BEST = {False: (0, 114, 178), True: (86, 180, 233)}
_WINNER = {False: "#D55E00", True: "#F0803C"}
_LOG_FROM_RATIO = 8.0
_MOST_TICKS = 6
_TITLE_CHARACTERS = 13


@dataclass(frozen=True)
class SweepAxis:
    """One setting: its value in every run, numbers or words; None where a run has none."""

    title: str
    values: Sequence[float | str | None]


@dataclass(frozen=True)
class _Scale:
    """Where values stand on an axis, 0 at the bottom to 1 at the top, and what is written beside it."""

    places: list[float | None]
    ticks: list[tuple[float, str]]


def parallel_coordinates(
    axes: Sequence[SweepAxis], losses: Sequence[float | None], names: Sequence[str], *, loss_title: str, dark: bool
) -> go.Figure:
    """Every run as a line from the first setting to its loss, the lower the more colour; the best one thick.

    Args:
        axes: at least one setting; values in the order of the runs.
        losses: of each run; None or NaN for one without, which is drawn thin to the last setting.
        names: of each run, for the hover text.
    """
    assert axes and len(losses) == len(names)
    known = [loss if loss is not None and math.isfinite(loss) else None for loss in losses]
    scales = [*(_scale(axis.values) for axis in axes), _scale(known)]
    titles = [*(axis.title for axis in axes), loss_title]
    written = [*(axis.values for axis in axes), known]
    figure = go.Figure()
    for number, (title, scale) in enumerate(zip(titles, scales, strict=True)):
        _draw_axis(figure, number, title, scale, dark)
    best = min((loss for loss in known if loss is not None), default=None)
    # The best lines last, so that they lie on top; those without a loss first.
    for run in sorted(range(len(names)), key=lambda run: (known[run] is not None, -(known[run] or 0.0))):
        loss = known[run]
        words = [
            f"{plotly_text(title)}: {plotly_text(_spoken(values[run]))}"
            for title, values in zip(titles, written, strict=True)
        ]
        hover = "<br>".join([f"<b>{plotly_text(names[run])}</b>", *words])
        is_best = loss is not None and loss == best
        heights = [scale.places[run] for scale in scales]
        color = _WINNER[dark] if is_best else _color(loss, [value for value in known if value is not None], dark)
        figure.add_trace(
            go.Scatter(
                x=list(range(len(scales))),
                y=heights,
                mode="lines+markers",
                name=plotly_text(names[run]),
                line={"color": color, "width": 4 if is_best else 1.6, "dash": "solid" if loss is not None else "dot"},
                marker={"color": color, "size": 8 if is_best else 5},
                hovertemplate=f"{hover}<extra></extra>",
            )
        )
    figure.update_xaxes(visible=False, range=[-0.15, len(scales) - 1 + 0.45], fixedrange=True)
    figure.update_yaxes(visible=False, range=[-0.06, 1.06], fixedrange=True)
    return figure.update_layout(
        height=380,
        margin={"t": 16 + 16 * max(len(_wrapped(title)) for title in titles), "r": 8, "b": 8, "l": 8},
        paper_bgcolor=_PAPER[dark],
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "Inter, 'Source Sans', sans-serif", "color": _INK[dark], "size": 12},
        hoverlabel={"bgcolor": "#1B1F23" if dark else "#FFFFFF", "font": {"color": _INK[dark]}, "align": "left"},
        showlegend=False,
        hovermode="closest",
        dragmode=False,
    )


def _draw_axis(figure: go.Figure, number: int, title: str, scale: _Scale, dark: bool) -> None:
    line = {"color": _LINE[dark], "width": 1}
    figure.add_shape(type="line", x0=number, x1=number, y0=0, y1=1, line=line, layer="below")
    wrapped = "<br>".join(plotly_text(part) for part in _wrapped(title))
    figure.add_annotation(
        x=number,
        y=1,
        yref="paper",
        text=f"<b>{wrapped}</b>",
        yanchor="bottom",
        xanchor="center",
        showarrow=False,
        font={"size": 12, "color": _INK[dark]},
    )
    for place, text in scale.ticks:
        figure.add_annotation(
            x=number,
            y=place,
            text=plotly_text(text),
            xanchor="left",
            yanchor="middle",
            xshift=8,
            showarrow=False,
            font={"size": 11, "color": _INK[dark]},
            bgcolor=_GROUND[dark],
            borderpad=1,
        )


def _wrapped(title: str) -> list[str]:
    return textwrap.wrap(title, _TITLE_CHARACTERS)[:3]


def _scale(values: Sequence[float | str | None]) -> _Scale:
    numbers = [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if numbers and len(numbers) == sum(value is not None for value in values):
        return _number_scale(values, numbers)
    words = list(dict.fromkeys(_spoken(value) for value in values))
    steps = {word: _share(index, len(words)) for index, word in enumerate(words)}
    return _Scale([steps[_spoken(value)] for value in values], [(place, word) for word, place in steps.items()])


def _number_scale(values: Sequence[float | str | None], numbers: Sequence[float]) -> _Scale:
    low, high = min(numbers), max(numbers)
    is_log = low > 0 and high / low >= _LOG_FROM_RATIO

    def place(value: float) -> float:
        if high == low:
            return 0.5
        return math.log(value / low) / math.log(high / low) if is_log else (value - low) / (high - low)

    distinct = sorted(set(numbers))
    if len(distinct) > _MOST_TICKS:
        shares = [index / (_MOST_TICKS - 2) for index in range(_MOST_TICKS - 1)]
        distinct = [low * (high / low) ** share if is_log else low + (high - low) * share for share in shares]
    ticks = [(place(value), _spoken(value)) for value in distinct]
    return _Scale([None if value is None else place(float(value)) for value in values], _apart(ticks))


def _apart(ticks: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Without those that would be written over their neighbour below."""
    kept: list[tuple[float, str]] = []
    for place, text in ticks:
        if not kept or place - kept[-1][0] > 0.045:
            kept.append((place, text))
    return kept


def _share(index: int, count: int) -> float:
    return 0.5 if count == 1 else index / (count - 1)


def _color(loss: float | None, losses: Sequence[float], dark: bool) -> str:
    """From faint for the worst to full for the best, by rank: one diverged run must not make all others look alike."""
    if loss is None:
        return _LINE[dark]
    ordered = sorted(losses)
    share = 1.0 - ordered.index(loss) / max(1, len(ordered) - 1)
    mixed = (round(worst + (best - worst) * share) for worst, best in zip(_WORST[dark], _BEST[dark], strict=True))
    return "rgb({},{},{})".format(*mixed)


def _spoken(value: float | str | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
