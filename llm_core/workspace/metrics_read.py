"""Reading what a run measured: each call opens metrics.db, reads, and closes, so that no reader ever holds the writer up.

A run that has not started yet has no file and reads as empty. A folder that cannot be written to (a mounted copy) is read
too. Not here: writing (`metrics.py`), smoothing and thinning of curves for the screen (`llm_core.web.series`).
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from llm_core.config.errors import UserError
from llm_core.workspace.metrics import FILE_NAME, NAN, SCHEMA_VERSION, STATE_EVENT
from llm_core.workspace.process_identity import ProcessIdentity

BUSY_SECONDS = 5.0
_POINT_COLUMNS = f"id, segment, step, tokens, seconds, coalesce(value, 0.0), kind = '{NAN}'"
_POINT_TYPE = np.dtype(
    [
        ("id", "i8"),
        ("segment", "i8"),
        ("step", "i8"),
        ("tokens", "i8"),
        ("seconds", "f8"),
        ("value", "f8"),
        ("is_nan", "?"),
    ]
)


@dataclass(frozen=True)
class PointArrays:
    """The points of one key in the order they were written, one array a column; `value` is NaN where NaN was measured."""

    id: npt.NDArray[np.int64]
    segment: npt.NDArray[np.int64]
    step: npt.NDArray[np.int64]
    tokens: npt.NDArray[np.int64]
    seconds: npt.NDArray[np.float64]
    value: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.id)

    def where(self, mask: npt.NDArray[np.bool_]) -> PointArrays:
        """The points where the mask is true."""
        return PointArrays(
            id=self.id[mask],
            segment=self.segment[mask],
            step=self.step[mask],
            tokens=self.tokens[mask],
            seconds=self.seconds[mask],
            value=self.value[mask],
        )


@dataclass(frozen=True)
class Segment:
    """A stretch of the curve: it goes on from `parent` after `from_step` updates, under the lease `token`."""

    id: int
    parent: int | None
    from_step: int
    token: str
    at: float


@dataclass(frozen=True)
class Event:
    """Something worth telling; `at` is seconds since the epoch."""

    id: int
    at: float
    kind: str
    message: str
    step: int | None
    data: dict[str, Any]


@dataclass(frozen=True)
class Sample:
    """Text that the model wrote after `step` updates."""

    id: int
    at: float
    segment: int
    step: int
    prompt: str
    text: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Probe:
    """A small array kept at a step, in the encoding of whoever wrote it."""

    id: int
    at: float
    segment: int
    step: int
    key: str
    payload: bytes


@dataclass(frozen=True)
class Ack:
    """The worker's answer to a command."""

    command_id: str
    accepted: bool
    step: int
    before: Any
    after: Any
    reason: str
    at: float


@dataclass(frozen=True)
class Heartbeat:
    """The last sign of life and how far the run was then."""

    progress: dict[str, Any]
    written_at: float


@dataclass(frozen=True)
class Lease:
    """Who may write to the run's files, as the run's own metrics.db says."""

    token: str
    owner: ProcessIdentity | None
    taken_at: float


@dataclass(frozen=True)
class RecordedState:
    """The last state that the worker wrote beside the registry's word."""

    state: str
    reason: str
    remedy: str
    result: dict[str, Any]
    at: float


def read_points(run_folder: Path, key: str, after_id: int = 0, limit: int | None = None) -> PointArrays:
    """The points of a key with a larger id than `after_id` (0: all), of every segment, rolled-back stretches included.

    Args:
        limit: so many at most, the oldest first; a reader of long curves goes on from the last id.
    """
    query = f"SELECT {_POINT_COLUMNS} FROM points WHERE key = ? AND id > ? ORDER BY id LIMIT ?"
    with _connection(run_folder) as connection:
        # Row by row into one array: a million points never stand in memory as a million tuples.
        values = (key, after_id, -1 if limit is None else limit)
        return _point_arrays(connection.execute(query, values) if connection is not None else ())


def metric_keys(run_folder: Path) -> list[str]:
    """The keys that have points, in alphabetical order."""
    # Jumps from key to key through the index instead of reading every point.
    query = (
        "WITH RECURSIVE keys(key) AS (SELECT min(key) FROM points UNION ALL"
        " SELECT (SELECT min(key) FROM points WHERE key > keys.key) FROM keys WHERE keys.key IS NOT NULL)"
        " SELECT key FROM keys WHERE key IS NOT NULL"
    )
    return [str(row[0]) for row in _rows(run_folder, query)]


def last_values(run_folder: Path, keys: Sequence[str]) -> dict[str, float]:
    """The value written last for each of the keys that have one."""
    query = "SELECT value FROM points WHERE key = ? ORDER BY id DESC LIMIT 1"
    values: dict[str, float] = {}
    with _connection(run_folder) as connection:
        for key in keys if connection is not None else ():
            row = connection.execute(query, (key,)).fetchone() if connection is not None else None
            if row is not None:
                values[key] = float("nan") if row[0] is None else float(row[0])
    return values


