"""The points of runs in the memory of the web process: read by cursor, shared by every page, bounded.

Each run's metrics.db is read only when it has changed, from the last point known; a resume or roll-back begins a new segment
and the run is read anew. The surviving lineage is the curve; the stretches given up last are kept beside it, to be drawn as
ghosts. Not here: what a chart asks for (`series.py`), values at one step (`step_values.py`).
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from llm_core.web.column import Column
from llm_core.web.curves import DebiasedAverage, Floats
from llm_core.workspace.metrics import FILE_NAME
from llm_core.workspace.metrics_read import (
    Event,
    PointArrays,
    Segment,
    abandoned,
    events,
    read_points,
    segments,
    surviving,
)

MAXIMUM_BYTES = 512 * 2**20
SMOOTHINGS_KEPT = 2
GHOSTS_KEPT = 8
# File times move in ticks of some milliseconds: a younger file may still change without its time changing.
SETTLED_SECONDS = 0.1

_Signature = tuple[int, int, int, int, int]


class Curve:
    """One key of one run: the surviving points in the order of their steps, smoothed versions of them, and ghosts.

    What a reader was given never changes: new values come behind the end of its arrays, or into larger ones.
    """

    def __init__(self) -> None:
        self.ghosts: tuple[PointArrays, ...] = ()
        """The stretches that were given up, the latest last, each in the order of its steps."""
        self.last_id = 0
        self._columns = {"step": Column(np.int64), "tokens": Column(np.int64), "seconds": Column(), "value": Column()}
        self._smoothed: OrderedDict[float, tuple[DebiasedAverage, Column]] = OrderedDict()

    @property
    def points(self) -> PointArrays:
        """The points so far. Which row and segment of the file each came from is not kept: those two are zeros that take no room."""
        columns = {name: column.values for name, column in self._columns.items()}
        nothing = np.broadcast_to(np.int64(0), len(columns["step"]))
        return PointArrays(id=nothing, segment=nothing, **columns)

    def append(self, points: PointArrays, last_id: int) -> None:
        """Points that follow the present ones."""
        self.last_id = max(self.last_id, last_id)
        if not len(points):
            return
        for name, column in self._columns.items():
            column.append(getattr(points, name))
        for average, values in self._smoothed.values():
            values.append(average.extend(points.value))

    def smoothed(self, weight: float) -> Floats:
        """The moving average of all values; kept, and carried on as points arrive, for the weights asked for last."""
        if weight not in self._smoothed:
            average, values = DebiasedAverage(weight), Column()
            values.append(average.extend(self._columns["value"].values))
            self._smoothed[weight] = (average, values)
            while len(self._smoothed) > SMOOTHINGS_KEPT:
                self._smoothed.popitem(last=False)
        self._smoothed.move_to_end(weight)
        return self._smoothed[weight][1].values

    @property
    def size_bytes(self) -> int:
        """Memory of the arrays."""
        columns = [*self._columns.values(), *(values for _, values in self._smoothed.values())]
        return sum(column.size_bytes for column in columns) + 48 * sum(map(len, self.ghosts))


@dataclass
class RunCurves:
    """What is known of one run. Hold `lock` while calling or reading."""

    folder: Path
    lock: threading.Lock = field(default_factory=threading.Lock)
    curves: dict[str, Curve] = field(default_factory=dict[str, Curve])
    segments: list[Segment] = field(default_factory=list[Segment])
    events: list[Event] = field(default_factory=list[Event])
    _signature: _Signature | None = None
    _fresh_keys: set[str] = field(default_factory=set[str])

    def refresh(self, keys: Sequence[str]) -> None:
        """Read what was written since the last time."""
        signature = _signature_of(self.folder)
        if self._signature is not None and signature is not None and signature[0] != self._signature[0]:
            self._forget()  # another file took the place of the one that was read
        if signature is None:
            self._forget()
            return
        if signature != self._signature:
            self._fresh_keys.clear()
        stale = [key for key in dict.fromkeys(keys) if key not in self._fresh_keys]
        if not stale:
            return
        new_points = {key: read_points(self.folder, key, self._curve(key).last_id) for key in stale}
        known = segments(self.folder)
        if known != self.segments:
            self.segments = known
            self.curves.clear()
            new_points = {key: read_points(self.folder, key) for key in stale}
        for key, points in new_points.items():
            self._take(key, points)
        self.events += events(self.folder, self.events[-1].id if self.events else 0)
        if _is_settled(signature):
            self._signature = signature
            self._fresh_keys.update(stale)
        else:
            self._signature = (signature[0], 0, 0, 0, 0)

    @property
    def inode(self) -> int:
        """Which file was read; 0 before the first."""
        return self._signature[0] if self._signature is not None else 0

    @property
    def size_bytes(self) -> int:
        """Memory of all curves."""
        return sum(curve.size_bytes for curve in list(self.curves.values()))

    def _curve(self, key: str) -> Curve:
        return self.curves.setdefault(key, Curve())

    def _take(self, key: str, points: PointArrays) -> None:
        last_id = int(points.id[-1]) if len(points) else 0
        curve = self._curve(key)
        if not curve.last_id:
            curve.ghosts = _stretches(points.where(abandoned(points, self.segments)))
        kept = points.where(surviving(points, self.segments))
        if len(kept) and len(curve.points) and kept.step[0] <= curve.points.step[-1]:
            # A step was measured again: the later measurement takes the place of the earlier one.
            ghosts = curve.ghosts
            self.curves[key] = curve = Curve()
            curve.ghosts = ghosts
            everything = read_points(self.folder, key)
            last_id = int(everything.id[-1])
            kept = everything.where(surviving(everything, self.segments))
        curve.append(_in_order(kept), last_id)

    def _forget(self) -> None:
        self.curves.clear()
        self.segments, self.events = [], []
        self._signature = None
        self._fresh_keys.clear()


class CurveCache:
    """The runs asked for last, as many as fit; a run that does not fit is read again when it is asked for."""

    def __init__(self, maximum_bytes: int = MAXIMUM_BYTES) -> None:
        self._maximum_bytes = maximum_bytes
        self._lock = threading.Lock()
        self._runs: OrderedDict[Path, RunCurves] = OrderedDict()

    def run(self, folder: Path) -> RunCurves:
        """The curves of the run in this folder, perhaps still empty."""
        with self._lock:
            run = self._runs.setdefault(folder, RunCurves(folder))
            self._runs.move_to_end(folder)
            while len(self._runs) > 1 and self.size_bytes > self._maximum_bytes:
                self._runs.popitem(last=False)
            return run

    @property
    def size_bytes(self) -> int:
        """Memory of all curves of all runs."""
        return sum(run.size_bytes for run in list(self._runs.values()))


@cache
def shared_curves() -> CurveCache:
    """The curves of this process: the routes fill them, and pages look a step up in them."""
    return CurveCache()


def _signature_of(folder: Path) -> _Signature | None:
    """Inode, and size and time of the file and of its WAL; None when nothing was written yet."""
    try:
        status = (folder / FILE_NAME).stat()
    except FileNotFoundError:
        return None
    try:
        wal = (folder / f"{FILE_NAME}-wal").stat()
    except FileNotFoundError:
        return status.st_ino, status.st_mtime_ns, status.st_size, 0, 0
    return status.st_ino, status.st_mtime_ns, status.st_size, wal.st_mtime_ns, wal.st_size


def _is_settled(signature: _Signature) -> bool:
    return time.time_ns() - max(signature[1], signature[3]) > SETTLED_SECONDS * 1e9


def _in_order(points: PointArrays) -> PointArrays:
    """By step, whatever order they were written in; a chart cannot search a curve that runs backwards."""
    if len(points) < 2 or bool((np.diff(points.step) > 0).all()):
        return points
    order = np.argsort(points.step, kind="stable")
    return PointArrays(
        id=points.id[order],
        segment=points.segment[order],
        step=points.step[order],
        tokens=points.tokens[order],
        seconds=points.seconds[order],
        value=points.value[order],
    )


def _stretches(points: PointArrays) -> tuple[PointArrays, ...]:
    """Points segment by segment, those of the last few segments."""
    found = sorted(set(points.segment.tolist()))[-GHOSTS_KEPT:]
    return tuple(_in_order(points.where(points.segment == segment)) for segment in found)
