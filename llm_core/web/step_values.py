"""What was measured at one step or next to it, for many keys at once, from the curves that this process holds already.

Not here: the curves (`run_curves.py`), the batch of a step (`llm_core.backend.step_batch`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llm_core.web.run_curves import Curve, shared_curves
from llm_core.workspace.metrics_read import PointArrays
from llm_core.workspace.paths import Workspace
from llm_core.workspace.runs import run_folder


@dataclass(frozen=True)
class StepValue:
    """A measured value and the step it belongs to."""

    step: int
    value: float
    tokens: int
    """Trained on by then."""


def values_near(workspace: Workspace, run_id: str, keys: Sequence[str], step: int) -> dict[str, StepValue]:
    """For each key that was measured, the value at the step, or at the nearest one that has a value."""
    run = shared_curves().run(run_folder(workspace, run_id))
    with run.lock:
        run.refresh(keys)
        curves = {key: (run.curves.get(key) or Curve()).points for key in keys}
    return {key: _nearest(points, step) for key, points in curves.items() if len(points)}


def _nearest(points: PointArrays, step: int) -> StepValue:
    right = min(int(np.searchsorted(points.step, step)), len(points) - 1)
    left = max(0, right - 1)
    index = left if step - points.step[left] < points.step[right] - step else right
    return StepValue(int(points.step[index]), float(points.value[index]), int(points.tokens[index]))
