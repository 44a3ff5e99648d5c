"""Curves that lie pale behind a run's own: what a resume or a roll-back gave up, and the run that a fork left.

They are drawn and never part of a figure, a verdict or a file of points. Not here: which of them are visible (`series.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from llm_core.config.errors import UserError
from llm_core.web.curves import DebiasedAverage, Floats
from llm_core.web.run_curves import Curve, CurveCache
from llm_core.workspace.lineage import read_lineage
from llm_core.workspace.metrics_read import PointArrays
from llm_core.workspace.paths import Workspace
from llm_core.workspace.runs import run_folder

MAXIMUM_ANCESTORS = 4
# What lies further back hardly weighs in an average of the heaviest weight that is offered.
CONTEXT_POINTS = 1000


@dataclass(frozen=True)
class Ancestor:
    """A run that this one was forked from, up to the step at which it was left."""

    step: int
    curves: tuple[PointArrays, ...]
    """One for each key asked for."""


@dataclass(frozen=True)
class GhostLine:
    """One pale line: its points, and their values as the chart smooths them."""

    key: str
    kind: Literal["abandoned", "parent"]
    points: PointArrays
    values: Floats


def ancestors(workspace: Workspace, cache: CurveCache, folder: Path, keys: Sequence[str]) -> list[Ancestor]:
    """The parent of a fork, its parent, and so on, as far as they are still there; empty for a run that is no fork."""
    found: list[Ancestor] = []
    seen = {folder}
    while len(found) < MAXIMUM_ANCESTORS:
        lineage = read_lineage(folder)
        if lineage is None:
            break
        try:
            folder = run_folder(workspace, lineage.parent)
        except UserError:
            break  # a run folder from elsewhere may name anything
        if folder in seen or not folder.is_dir():
            break
        seen.add(folder)
        run = cache.run(folder)
        with run.lock:
            run.refresh(keys)
            curves = [(run.curves.get(key) or Curve()).points for key in keys]
        found.append(Ancestor(lineage.step, tuple(_until(points, lineage.step) for points in curves)))
    return found


def ghost_lines(key: str, curve: Curve, parents: Sequence[PointArrays], weight: float) -> list[GhostLine]:
    """The pale lines of one curve, smoothed as it is."""
    lines = [
        GhostLine(key, "abandoned", ghost, _smoothed(_before(curve.points, int(ghost.step[0])), ghost.value, weight))
        for ghost in curve.ghosts
        if len(ghost)
    ]
    for points in parents:
        if len(points):
            lines.append(GhostLine(key, "parent", points, _smoothed(np.zeros(0), points.value, weight)))
    return lines


def _until(points: PointArrays, step: int) -> PointArrays:
    return points.where(points.step <= step)


def _before(points: PointArrays, step: int) -> Floats:
    """The values that led to a step."""
    end = int(np.searchsorted(points.step, step))
    return points.value[max(0, end - CONTEXT_POINTS) : end]


def _smoothed(context: Floats, values: Floats, weight: float) -> Floats:
    if not weight:
        return values
    return DebiasedAverage(weight).extend(np.concatenate((context, values)))[len(context) :]
