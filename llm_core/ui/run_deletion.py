"""Deleting ticked runs: what is freed is said, one question is asked, a running run is refused.

Not here: the deletion itself (`llm_core.workspace.runs`).
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from llm_core.backend.jobs import delete_run
from llm_core.config.errors import UserError
from llm_core.quantities import size
from llm_core.ui.guards import require
from llm_core.ui.states import literal, show_error
from llm_core.workspace.job_record import HELD
from llm_core.workspace.paths import Workspace
from llm_core.workspace.runs import RunSummary

_TOLD = "runs-deleted"


def delete_button(workspace: Workspace, chosen: Sequence[RunSummary]) -> None:
    """The button, and behind it the question."""
    what = "this run" if len(chosen) == 1 else f"{len(chosen)} runs"
    with st.popover(f"Delete {what}", icon=":material/delete:"):
        held = [run for run in chosen if run.state in HELD]
        if held:
            names = ", ".join(run.name for run in held)
            st.markdown(literal(f"Still at work: {names}. Stop it on Monitor first; nothing is deleted before."))
            return
        names = ", ".join(run.name for run in chosen)
        freed = size(sum(run.size_bytes for run in chosen))
        st.markdown(literal(f"This deletes {names} with all checkpoints and frees {freed}. It cannot be undone."))
        if st.button("Delete for good", icon=":material/delete_forever:", key="delete-for-good"):
            _delete(workspace, chosen)


def tell_deletion() -> None:
    """What the last click deleted, once."""
    told = st.session_state.pop(_TOLD, None)
    if told is not None:
        st.success(literal(told), icon=":material/check:")


def _delete(workspace: Workspace, chosen: Sequence[RunSummary]) -> None:
    names: list[str] = []
    freed = 0
    try:
        require("delete-run")
        for run in chosen:
            freed += delete_run(workspace, run.id)
            names.append(run.name)
    except UserError as error:
        show_error(error)
        if not names:
            return
    st.session_state[_TOLD] = f"{', '.join(names)} deleted; {size(freed)} are free again."
    if "run" in st.query_params:
        del st.query_params["run"]
    st.rerun()
