"""Where earlier runs of the same text stood: between the best and the worst validation loss at each number of tokens.

Runs compare when their text was cut into the same tokens and they predict the same. Not here: drawing it (`llm_core.ui.live_plot`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llm_core.config.errors import UserError
from llm_core.config.objective_words import objective_words
from llm_core.config.run import RunConfig, config_from_dict
from llm_core.models.families import families
from llm_core.text.tokens import tokens_key
from llm_core.workspace.job_record import FINISHED, JobRecord
from llm_core.workspace.metrics_read import read_points, segments, surviving
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import run_folder

MAXIMUM_RUNS = 12
MAXIMUM_LOOKED_AT = 60
MAXIMUM_PLACES = 120

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ReferenceBand:
    """The range of earlier runs, by tokens trained on; losses in nats per target."""

    names: tuple[str, ...]
    """Of the runs, the newest first."""
    tokens: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def at(self, tokens: float) -> tuple[float, float] | None:
        """Lowest and highest loss after so many tokens; None where no earlier run came so far."""
        if not self.tokens or not self.tokens[0] <= tokens <= self.tokens[-1]:
            return None
        low, high = (float(np.interp(tokens, self.tokens, side)) for side in (self.low, self.high))
        return low, high


def comparable_runs(workspace: Workspace, record: JobRecord) -> list[JobRecord]:
    """Finished networks that were begun before this run, on the same tokens and with the same objective; the newest first."""
    config = config_from_dict(record.config)
    key = _tokens_key(workspace, config)
    if key is None:
        return []
    with Registry(workspace) as registry:
        finished = registry.jobs("train", [FINISHED])
    earlier = sorted(
        (job for job in finished if job.id != record.id and job.created_at < record.created_at),
        key=lambda job: -job.created_at,
    )
    found: list[JobRecord] = []
    for job in earlier[:MAXIMUM_LOOKED_AT]:
        try:
            other = config_from_dict(job.config)
        except UserError:
            continue  # an older version's settings
        is_alike = other.objective.kind == config.objective.kind and not families()[other.model.kind].is_counted
        if is_alike and _tokens_key(workspace, other) == key:
            found.append(job)
    return found[:MAXIMUM_RUNS]


def reference_band(workspace: Workspace, runs: Sequence[JobRecord], objective: str) -> ReferenceBand | None:
    """The range of these runs' validation losses; None where none of them was measured after its beginning.

    The loss before the first step is left out: it falls so fast at first that a straight line from there tells nothing.
    """
    key = objective_words()[objective].validation_key
    curves: list[tuple[Floats, Floats]] = []
    names: list[str] = []
    for run in runs:
        folder = run_folder(workspace, run.id)
        try:
            points = read_points(folder, key)
            points = points.where(surviving(points, segments(folder)) & np.isfinite(points.value) & (points.tokens > 0))
        except UserError:
            continue  # damaged; its own page says so
        if len(points):
            order = np.argsort(points.tokens, kind="stable")
            curves.append((points.tokens[order].astype(np.float64), points.value[order]))
            names.append(run.name)
    if not curves:
        return None
    places = np.unique(np.concatenate([tokens for tokens, _ in curves]))
    if len(places) > MAXIMUM_PLACES:
        places = places[np.unique(np.linspace(0, len(places) - 1, MAXIMUM_PLACES).round().astype(int))]
    values = np.stack([np.interp(places, tokens, losses, left=np.nan, right=np.nan) for tokens, losses in curves])
    known = np.isfinite(values).any(axis=0)
    low, high = np.nanmin(values[:, known], axis=0), np.nanmax(values[:, known], axis=0)
    return ReferenceBand(tuple(names), *(tuple(side.tolist()) for side in (places[known], low, high)))


def _tokens_key(workspace: Workspace, config: RunConfig) -> str | None:
    try:
        return tokens_key(workspace, config.data) if config.data.dataset else None
    except UserError:
        return None  # the text or the tokenizer is gone
