"""A run that waits, opened on Train with its settings and given back to the queue with changes.

Not here: which drafts there are (`train_draft.py`), the queue itself (`queue_view.py`).
"""

from __future__ import annotations

import streamlit as st

from llm_core.backend.jobs import edit_queued_run, require_editable
from llm_core.config.errors import UserError
from llm_core.config.run import RunConfig, config_from_dict
from llm_core.ui.guards import require
from llm_core.ui.states import attempt, literal, show_error
from llm_core.ui.train_draft import Draft, leave_edit, start_from_waiting
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry


def open_on_train(record: JobRecord) -> None:
    """Go to Train with the settings of a run that waits."""
    start_from_waiting(record.id, record.name, config_from_dict(record.config))
    st.switch_page("train.py")


def edited_run(workspace: Workspace, draft: Draft) -> JobRecord | None:
    """The waiting run that this draft changes; None for a draft of a new run. One that cannot be changed any more is said."""
    if not draft.edits:
        return None
    try:
        require_editable(workspace, draft.edits)
        with Registry(workspace) as registry:
            return registry.get(draft.edits)
    except UserError as error:
        show_error(error)
        st.caption("These are its settings as they were; Start makes a new run of them.")
        return None


def edit_head(record: JobRecord) -> None:
    """Says what is being changed, and the way back."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.info(literal(f"You are changing {record.name}, which waits in the queue."), icon=":material/edit:")
        if st.button("Leave it as it is", key="leave-edit"):
            leave_edit()
            st.switch_page("runs.py")


def save_button(workspace: Workspace, record: JobRecord, config: RunConfig, *, disabled: bool) -> None:
    """Gives the run its changed settings; it keeps its place."""

    def save() -> None:
        require("edit-queued")
        edit_queued_run(workspace, record.id, config)

    if st.button(
        "Save to the queue",
        type="primary",
        icon=":material/save:",
        width="stretch",
        disabled=disabled,
        key="save-waiting",
        help="It keeps its place in the queue.",
    ) and attempt(save):
        leave_edit()
        st.switch_page("runs.py")