def few_points(run_folder: Path, key: str, count: int) -> PointArrays:
    """About `count` points of a key, spread evenly over all of them, first and last included; cheap however many there are."""
    rows = dict[int, tuple[Any, ...]]()
    with _connection(run_folder) as connection:
        if connection is not None:
            # Each alone is one step through the index; asked for together they would read every point of the key.
            (first,) = connection.execute("SELECT min(id) FROM points WHERE key = ?", (key,)).fetchone()
            (last,) = connection.execute("SELECT max(id) FROM points WHERE key = ?", (key,)).fetchone()
            for target in np.linspace(first, last, count).round().astype(int).tolist() if first is not None else []:
                query = f"SELECT {_POINT_COLUMNS} FROM points WHERE key = ? AND id >= ? ORDER BY id LIMIT 1"
                row = connection.execute(query, (key, target)).fetchone()
                rows[row[0]] = row
    return _point_arrays(rows.values())


def _point_arrays(rows: Iterable[tuple[Any, ...]]) -> PointArrays:
    table = np.fromiter(rows, dtype=_POINT_TYPE)
    return PointArrays(
        id=np.ascontiguousarray(table["id"]),
        segment=np.ascontiguousarray(table["segment"]),
        step=np.ascontiguousarray(table["step"]),
        tokens=np.ascontiguousarray(table["tokens"]),
        seconds=np.ascontiguousarray(table["seconds"]),
        value=np.where(table["is_nan"], np.nan, table["value"]),
    )


def segments(run_folder: Path) -> list[Segment]:
    """All segments in the order they began. Read them after the points, so that no point's segment is missing."""
    return [
        Segment(*row) for row in _rows(run_folder, "SELECT id, parent, from_step, token, at FROM segments ORDER BY id")
    ]


def surviving(points: PointArrays, segments: Sequence[Segment]) -> npt.NDArray[np.bool_]:
    """Which points are part of the run as it went in the end.

    The lineage is the segment begun last and its chain of parents. A parent's points count up to the step at which its
    child went on, so resumed and rolled-back stretches are seen once. Where a step was measured again (an evaluation
    repeated right after a resume), the later measurement counts.

    Args:
        points: points of one key.
        segments: all segments of the run.
    """
    last_step = _last_steps(segments)
    mask = np.zeros(len(points), dtype=np.bool_)
    for segment, limit in last_step.items():
        mask |= (points.segment == segment) & (points.step <= limit)
    kept = np.flatnonzero(mask)
    _, first_from_behind = np.unique(points.step[kept][::-1], return_index=True)
    unique = np.zeros_like(mask)
    unique[kept[len(kept) - 1 - first_from_behind]] = True
    return unique


def abandoned(points: PointArrays, segments: Sequence[Segment]) -> npt.NDArray[np.bool_]:
    """Which points belong to a stretch that a resume or a roll-back gave up; a step that was only measured again does not."""
    last_step = _last_steps(segments)
    mask = np.ones(len(points), dtype=np.bool_)
    for segment, limit in last_step.items():
        mask &= (points.segment != segment) | (points.step > limit)
    return mask


def _last_steps(segments: Sequence[Segment]) -> dict[int, float]:
    """For each segment of the lineage the last step that counts; infinity for the newest segment."""
    by_id = {segment.id: segment for segment in segments}
    last_step: dict[int, float] = {}
    current = max(by_id, default=None)
    limit = float("inf")
    while current is not None and current in by_id and current not in last_step:
        last_step[current] = limit
        # A later child may have gone back behind the point where its parent itself began.
        limit = min(limit, by_id[current].from_step)
        current = by_id[current].parent
    return last_step


def events(run_folder: Path, after_id: int = 0, kinds: Sequence[str] = ()) -> list[Event]:
    """Events with a larger id than `after_id`, oldest first.

    Args:
        kinds: only these; all when empty.
    """
    wanted = f" AND kind IN ({', '.join('?' * len(kinds))})" if kinds else ""
    query = f"SELECT id, at, kind, message, step, data FROM events WHERE id > ?{wanted} ORDER BY id"
    return [Event(*row[:-1], data=json.loads(row[-1])) for row in _rows(run_folder, query, (after_id, *kinds))]


def changes_in_force(happened: Sequence[Event]) -> list[Event]:
    """The changes of settings, oldest first, without those that a way back undid. A resume makes them again at their steps."""
    made: list[Event] = []
    for event in happened:
        if event.kind == "changed":
            made.append(event)
        elif event.kind == "rolled_back":
            to_step = int(event.data.get("to_step", event.step or 0))
            made = [change for change in made if (change.step or 0) < to_step]
    return made


