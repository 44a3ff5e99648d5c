"""Summaries of runs for the pages that list many: those of ended runs are read once, those under way each time.

Not here: what a summary is made of (`llm_core.workspace.runs`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import streamlit as st

from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.paths import Workspace
from llm_core.workspace.runs import RunSummary, summarise_run


def summaries_of(workspace: Workspace, records: Iterable[JobRecord]) -> list[RunSummary]:
    """One summary for each record, in their order."""
    return [
        _ended(str(workspace.root), record.id, record.name, record.state, record.ended_at, workspace, record)
        if record.is_final
        else summarise_run(workspace, record)
        for record in records
    ]


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
