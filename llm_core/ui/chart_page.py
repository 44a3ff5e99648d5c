"""*This chart (HTML)*: the charts of a run as its page shows them just now, written down with the numbers that they are drawn from.

Asks the series route's own function with what the live chart was told, so that axis, unit, scale, smoothing and grouping are those of the
page. Not here: the live chart (`live_plot.py`), which charts there are (`run_charts.py`), the file (`llm_core.figures.standalone_page`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from llm_core.backend.report_charts import ReportArea, ReportChart, ReportCurve, ReportLevel, ReportMark
from llm_core.backend.run_report import Report, charts_page
from llm_core.config.errors import UserError
from llm_core.web.curves import MAXIMUM_WEIGHT
from llm_core.web.run_curves import shared_curves
from llm_core.web.series import SeriesQuery, answer
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.paths import Workspace

# Twice as many points at most over all curves: more than a screen shows, so that there is something to zoom into.
PIXELS = 2_000
_BEHIND = "#7F7F7F"
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ShownChart:
    """One live chart of one run."""

    told: dict[str, Any]
    """What `live_plot` gave to the browser."""
    caption: str
    """What good looks like, without what only a page can do."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Its curves."""
        return tuple(self.told["keys"])


def chart_page(workspace: Workspace, record: JobRecord, shown: Sequence[ShownChart]) -> Report:
    """A page with a chart for each that is shown, whatever stretch of it was zoomed into.

    Raises:
        UserError: none of them has a point.
    """
    charts = [_chart(workspace, record, chart) for chart in shown]
    if not any(chart.curves for chart in charts):
        remedy = "Export it when the first point is there"
        raise UserError(
            "The chart is empty so far", value=", ".join(key for s in shown for key in s.keys), remedy=remedy
        )
    return charts_page(record, charts)


def _chart(workspace: Workspace, record: JobRecord, shown: ShownChart) -> ReportChart:
    told, run = shown.told, shown.told["runs"][0]
    query = SeriesQuery(
        keys=shown.keys,
        x=told["x"],
        scale=run["scale"],
        pixels=PIXELS,
        smooth=min(told["smooth"], MAXIMUM_WEIGHT),
    )
    found = answer(workspace, shared_curves(), record, query)
    assert found is not None, "an answer without a revision to compare with is always whole"
    behind = [_ghost(told, run, ghost) for ghost in found["ghosts"]]
    measured = [series for series in found["series"] if len(series["x"])]
    curves = [_curve(told, run, series) for series in measured]
    areas = [_range(told, run, series) for series in measured if series["low"] is not None]
    reference = _reference(told, run, max((float(series["x"][-1]) for series in measured), default=0.0))
    label = str(told["y_label"])
    return ReportChart(
        title=label[:1].upper() + label[1:],
        curves=[*behind, *curves] if curves else [],
        marks=[ReportMark(mark["x"], mark["kind"], mark["label"]) for mark in found["marks"]],
        y_label=label,
        x_label=told["x_label"],
        is_log=told["log"],
        areas=[*([] if reference is None else [reference]), *areas],
        levels=[ReportLevel(guide["value"], guide["label"]) for guide in told["guides"]],
        x_tick=told["x_tick"],
        x_hover=told["x_hover"],
        y_tick=told["y_tick"],
        y_hover=told["y_hover"],
        y_suffix=told["y_suffix"],
        decades=told["decades"],
        caption=shown.caption,
    )


def _curve(told: dict[str, Any], run: dict[str, Any], series: dict[str, Any]) -> ReportCurve:
    key = series["key"]
    color, dark = told["colors"].get(key, (run["color"], ""))
    return ReportCurve(
        told["labels"][key],
        series["x"].tolist(),
        _in_unit(told, run, key, series["y"]),
        color,
        dash=run["dash"],
        is_marked=key in told["exact"],
        dark_color=dark,
    )


def _range(told: dict[str, Any], run: dict[str, Any], series: dict[str, Any]) -> ReportArea:
    """The values as measured, around their smoothed curve."""
    color, dark = told["colors"].get(series["key"], (run["color"], ""))
    low, high = (_in_unit(told, run, series["key"], series[edge]) for edge in ("low", "high"))
    return ReportArea(series["x"].tolist(), low, high, color, dark)


def _ghost(told: dict[str, Any], run: dict[str, Any], ghost: dict[str, Any]) -> ReportCurve:
    """What a roll-back gave up is dotted, the curve that a fork left is a line."""
    values = _in_unit(told, run, ghost["key"], ghost["y"])
    dash = "solid" if ghost["kind"] == "parent" else "dot"
    return ReportCurve(told["labels"][ghost["key"]], ghost["x"].tolist(), values, run["color"], dash, is_faint=True)


def _reference(told: dict[str, Any], run: dict[str, Any], until: float) -> ReportArea | None:
    """Where earlier runs stood, as far as this one has come."""
    band = told["band"]
    if band is None:
        return None
    count = sum(place <= until for place in band["x"])
    if not count:
        return None
    low, high = (_in_unit(told, run, told["keys"][0], np.array(band[edge][:count])) for edge in ("low", "high"))
    return ReportArea(list(band["x"][:count]), low, high, _BEHIND)


def _in_unit(told: dict[str, Any], run: dict[str, Any], key: str, values: _Floats) -> list[float]:
    """Losses are stored in nats; the chart shows them as it was told."""
    if not key.endswith("_loss") or told["unit"] == "nats":
        return values.tolist()
    if told["unit"] == "perplexity":
        with np.errstate(over="ignore"):
            return np.exp(values).tolist()
    return (values / (math.log(2) * run["bytes_per_token"])).tolist()
