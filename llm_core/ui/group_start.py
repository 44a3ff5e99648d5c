"""Starting several runs with one click: once however often it is clicked, then they are ticked in the table.

Not here: the forms (`race_form.py`, `sweep_form.py`), queueing (`llm_core.backend.group_submission`).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

import streamlit as st

from llm_core.config.errors import UserError
from llm_core.ui.states import literal, show_error
from llm_core.workspace.job_record import JobRecord


def start_group(place: str, submit: Callable[[str], Sequence[JobRecord]]) -> None:
    """Called by the click: queue the runs and lay them over each other on this page.

    Args:
        place: names the form. What it started stands in its place until another is planned, so that a second click finds no button.
        submit: queues the runs under the key of this intention.
    """
    once: str = st.session_state.setdefault(f"once-{place}", secrets.token_hex(8))
    try:
        records = submit(once)
    except UserError as error:
        show_error(error)
        return
    st.session_state[f"started-{place}"] = len(records)
    st.query_params["run"] = ",".join(record.id for record in records)
    st.rerun()


def was_started(place: str, what: str) -> bool:
    """Whether the form has started something; then that is said, with a button to plan another."""
    started = st.session_state.get(f"started-{place}")
    if started is None:
        return False
    st.markdown(literal(f"{started} runs were queued. The table below shows how they go."))
    if st.button(f"Plan another {what}", key=f"again-{place}"):
        del st.session_state[f"started-{place}"]
        st.session_state.pop(f"once-{place}", None)
        st.rerun()
    return True
