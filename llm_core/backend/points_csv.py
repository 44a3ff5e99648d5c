"""Every point of a run as one CSV text, a piece at a time: bounded in memory however long the run, and no long look at metrics.db.

Columns: key, step, tokens, seconds, value; numbers as Python writes them exactly, "nan" where NaN was measured. Not here: one curve on
the command line (`glassbox metrics`), thinned curves for the screen (`llm_core.web.series`).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from llm_core.workspace.metrics_read import PointArrays, Segment, abandoned, metric_keys, read_points, segments

COLUMNS = ("key", "step", "tokens", "seconds", "value")
PAGE_POINTS = 20_000
# A table program takes a cell that begins like this for a formula and runs it.
_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")

_Row = tuple[int, int, float, float]


def points_csv(run_folder: Path, *, with_abandoned: bool = False) -> Iterator[str]:
    """The whole table, in pieces of about a megabyte.

    Args:
        with_abandoned: also stretches that a roll-back or a resume gave up; without them each step of a curve stands once.

    Raises:
        UserError: metrics.db is damaged.
    """
    yield ",".join(COLUMNS) + "\n"
    lineage = segments(run_folder)
    for key in metric_keys(run_folder):
        cell = plain_cell(key)
        for rows in _pages(run_folder, key, lineage, with_abandoned):
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerows((cell, step, tokens, repr(seconds), repr(value)) for step, tokens, seconds, value in rows)
            yield text.getvalue()


def plain_cell(text: str) -> str:
    """Text from data as a cell that no table program takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA_SIGNS) else text


def _pages(run_folder: Path, key: str, lineage: list[Segment], with_abandoned: bool) -> Iterator[list[_Row]]:
    """The rows of one curve, page by page; each page is one short look at the file."""
    after_id = 0
    held: list[_Row] = []  # the last row waits: its step may have been measured again right after a resume
    while True:
        points = read_points(run_folder, key, after_id, PAGE_POINTS)
        if not len(points):
            break
        after_id = int(points.id[-1])
        rows = held + _rows(points if with_abandoned else points.where(~abandoned(points, lineage)))
        if with_abandoned:
            yield rows
            continue
        # Along the lineage steps never fall, so a step that was measured twice stands in neighbouring rows.
        last_of_step = [row for row, after in pairwise(rows) if row[0] != after[0]]
        held = rows[-1:]
        yield last_of_step
    yield held


def _rows(points: PointArrays) -> list[_Row]:
    columns = (points.step, points.tokens, points.seconds, points.value)
    return list(zip(*(column.tolist() for column in columns), strict=True))
