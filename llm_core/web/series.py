"""What a chart asks for: the visible stretch of some curves, thinned to the pixels there are, and what stands beside them.

    GET /api/runs/{id}/series?keys=train_loss,val_loss&x=step&scale=&from=&to=&pixels=900&smooth=0.6&revision=

The answer is `{"revision", "state", "next_poll_ms", "series": [{"key", "x", "y", "low", "high", "steps", "raw_points"}],
"ghosts": [{"key", "kind", "x", "y"}], "marks", "progress"}`. Without smoothing, and where few enough, the points are the stored
ones, digit for digit; otherwise values have five significant digits and, where smoothed, `low` and `high` hold the range of the
raw values. `scale` multiplies the axis: tokens become epochs or FLOPs. Losses stay in nats: the chart converts units. Ghosts are
stretches that a resume or a roll-back gave up, and the curve of the run that a fork left.
Not here: reading and caching (`run_curves.py`), the marks (`marks.py`), the arithmetic (`curves.py`), HTTP (`api.py`).
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from llm_core.config.errors import UserError
from llm_core.web.curves import MAXIMUM_WEIGHT, Axis, band, share, significant, thin
from llm_core.web.ghosts import Ancestor, ancestors, ghost_lines
from llm_core.web.marks import marks_of
from llm_core.web.run_curves import Curve, CurveCache, RunCurves
from llm_core.workspace.job_record import FINAL, PAUSED, JobRecord
from llm_core.workspace.metrics_read import PointArrays, heartbeat
from llm_core.workspace.paths import Workspace
from llm_core.workspace.runs import run_folder

X_AXES = ("step", "tokens", "seconds")
POINTS_PER_PIXEL = 2
MAXIMUM_KEYS = 16
MAXIMUM_PIXELS = 8000
MAXIMUM_SCALE = 1e30
# Beside the curves' own points, all ghosts together may have a quarter as many.
GHOST_SHARE = 4
SCALED_DIGITS = 7
# Measured over a whole split, as every key with val_ in it is.
EXACT_KEYS = frozenset({"bits_per_byte"})

WAITING_POLL_MS, RUNNING_POLL_MS, PAUSED_POLL_MS = 500, 1000, 3000
# A chart may take at most a twentieth of a core's time from the run that it shows.
POLL_COST_FACTOR = 20


@dataclass(frozen=True)
class SeriesQuery:
    """One request of a chart. `start` and `end` are in the unit of the scaled axis, and None at the ends of the curve."""

    keys: tuple[str, ...]
    x: str = "step"
    scale: float = 1.0
    start: float | None = None
    end: float | None = None
    pixels: int = 1000
    smooth: float = 0.0
    revision: str = ""


def parse_query(parameters: Mapping[str, str]) -> SeriesQuery:
    """The query of an address.

    Raises:
        UserError: a value is missing or out of bounds.
    """
    keys = tuple(dict.fromkeys(key for key in parameters.get("keys", "").split(",") if key))
    if not 1 <= len(keys) <= MAXIMUM_KEYS:
        raise UserError("Name the curves in `keys`", value=parameters.get("keys", ""), limit=f"1 to {MAXIMUM_KEYS}")
    x = parameters.get("x", "step")
    if x not in X_AXES:
        raise UserError("There is no such axis", value=x, limit=", ".join(X_AXES))
    start, end = (_number(parameters, name, -math.inf, math.inf) for name in ("from", "to"))
    if start is not None and end is not None and not start < end:
        raise UserError("`from` must be below `to`", value=f"{start} to {end}")
    scale = _number(parameters, "scale", 1 / MAXIMUM_SCALE, MAXIMUM_SCALE)
    pixels = _number(parameters, "pixels", 1, MAXIMUM_PIXELS) or 1000
    smooth = _number(parameters, "smooth", 0, 1) or 0.0
    return SeriesQuery(
        keys=keys,
        x=x,
        scale=1.0 if scale is None else scale,
        start=start,
        end=end,
        pixels=int(pixels),
        smooth=min(round(smooth, 3), MAXIMUM_WEIGHT),
        revision=parameters.get("revision", ""),
    )


def _number(parameters: Mapping[str, str], name: str, minimum: float, maximum: float) -> float | None:
    text = parameters.get(name, "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and minimum <= value <= maximum):
        raise UserError(f"`{name}` must be a number", value=text, limit=f"{minimum:g} to {maximum:g}")
    return value


def is_exact(key: str) -> bool:
    """Whether the values of a key are measured over a whole split: not noisy, and too few to smooth."""
    return "val_" in key or key.endswith("_accuracy") or key in EXACT_KEYS


def answer(workspace: Workspace, cache: CurveCache, record: JobRecord, query: SeriesQuery) -> dict[str, Any] | None:
    """What the chart shall draw; None when it has it already.

    The record must have been read before this is called: a run ends after its last points are written, so that a final
    state says that the points are all there.
    """
    began = time.perf_counter()
    folder = run_folder(workspace, record.id)
    forked_from = ancestors(workspace, cache, folder, query.keys)
    run = cache.run(folder)
    with run.lock:
        run.refresh(query.keys)
        curves = [run.curves.get(key) or Curve() for key in query.keys]
        has_points = any(len(curve.points) for curve in curves)
        progress = None if has_points else _progress(run, record)
        revision = _revision(run, record, query, curves, forked_from, progress)
        if revision == query.revision:
            return None
        series = _series(query, curves)
        ghosts = _ghosts(query, curves, forked_from)
        longest = max(curves, key=lambda curve: len(curve.points)).points
        marks = marks_of(
            run, query.keys, longest.step, _axis(longest, query), query.x == "step", query.start, query.end
        )
    return {
        "revision": revision,
        "state": record.state,
        "next_poll_ms": _next_poll_ms(record.state, has_points, time.perf_counter() - began),
        "series": series,
        "ghosts": ghosts,
        "marks": marks,
        "progress": progress,
    }


def _next_poll_ms(state: str, has_points: bool, cost_seconds: float) -> int | None:
    """When to ask again; None when nothing more will come."""
    if state in FINAL:
        return None
    wish = PAUSED_POLL_MS if state == PAUSED else RUNNING_POLL_MS if has_points else WAITING_POLL_MS
    return max(wish, round(1000 * cost_seconds * POLL_COST_FACTOR))


def _progress(run: RunCurves, record: JobRecord) -> dict[str, Any]:
    """What happens before the first point, and why nothing came when the run has ended."""
    beat = heartbeat(run.folder) if record.state not in FINAL else None
    return {**({} if beat is None else beat.progress), "reason": record.reason, "remedy": record.remedy}


def _revision(
    run: RunCurves,
    record: JobRecord,
    query: SeriesQuery,
    curves: list[Curve],
    forked_from: list[Ancestor],
    progress: dict[str, Any] | None,
) -> str:
    """Changes whenever the answer to this query may have changed."""
    last_event = run.events[-1].id if run.events else 0
    seen = [(curve.last_id, len(curve.points)) for curve in curves]
    parents = [(ancestor.step, *(len(curve) for curve in ancestor.curves)) for ancestor in forked_from]
    shape = (query.keys, query.x, query.scale, query.start, query.end, query.pixels, query.smooth)
    text = repr((record.state, run.inode, len(run.segments), last_event, seen, parents, shape, progress))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _series(query: SeriesQuery, curves: list[Curve]) -> list[dict[str, Any]]:
    stretches = [_visible(_axis(curve.points, query), query.start, query.end) for curve in curves]
    lengths = [stretch.stop - stretch.start for stretch in stretches]
    shares = share(lengths, POINTS_PER_PIXEL * query.pixels)
    return [
        _drawn(key, curve, query, stretch, count)
        for key, curve, stretch, count in zip(query.keys, curves, stretches, shares, strict=True)
    ]


def _drawn(key: str, curve: Curve, query: SeriesQuery, stretch: slice, count: int) -> dict[str, Any]:
    """One curve within the stretch, with at most `count` points."""
    x, raw = _axis(curve.points, query)[stretch], curve.points.value[stretch]
    smooth = 0.0 if is_exact(key) else query.smooth
    y = curve.smoothed(smooth)[stretch] if smooth else raw
    chosen = thin(x, y, count)
    is_whole = not smooth and len(chosen) == len(raw)
    low, high = band(raw, chosen) if smooth and len(raw) else (None, None)
    return {
        "key": key,
        "x": _plain_x(x[chosen], query, is_whole),
        "y": y[chosen] if is_whole else significant(y[chosen]),
        "low": None if low is None else significant(low),
        "high": None if high is None else significant(high),
        # What was clicked is a step, whatever the axis shows.
        "steps": None if query.x == "step" else curve.points.step[stretch][chosen],
        "raw_points": len(raw),
    }


def _ghosts(query: SeriesQuery, curves: list[Curve], forked_from: list[Ancestor]) -> list[dict[str, Any]]:
    lines = [
        line
        for place, (key, curve) in enumerate(zip(query.keys, curves, strict=True))
        for line in ghost_lines(
            key,
            curve,
            [ancestor.curves[place] for ancestor in forked_from],
            0.0 if is_exact(key) else query.smooth,
        )
    ]
    stretches = [_visible(_axis(line.points, query), query.start, query.end) for line in lines]
    lengths = [stretch.stop - stretch.start for stretch in stretches]
    shares = share(lengths, POINTS_PER_PIXEL * query.pixels // GHOST_SHARE)
    drawn: list[dict[str, Any]] = []
    for line, stretch, count in zip(lines, stretches, shares, strict=True):
        x, y = _axis(line.points, query)[stretch], line.values[stretch]
        chosen = thin(x, y, count)
        if len(chosen):
            values = {"x": _plain_x(x[chosen], query, is_whole=False), "y": significant(y[chosen])}
            drawn.append({"key": line.key, "kind": line.kind, **values})
    return drawn


def _axis(points: PointArrays, query: SeriesQuery) -> Axis:
    x = getattr(points, query.x)
    return x if query.scale == 1.0 else x * query.scale


def _plain_x(x: Axis, query: SeriesQuery, is_whole: bool) -> Axis:
    if query.scale != 1.0:
        return significant(x, SCALED_DIGITS)
    return x if is_whole or x.dtype.kind == "i" else np.round(x, 3)


def _visible(x: Axis, start: float | None, end: float | None) -> slice:
    """The points between the bounds, and one more at either side, so that the line runs to the edge of the picture."""
    first = 0 if start is None else max(0, int(np.searchsorted(x, start, side="left")) - 1)
    last = len(x) if end is None else min(len(x), int(np.searchsorted(x, end, side="right")) + 1)
    return slice(first, max(first, last))