def last_tried_step(run_folder: Path) -> int:
    """The last step whose batch was read: one more than were made where the next one was not finite; 0 before the first."""
    beat = heartbeat(run_folder)
    made = int(beat.progress.get("step") or 0) if beat is not None else 0
    is_tried = any(
        event.kind == "diverged" and event.step == made + 1 for event in events(run_folder, kinds=("diverged",))
    )
    return made + is_tried


def samples(run_folder: Path, after_id: int = 0) -> list[Sample]:
    """Samples of the surviving lineage with a larger id than `after_id`, oldest first."""
    query = "SELECT id, at, segment, step, prompt, text, data FROM samples WHERE id > ? ORDER BY id"
    rows = _rows(run_folder, query, (after_id,))
    limits = _last_steps(segments(run_folder))
    return [Sample(*row[:-1], data=json.loads(row[-1])) for row in rows if row[3] <= limits.get(row[2], -1)]


def probes(run_folder: Path, key: str, after_id: int = 0) -> list[Probe]:
    """Probes of a key of the surviving lineage with a larger id than `after_id`, oldest first."""
    query = "SELECT id, at, segment, step, key, payload FROM probes WHERE key = ? AND id > ? ORDER BY id"
    rows = _rows(run_folder, query, (key, after_id))
    limits = _last_steps(segments(run_folder))
    return [Probe(*row) for row in rows if row[3] <= limits.get(row[2], -1)]


def acks(run_folder: Path) -> list[Ack]:
    """The worker's answers to commands, oldest first."""
    query = "SELECT command_id, accepted, step, before, after, reason, at FROM acks ORDER BY id"
    return [
        Ack(row[0], bool(row[1]), row[2], json.loads(row[3]), json.loads(row[4]), row[5], row[6])
        for row in _rows(run_folder, query)
    ]


def heartbeat(run_folder: Path) -> Heartbeat | None:
    """The last sign of life; None before the first."""
    rows = _rows(run_folder, "SELECT progress, written_at FROM heartbeat")
    return Heartbeat(json.loads(rows[0][0]), rows[0][1]) if rows else None


def read_lease(run_folder: Path) -> Lease | None:
    """Who may write to the run's files; None before the first worker."""
    rows = _rows(run_folder, "SELECT token, owner, taken_at FROM lease")
    if not rows:
        return None
    token, owner, taken_at = rows[0]
    return Lease(token, ProcessIdentity.from_json(json.loads(owner)), taken_at)


def last_state(run_folder: Path) -> RecordedState | None:
    """The state that the worker recorded last; None when it recorded none."""
    rows = _rows(run_folder, "SELECT data, at FROM events WHERE kind = ? ORDER BY id DESC LIMIT 1", (STATE_EVENT,))
    if not rows:
        return None
    data = json.loads(rows[0][0])
    return RecordedState(data["state"], data["reason"], data["remedy"], data["result"], rows[0][1])


def _rows(run_folder: Path, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    with _connection(run_folder) as connection:
        return [] if connection is None else connection.execute(query, values).fetchall()


@contextmanager
def _connection(run_folder: Path) -> Generator[sqlite3.Connection | None]:
    """A read-only connection, closed at the end of the block; None when nothing was written yet.

    Raises:
        UserError: the file is damaged, or a newer version wrote it.
    """
    path = (run_folder / FILE_NAME).absolute()
    if not path.exists():
        yield None
        return
    try:
        with _readable(path) as readable_path:
            uri = readable_path.as_uri()
            # A folder that cannot be written to has no writer either, so the file may be taken as unchanging.
            mode = "mode=ro" if os.access(readable_path.parent, os.W_OK) else "immutable=1"
            with closing(sqlite3.connect(f"{uri}?{mode}", uri=True, timeout=BUSY_SECONDS)) as connection:
                version = connection.execute("PRAGMA user_version").fetchone()[0]
                if version > SCHEMA_VERSION:
                    what = "The points of this run were written by a newer Glassbox"
                    raise UserError(what, value=path, remedy="Update Glassbox")
                yield connection if version > 0 else None
    except sqlite3.DatabaseError as error:
        raise UserError(
            f"The file of points cannot be read: {error}",
            value=path,
            remedy="The checkpoints beside it are not affected; bring metrics.db back from a copy, or resume the run",
        ) from error


@contextmanager
def _readable(path: Path) -> Generator[Path]:
    """The file itself, or, where an unsealed WAL lies in a folder that cannot be written to, a copy of both.

    SQLite needs to write a -shm beside a WAL, and in immutable mode would leave the WAL out.
    """
    wal = path.with_name(path.name + "-wal")
    if os.access(path.parent, os.W_OK) or not wal.exists() or wal.stat().st_size == 0:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="glassbox-") as folder:
        copy = Path(folder) / path.name
        shutil.copyfile(path, copy)
        shutil.copyfile(wal, copy.with_name(wal.name))
        yield copy
