"""The queue on a page: which runs wait, in which order, and what may be done with each of them.

Shown anew every few seconds, so that a run that has begun leaves the list. Not here: changing a waiting run's settings
(`queue_edit.py`), runs under way (`run_rows.py`).
"""

from __future__ import annotations

import streamlit as st

from llm_core.backend.jobs import require_editable, stop_job
from llm_core.models.families import families
from llm_core.ui.guards import current_author, may, require
from llm_core.ui.queue_edit import open_on_train
from llm_core.ui.refreshing import refreshed
from llm_core.ui.run_summaries import ago
from llm_core.ui.states import attempt, literal
from llm_core.workspace.checkpoints import list_checkpoints
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import run_folder

REFRESH_SECONDS = 2.0
SHOWN_RUNS = 6

FIRST, UP, DOWN, EDIT, CANCEL = "Make it the next", "Move up", "Move down", "Change its settings", "Take it out"


@refreshed(REFRESH_SECONDS)
def show_queue(workspace: Workspace) -> None:
    """The waiting runs, the next one first; nothing where none waits."""
    with Registry(workspace) as registry:
        waiting = registry.queue()
    if not waiting:
        return
    with st.container(border=True, key="queue", gap="small"):
        count = "1 run waits" if len(waiting) == 1 else f"{len(waiting)} runs wait"
        shows_all = len(waiting) <= SHOWN_RUNS
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{count} in the queue**", width="content")
            if not shows_all:
                shows_all = st.toggle("Show all", key="queue-shows-all")
        for place, record in enumerate(waiting if shows_all else waiting[:SHOWN_RUNS]):
            _row(workspace, waiting, place, record)


def _row(workspace: Workspace, waiting: list[JobRecord], place: int, record: JobRecord) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"waiting-{record.id}"):
        with st.container(gap="xxsmall"):
            st.markdown(f"{place + 1}\\. **{literal(record.name)}**")
            st.caption(literal(f"{_what(record)} · queued {ago(record.queued_at)}"))
        if may("move-queued"):
            options = _options(workspace, waiting, place, record)
            chosen = st.menu_button("Change", options, key=f"change-waiting-{record.id}", type="tertiary")
            if chosen is not None:
                _do(workspace, chosen, waiting, place, record)


def _options(workspace: Workspace, waiting: list[JobRecord], place: int, record: JobRecord) -> list[str]:
    """What makes sense for the run at this place."""
    up = [FIRST, UP] if place > 0 else []
    down = [DOWN] if place < len(waiting) - 1 else []
    # A fork keeps the settings that it was given with its checkpoint.
    is_new = record.started_at is None and not list_checkpoints(run_folder(workspace, record.id))
    edit = [EDIT] if is_new else []
    return [*up, *down, *edit, CANCEL]


def _do(workspace: Workspace, chosen: str, waiting: list[JobRecord], place: int, record: JobRecord) -> None:
    """The wish is about this run and its neighbours as they were shown; what has begun meanwhile is said."""
    neighbour = place - 1 if chosen == UP else place + 2
    before = waiting[neighbour].id if neighbour < len(waiting) else None

    def move() -> None:
        require("move-queued")
        with Registry(workspace) as registry:
            if chosen == FIRST:
                registry.move_to_front(record.id)
            else:
                registry.move_in_queue(record.id, before=before)

    def cancel() -> None:
        require("cancel-job")
        stop_job(workspace, record.id, author=current_author())

    def edit() -> None:
        require("edit-queued")
        require_editable(workspace, record.id)

    if not attempt({EDIT: edit, CANCEL: cancel}.get(chosen, move)):
        return
    if chosen == EDIT:
        open_on_train(record)
    st.rerun()


def _what(record: JobRecord) -> str:
    kind = str(record.config.get("model", {}).get("kind", ""))
    family = families()[kind].title if kind in families() else kind
    text = record.config.get("data", {}).get("dataset", "")
    return f"{family} on {text}" if text else family
