"""Run folders: where one is, how it begins, what it comes to in one line, and how it is deleted.

A summary is plain data read from the registry and metrics.db. Not here: series for charts (`llm_core.web.series`), starting
and stopping (`llm_core.backend.jobs`).
"""

from __future__ import annotations

import math
import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from llm_core.config.errors import UserError
from llm_core.config.objective_words import objective_words
from llm_core.workspace.checkpoints import FOLDER_NAME as CHECKPOINTS_FOLDER
from llm_core.workspace.disk_space import LAST_WORDS_BYTES, free_bytes
from llm_core.workspace.freed_space import freed_bytes
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.json_files import write_json
from llm_core.workspace.metrics_read import few_points, heartbeat, last_values, segments, surviving
from llm_core.workspace.paths import Workspace, safe_join
from llm_core.workspace.registry import Registry

CONFIG = "config.json"
LOG = "log.txt"
SPARKLINE_POINTS = 40
_SECTIONS = ("model", "data", "training", "objective")
_TRASH = ".deleted-"


@dataclass(frozen=True)
class RunSummary:
    """One run in one line; `None` where nothing was measured yet. Losses in nats per token, times in seconds."""

    id: str
    name: str
    state: str
    reason: str
    remedy: str
    color: str
    dash: str
    kind: str
    dataset: str
    tokenizer: str
    parameters: int | None
    steps: int
    max_steps: int | None
    objective: str
    """What the model was asked to predict; losses of different objectives do not compare."""
    train_loss: float | None
    val_loss: float | None
    """In nats per target of the objective: a token, a hidden token, a token of an answer."""
    accuracy: float | None
    """Share of validation targets that the likeliest token hits, where the objective measures it."""
    bits_per_byte: float | None
    tokens_per_second: float | None
    seconds: float | None
    created_at: float
    ended_at: float | None
    tokens: int | None = None
    """Tokens read in training, those read again counted again; of an n-gram model those it counted."""
    progress: dict[str, Any] = field(default_factory=dict[str, Any])
    sparkline: list[float] = field(default_factory=list[float])
    size_bytes: int = 0


def run_folder(workspace: Workspace, run_id: str) -> Path:
    """The folder of a run, whether it exists or not; raises UserError for an id that is no plain name."""
    return safe_join(workspace.runs, run_id)


def prepare_run_folder(workspace: Workspace, record: JobRecord) -> Path:
    """Make the folder of a run that starts and put its settings there; does nothing more when it starts again."""
    folder = run_folder(workspace, record.id)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / CONFIG).exists():
        write_json(folder / CONFIG, {**record.config, "name": record.name})
    return folder


def summarise_run(workspace: Workspace, record: JobRecord) -> RunSummary:
    """The run in one line. What the worker reported at its end counts before what was measured on the way."""
    folder = run_folder(workspace, record.id)
    result = record.result
    model, data, training, objective = (_section(record.config, name) for name in _SECTIONS)
    known = objective_words()
    words = known.get(str(objective.get("kind")), known["causal"])
    own_keys = tuple(key for key in (words.train_key, words.validation_key, words.accuracy_key) if key)
    try:
        beat = heartbeat(folder)
        progress = {} if beat is None else {**beat.progress, "written_at": beat.written_at}
        measured = last_values(folder, (*own_keys, "bits_per_byte", "tokens_per_second"))
        sparkline = _sparkline(folder, words.train_key)
    except UserError:
        # A damaged metrics.db must not take the list of runs down; the run's own page names the damage.
        progress, measured, sparkline = {}, dict[str, float](), list[float]()
    return RunSummary(
        id=record.id,
        name=record.name,
        state=record.state,
        reason=record.reason,
        remedy=record.remedy,
        color=record.color,
        dash=record.dash,
        kind=str(model.get("kind", "")),
        dataset=str(data.get("dataset", "")),
        tokenizer=str(data.get("tokenizer", "")),
        parameters=_first(result.get("parameters"), progress.get("parameters")),
        steps=int(_first(result.get("steps"), progress.get("step")) or 0),
        max_steps=_first(progress.get("max_steps"), training.get("max_steps")),
        objective=words.kind,
        train_loss=_first(result.get(words.train_key), measured.get(words.train_key)),
        val_loss=_first(result.get(words.validation_key), measured.get(words.validation_key)),
        accuracy=_first(result.get(words.accuracy_key), measured.get(words.accuracy_key)),
        bits_per_byte=_first(result.get("bits_per_byte"), measured.get("bits_per_byte")),
        tokens_per_second=_first(result.get("tokens_per_second"), measured.get("tokens_per_second")),
        seconds=_first(result.get("seconds"), progress.get("seconds")),
        created_at=record.created_at,
        ended_at=record.ended_at,
        tokens=_first(result.get("tokens"), progress.get("tokens")),
        progress=progress,
        sparkline=sparkline,
        size_bytes=folder_bytes(folder),
    )


def delete_run(workspace: Workspace, registry: Registry, run_id: str) -> int:
    """Delete a run (or another job) with all its files; returns the bytes freed.

    The folders leave their places within the registry's transaction, so a refusal touches nothing and a kill leaves either
    the whole run or a nameless folder that the next deletion clears away. On a full disk its checkpoints go first: not even the
    registry could note the deletion there.

    Raises:
        NotFound: there is none with this id.
        Refused: it is running.
        RegistryUnavailable: the deletion cannot be noted; the run stays.
    """
    places = [safe_join(workspace.runs, run_id), safe_join(workspace.jobs, run_id)]
    freed = freed_bytes(places)

    moved: dict[Path, Path] = {}

    def move_away() -> None:
        for place in places:
            if place.is_dir():
                moved[place] = place.rename(place.with_name(f"{_TRASH}{secrets.token_hex(8)}"))

    if free_bytes(workspace.root) < LAST_WORDS_BYTES and not registry.get(run_id).is_held:
        shutil.rmtree(places[0] / CHECKPOINTS_FOLDER, ignore_errors=True)
    try:
        registry.delete(run_id, move_away)
    except BaseException:
        for place, away in moved.items():
            away.rename(place)
        raise
    for parent in (workspace.runs, workspace.jobs):
        for leftover in parent.glob(f"{_TRASH}*"):
            shutil.rmtree(leftover, ignore_errors=True)
    return freed


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder; files that vanish meanwhile count as nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total


def _sparkline(folder: Path, key: str) -> list[float]:
    points = few_points(folder, key, SPARKLINE_POINTS)
    values = points.where(surviving(points, segments(folder))).value
    return [float(value) for value in values if math.isfinite(value)]


def _section(config: dict[str, Any], name: str) -> dict[str, Any]:
    section = config.get(name)
    return cast("dict[str, Any]", section) if isinstance(section, dict) else {}


def _first(*values: Any) -> Any:
    """The first value that is there and is a number or text, not NaN."""
    for value in values:
        if value is not None and not (isinstance(value, float) and math.isnan(value)):
            return value
    return None
