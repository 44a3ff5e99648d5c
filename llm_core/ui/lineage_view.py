"""The family of a run: what it was forked from, what was forked from it, and what it gave up.

Not here: the drawing (`llm_core.figures.lineage`), forking (`run_controls.py`).
"""

from __future__ import annotations

import streamlit as st

from llm_core.figures.lineage import Branch, lineage
from llm_core.ui.states import literal
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.lineage import Lineage, read_lineage
from llm_core.workspace.metrics_read import events, heartbeat
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import run_folder


def has_family(workspace: Workspace, record: JobRecord) -> bool:
    """Whether there is anything to draw: a parent, a fork, or a stretch that was given up."""
    return len(_family(workspace, record)) > 1 or bool(_abandoned(workspace, record.id))


def show_lineage(workspace: Workspace, record: JobRecord) -> None:
    """The family as a picture, and each relative as a link."""
    members = _family(workspace, record)
    places = {member.id: place for place, (member, _) in enumerate(members)}
    branches = [
        Branch(
            name=member.name,
            color=member.color,
            first_step=0 if origin is None else origin.step,
            last_step=max(_last_step(workspace, member), 0 if origin is None else origin.step),
            parent=None if origin is None else places.get(origin.parent),
            abandoned=_abandoned(workspace, member.id),
            is_shown=member.id == record.id,
        )
        for member, origin in members
    ]
    st.plotly_chart(
        lineage(branches, dark=st.context.theme.type == "dark"), config={"displayModeBar": False}, key="lineage"
    )
    for member, origin in members:
        if member.id != record.id:
            came = "" if origin is None else f" · forked at step {origin.step:,}"
            query = {"run": member.id}
            st.page_link("monitor.py", label=literal(f"{member.name} · {member.state}{came}"), query_params=query)
    own = read_lineage(run_folder(workspace, record.id))
    if own is not None and own.parent not in places:
        st.caption(literal(f"Forked from {own.parent_name} at step {own.step:,}, which is no longer here."))


def _family(workspace: Workspace, record: JobRecord) -> list[tuple[JobRecord, Lineage | None]]:
    """The run's eldest known ancestor and everything that was forked from it, parents before their forks."""
    with Registry(workspace) as registry:
        by_id = {run.id: run for run in registry.jobs("train")}
    origins = {run_id: read_lineage(run_folder(workspace, run_id)) for run_id in by_id}
    eldest, seen = record.id, {record.id}
    while (origin := origins.get(eldest)) is not None and origin.parent in by_id and origin.parent not in seen:
        eldest = origin.parent
        seen.add(eldest)
    found: list[tuple[JobRecord, Lineage | None]] = []
    waiting = [eldest]
    while waiting:
        run_id = waiting.pop(0)
        found.append((by_id[run_id], origins[run_id]))
        forks = [other for other, origin in origins.items() if origin is not None and origin.parent == run_id]
        known = {member.id for member, _ in found}
        waiting = [
            fork for fork in sorted(forks, key=lambda fork: by_id[fork].created_at) if fork not in known
        ] + waiting
    return found


def _last_step(workspace: Workspace, record: JobRecord) -> int:
    steps = record.result.get("steps")
    if isinstance(steps, int) and record.is_final:
        return steps
    beat = heartbeat(run_folder(workspace, record.id))
    return int(beat.progress.get("step") or 0) if beat is not None else 0


def _abandoned(workspace: Workspace, run_id: str) -> tuple[tuple[int, int], ...]:
    return tuple(
        (int(event.data["to_step"]), int(event.data["from_step"]))
        for event in events(run_folder(workspace, run_id))
        if event.kind == "rolled_back"
    )
