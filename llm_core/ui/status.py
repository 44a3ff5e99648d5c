"""The status block under the navigation: device, running runs, workspace; and the same in one line for a phone.

Both are shown anew every two seconds. Not here: sampling the devices (`llm_core.web.device_sampler`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from llm_core.quantities import duration
from llm_core.ui.refreshing import refreshed
from llm_core.ui.states import literal
from llm_core.web.device_sampler import shared_sampler
from llm_core.workspace.job_progress import read_progress
from llm_core.workspace.job_record import HELD, PAUSED, QUEUED, JobRecord
from llm_core.workspace.metrics_read import heartbeat
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import run_folder

REFRESH_SECONDS = 2.0
SHOWN_RUNS = 3
_SHORT_JOBS = {
    "import": "coming in",
    "tokenizer": "training a tokenizer",
    "encode": "cutting text into tokens",
    "probe": "measuring speed",
    "ngram": "being counted",
    "export": "being written",
}


@dataclass(frozen=True)
class Activity:
    """One run or job that is under way."""

    id: str
    is_run: bool
    name: str
    detail: str
    fraction: float | None


def status_block() -> None:
    """The block; the frame calls it in a fragment in the sidebar."""
    workspace = open_workspace()
    activities, waiting = current_activities(workspace)
    with st.container(border=True, key="status-block", gap="small"):
        for load in _shown_loads():
            st.caption(load)
        for activity in activities[:SHOWN_RUNS]:
            if activity.is_run:
                label = f"{literal(activity.name)} · {activity.detail}"
                st.page_link("monitor.py", label=label, query_params={"run": activity.id})
            else:
                st.caption(f"{literal(activity.name)} · {activity.detail}")
            if activity.fraction is not None:
                st.progress(activity.fraction)
        st.caption(_rest(len(activities), waiting))
    st.caption(f":material/folder: {literal(_short(workspace.root))}", help="Everything is kept in this folder.")


@refreshed(REFRESH_SECONDS)
def status_line() -> None:
    """The same in one line, for pages that are read on a phone, where the sidebar is closed."""
    activities, waiting = current_activities(open_workspace())
    parts = [*_shown_loads()[:1], *(f"{literal(activity.name)} {activity.detail}" for activity in activities[:1])]
    st.caption(" · ".join([*parts, *([] if activities else [_rest(0, waiting).lower()])]))


def current_activities(workspace: Workspace) -> tuple[list[Activity], int]:
    """What is under way, then what is paused, runs before jobs; and how many runs wait in the queue."""
    with Registry(workspace) as registry:
        records = registry.jobs(states=HELD | {QUEUED, PAUSED})
    shown = [record for record in records if record.state != QUEUED]
    shown.sort(key=lambda record: (record.state == PAUSED, record.kind != "train"))
    waiting = sum(record.state == QUEUED and record.kind == "train" for record in records)
    return [_activity(workspace, record) for record in shown], waiting


def _activity(workspace: Workspace, record: JobRecord) -> Activity:
    if record.kind != "train":
        progress = read_progress(workspace, record.id) or {}
        name, detail = record.name, _SHORT_JOBS.get(record.kind, record.kind)
        return Activity(record.id, False, name, detail, _share(progress.get("done"), progress.get("total")))
    beat = heartbeat(run_folder(workspace, record.id))
    progress: dict[str, Any] = {} if beat is None else beat.progress
    fraction = _share(progress.get("step"), progress.get("max_steps"))
    return Activity(record.id, True, record.name, _run_detail(record.state, progress, fraction), fraction)


def _run_detail(state: str, progress: dict[str, Any], fraction: float | None) -> str:
    percent = "" if fraction is None else f"{fraction:.0%}".replace("%", " %")
    if state == PAUSED:
        return f"paused {percent}".strip()
    left = progress.get("eta_seconds")
    if percent:
        return percent + ("" if left is None else f" · {duration(left)} left")
    return str(progress.get("phase") or "starting")


def _rest(running: int, waiting: int) -> str:
    """What the lines above leave out."""
    more = f"{running - SHOWN_RUNS} more under way" if running > SHOWN_RUNS else ""
    queued = f"{waiting} waiting in the queue" if waiting else ""
    text = " · ".join(part for part in (more, queued) if part)
    return text or ("" if running else "Nothing is running")


def _shown_loads() -> list[str]:
    """The GPUs where there are any, else the CPU."""
    loads = shared_sampler().latest()
    gpus = [load.line for load in loads if load.device.kind != "cpu"]
    return gpus or [load.line for load in loads]


def _share(done: Any, total: Any) -> float | None:
    if not isinstance(done, int | float) or not isinstance(total, int | float) or total <= 0:
        return None
    return min(max(done / total, 0.0), 1.0)


def _short(path: Path) -> str:
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
