"""The marks along a chart: events that have a step, resumes, and steps whose value is not a number.

Not here: the curves (`series.py`), their symbols (`llm_core/ui/live_plot_picture.js`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from llm_core.web.curves import Axis
from llm_core.web.run_curves import RunCurves
from llm_core.workspace.lineage import read_lineage
from llm_core.workspace.metrics_read import Event, Segment, changes_in_force

MAXIMUM_MARKS = 60
MARK_CHARACTERS = 200
CHECKPOINT, RESUMED, NAN, FORKED, DIVERGED = "checkpoint", "resumed", "nan", "forked", "diverged"

_Mark = tuple[int, str, str, bool]
"""Step, kind, label, and whether it lies in a stretch that was given up."""


def marks_of(
    run: RunCurves,
    keys: Sequence[str],
    steps: Axis,
    axis: Axis,
    is_by_step: bool,
    start: float | None,
    end: float | None,
) -> list[dict[str, Any]]:
    """What happened along the way, by step; where there are more than fit, checkpoints give way first.

    Each is `{"x", "step", "kind", "label"}`, with `"ghost": true` where a resume or a roll-back gave its stretch up.

    Args:
        steps, axis: steps of the longest curve, and where they stand on the axis.
        start, end: what is visible, on the axis.
    """
    written = _written(run)
    told = {step for step, kind, *_ in written if kind == DIVERGED}
    found = _joined([*written, *(mark for mark in _not_numbers(run, keys) if mark[0] not in told)])
    if not is_by_step and not len(steps):
        return []
    at = np.array([step for step, *_ in found], dtype=np.float64)
    x = at if is_by_step else np.interp(at, steps, axis)
    visible = [
        (place, mark)
        for place, mark in zip(x.tolist(), found, strict=True)
        if (start is None or place >= start) and (end is None or place <= end)
    ]
    return [
        {
            "x": float(f"{place:.9g}"),
            "step": step,
            "kind": kind,
            "label": label,
            **({"ghost": True} if is_ghost else {}),
        }
        for place, (step, kind, label, is_ghost) in _fitting(visible)
    ]


def _written(run: RunCurves) -> list[_Mark]:
    in_force = {event.id for event in changes_in_force(run.events)}
    marks: list[_Mark] = [
        (event.step, event.kind, label_of(event), event.id not in in_force and is_given_up(event, run.segments))
        for event in run.events
        if event.step is not None
    ]
    told = {(mark[0], mark[1]) for mark in marks}
    for segment in run.segments:
        if segment.parent is not None and (segment.from_step, RESUMED) not in told:
            marks.append((segment.from_step, RESUMED, f"Went on after step {segment.from_step:,}.", False))
    lineage = read_lineage(run.folder)
    if lineage is not None and (lineage.step, FORKED) not in told:
        marks.append((lineage.step, FORKED, f"Forked from {lineage.parent_name} at step {lineage.step:,}.", False))
    return marks


def _joined(marks: Sequence[_Mark]) -> list[_Mark]:
    """By step; what happened several times at one place is one mark that tells all of it."""
    labels: dict[tuple[int, str, bool], list[str]] = {}
    for step, kind, label, is_ghost in marks:
        labels.setdefault((step, kind, is_ghost), []).append(label)
    return sorted((step, kind, " · ".join(told), is_ghost) for (step, kind, is_ghost), told in labels.items())


def _not_numbers(run: RunCurves, keys: Sequence[str]) -> list[_Mark]:
    marks: dict[int, _Mark] = {}
    for key in keys:
        curve = run.curves.get(key)
        if curve is None:
            continue
        for step in curve.points.step[~np.isfinite(curve.points.value)][:MAXIMUM_MARKS].tolist():
            marks.setdefault(step, (step, NAN, f"{key} is not a number at step {step:,}", False))
    return list(marks.values())


def label_of(event: Event) -> str:
    """What a mark says: the event's sentence, and where a setting changed its values before and after."""
    before, after = event.data.get("before"), event.data.get("after")
    label = event.message
    if event.kind == "changed" and "→" not in label:
        label = f"{label} {event.data.get('setting', '')}: {before} → {after}".strip()
    return label[:MARK_CHARACTERS]


def is_given_up(event: Event, segments: Sequence[Segment]) -> bool:
    """Whether the run later went on from before this event; a resume or a roll-back itself is part of the run as it went."""
    assert event.step is not None
    if event.kind in (RESUMED, "rolled_back"):
        return False
    return any(segment.at > event.at and segment.from_step < event.step for segment in segments)


def _fitting(visible: list[tuple[float, _Mark]]) -> list[tuple[float, _Mark]]:
    if len(visible) <= MAXIMUM_MARKS:
        return visible
    others = [entry for entry in visible if entry[1][1] != CHECKPOINT]
    checkpoints = [entry for entry in visible if entry[1][1] == CHECKPOINT]
    kept = _evenly(others, MAXIMUM_MARKS)
    return sorted([*kept, *_evenly(checkpoints, MAXIMUM_MARKS - len(kept))])


def _evenly(entries: list[tuple[float, _Mark]], count: int) -> list[tuple[float, _Mark]]:
    if len(entries) <= count:
        return entries
    return [entries[index] for index in np.unique(np.linspace(0, len(entries) - 1, max(0, count)).round().astype(int))]
