"""The charts of a report as plain numbers: which curves stand together, thinned to what a screen shows, and what happened along them.

Not here: the document around them (`run_report.py`), drawing them (`llm_core.figures.run_chart`), the charts of a page as it shows them
(`llm_core.ui.chart_page`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tsdownsample import NaNMinMaxLTTBDownsampler

from llm_core.config.objective_words import ObjectiveWords
from llm_core.workspace.metrics_read import Event, metric_keys, read_points, segments, surviving
from llm_core.workspace.run_colors import COLORS

POINTS_OF_A_CURVE = 1_500
MAXIMUM_EVENTS = 2_000
MAXIMUM_CURVES = 40
_MARKED_EVENTS = ("checkpoint", "resumed", "changed", "rolled_back", "health", "diverged", "paused")
_TITLES = {
    "learning_rate": "Learning rate",
    "grad_norm": "Gradient norm",
    "gradient_norm": "Gradient norm by part",
    "update_ratio": "Update against weights by part",
    "dead_units": "Share of dead units by part",
    "tokens_per_second": "Tokens per second",
    "bits_per_byte": "Bits per byte",
    "mfu": "Share of the device's arithmetic that is used",
}
# Parts of a network differ by powers of ten.
_LOGARITHMIC = ("gradient_norm/", "update_ratio/")


@dataclass(frozen=True)
class ReportCurve:
    """One line of a chart."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    color: str
    dash: str = "solid"
    is_marked: bool = False
    """Whether each point was measured for itself and is drawn as one."""
    is_faint: bool = False
    """Whether it stands behind the others, without a name: what was given up, or another run's."""
    dark_color: str = ""
    """On a dark page; empty for the same colour."""


@dataclass(frozen=True)
class ReportArea:
    """A pale stretch behind the curves, from the lowest value to the highest."""

    x: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    color: str
    dark_color: str = ""


@dataclass(frozen=True)
class ReportMark:
    """Something that happened at a step."""

    x: float
    kind: str
    label: str


@dataclass(frozen=True)
class ReportLevel:
    """A horizontal line to compare with, and what it means."""

    value: float
    label: str


@dataclass(frozen=True)
class ReportChart:
    """Curves that share an axis. Formats are d3's; empty leaves them to Plotly."""

    title: str
    curves: Sequence[ReportCurve]
    marks: Sequence[ReportMark]
    y_label: str
    x_label: str = "step"
    is_log: bool = False
    areas: Sequence[ReportArea] = ()
    levels: Sequence[ReportLevel] = ()
    x_tick: str = ""
    x_hover: str = ""
    y_tick: str = ""
    y_hover: str = ".4~g"
    y_suffix: str = ""
    decades: bool = False
    """Label only powers of ten of a logarithmic axis."""
    caption: str = ""
    """What good looks like."""


def run_charts(
    folder: Path, words: ObjectiveWords, happened: Sequence[Event], keys: Sequence[str] | None = None
) -> list[ReportChart]:
    """The curves of the run, those of one kind in one chart, losses first.

    Args:
        keys: of the curves; None for all that there are.
    """
    groups: dict[str, list[str]] = {}
    for key in metric_keys(folder) if keys is None else keys:
        groups.setdefault(_title(key, words), []).append(key)
    first = [title for title in (_title(words.train_key, words),) if title in groups]
    marks = marks_of(happened)
    charts = [
        _chart(folder, groups[title], title, words, marks) for title in [*first, *(t for t in groups if t not in first)]
    ]
    return [chart for chart in charts if chart.curves]


def marks_of(happened: Sequence[Event]) -> list[ReportMark]:
    """What is marked along a chart, by step."""
    return [
        ReportMark(float(event.step), event.kind, event.message[:300])
        for event in happened
        if event.step is not None and event.kind in _MARKED_EVENTS
    ][-MAXIMUM_EVENTS:]


def _title(key: str, words: ObjectiveWords) -> str:
    if key in (words.train_key, words.validation_key):
        return "Loss"
    if key == words.accuracy_key:
        return "Share found"
    group, slash, _ = key.partition("/")
    if slash and group not in _TITLES:
        return key.replace("/", ": ").replace("_", " ").capitalize()
    return _TITLES.get(group, group.replace("_", " ").capitalize())


def _chart(
    folder: Path, keys: Sequence[str], title: str, words: ObjectiveWords, marks: list[ReportMark]
) -> ReportChart:
    lineage = segments(folder)
    curves: list[ReportCurve] = []
    for index, key in enumerate(keys[:MAXIMUM_CURVES]):
        points = read_points(folder, key)
        points = points.where(surviving(points, lineage))
        if not len(points):
            continue
        chosen = np.arange(len(points))
        if len(points) > POINTS_OF_A_CURVE:
            gaps = np.where(np.isfinite(points.value), points.value, np.nan)
            chosen = np.unique(NaNMinMaxLTTBDownsampler().downsample(points.step, gaps, n_out=POINTS_OF_A_CURVE))
        measured = (words.validation_key, words.accuracy_key, "bits_per_byte")
        curves.append(
            ReportCurve(
                _curve_label(key, words),
                points.step[chosen].tolist(),
                points.value[chosen].tolist(),
                COLORS[index % len(COLORS)],
                is_marked=key in measured,
            )
        )
    y_label = words.axis_title if title == "Loss" else title.lower()
    return ReportChart(title, curves, marks, y_label, is_log=keys[0].startswith(_LOGARITHMIC))


def _curve_label(key: str, words: ObjectiveWords) -> str:
    known = {words.train_key: "training", words.validation_key: "validation"}
    return known.get(key) or key.rpartition("/")[2].replace("_", " ")
