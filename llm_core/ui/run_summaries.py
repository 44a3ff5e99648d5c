"""Summaries of runs for the pages that list many: those of ended runs are read once, those under way each time.

Not here: what a summary is made of (`llm_core.workspace.runs`), the table (`run_table.py`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from llm_core.backend.environment import read_environment
from llm_core.backend.run_changes import RunChange, changes_of, spoken_changes, with_changes
from llm_core.backend.run_groups import group_of
from llm_core.config.errors import UserError
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.lineage import Lineage, read_lineage
from llm_core.workspace.paths import Workspace
from llm_core.workspace.run_notes import read_notes
from llm_core.workspace.runs import RunSummary, run_folder, summarise_run

ARCHIVED = "archived"


@dataclass(frozen=True)
class ListedRun:
    """A run as the table of all runs knows it."""

    summary: RunSummary
    config: dict[str, Any]
    """As they lie on disk, with what was changed on the way."""
    environment: dict[str, Any]
    """What it was computed with; empty where that was not recorded."""
    lineage: Lineage | None
    """Where it was forked from."""
    tags: tuple[str, ...]
    changes: tuple[RunChange, ...] = ()
    """Of its settings, on the way."""

    @property
    def id(self) -> str:
        """Of the run."""
        return self.summary.id

    @property
    def name(self) -> str:
        """Of the run."""
        return self.summary.name

    @property
    def group(self) -> str:
        """The race, the sweep or the word that it belongs to; empty for none."""
        return group_of(self.config)

    @property
    def seed(self) -> int | None:
        """Where all chance started."""
        seed = self.config.get("seed")
        return seed if isinstance(seed, int) else None

    @property
    def data_hash(self) -> str:
        """SHA-256 of its text; empty where it was not recorded."""
        return str(self.environment.get("data_hash") or "")

    @property
    def history(self) -> str:
        """What was changed on the way, in one line; empty for nothing."""
        return spoken_changes(self.changes)

    @property
    def is_archived(self) -> bool:
        """Whether it is kept out of the table."""
        return ARCHIVED in self.tags


def summaries_of(workspace: Workspace, records: Iterable[JobRecord]) -> list[RunSummary]:
    """One summary for each record, in their order."""
    return [
        _ended(str(workspace.root), record.id, record.name, record.state, record.ended_at, workspace, record)
        if record.is_final
        else summarise_run(workspace, record)
        for record in records
    ]


def listed_runs(workspace: Workspace, records: Iterable[JobRecord]) -> list[ListedRun]:
    """One for each record, in their order."""
    records = list(records)
    listed: list[ListedRun] = []
    for record, summary in zip(records, summaries_of(workspace, records), strict=True):
        folder = run_folder(workspace, record.id)
        if record.is_final:
            facts = _kept_facts(str(workspace.root), record.id, record.ended_at, workspace)
        else:
            facts = _read_facts(folder)
        config = with_changes(record.config, facts.changes)
        tags = read_notes(folder).tags
        listed.append(ListedRun(summary, config, facts.environment, facts.lineage, tags, facts.changes))
    return listed


@dataclass(frozen=True)
class _Facts:
    """What a run's folder says beside its figures."""

    environment: dict[str, Any]
    lineage: Lineage | None
    changes: tuple[RunChange, ...]


@st.cache_resource(max_entries=2_000, show_spinner=False)
def _kept_facts(root: str, run_id: str, ended_at: float | None, _workspace: Workspace) -> _Facts:
    """Those of an ended run change no more before it goes on and ends anew."""
    return _read_facts(run_folder(_workspace, run_id))


def _read_facts(folder: Path) -> _Facts:
    try:
        changes = tuple(changes_of(folder))
    except UserError:
        changes = ()  # a damaged file must not take the list of runs down; the run's own page names the damage
    return _Facts(read_environment(folder), read_lineage(folder), changes)


@st.cache_resource(max_entries=2_000, show_spinner=False)
def _ended(
    root: str, run_id: str, name: str, state: str, ended_at: float | None, _workspace: Workspace, _record: JobRecord
) -> RunSummary:
    """Kept under the plain arguments; those with an underscore are not looked at."""
    return summarise_run(_workspace, _record)


def ago(moment: float, now: float | None = None) -> str:
    """How long something is past, in words: "just now", "5 min ago", "3 h ago", "2 days ago", or the date.

    Args:
        moment, now: seconds since the epoch.
    """
    now = time.time() if now is None else now
    minutes = max(0.0, now - moment) / 60
    if minutes < 1:
        return "just now"
    if minutes < 60:
        return f"{minutes:.0f} min ago"
    if minutes < 24 * 60:
        return f"{minutes / 60:.0f} h ago"
    days = round(minutes / (24 * 60))
    if days < 14:
        return f"{days} day{'s' if days > 1 else ''} ago"
    return time.strftime("%-d %B %Y", time.localtime(moment))
