"""Starting a run from a button: once however often it is clicked, then on to Monitor.

Not here: what a submission checks (`llm_core.backend.jobs`).
"""

from __future__ import annotations

import secrets

import streamlit as st

from llm_core.backend.jobs import submit_run
from llm_core.config.errors import UserError
from llm_core.config.run import RunConfig
from llm_core.ui.guards import require_role
from llm_core.ui.states import show_error
from llm_core.workspace.paths import open_workspace


def start_and_watch(config: RunConfig, *, place: str, wish: str = "") -> None:
    """Queue the run and open Monitor on it. `place` names the button: two clicks before the page has left it are one intention."""
    once = st.session_state.setdefault(f"once-{place}", secrets.token_hex(8))
    try:
        require_role()
        record = submit_run(open_workspace(), config, once=once, wish=wish)
    except UserError as error:
        show_error(error)
        return
    st.session_state[f"started-{place}"] = record.id
    st.switch_page("monitor.py", query_params={"run": record.id})


def new_intention(place: str) -> None:
    """Called when the page is shown afresh: the next click is a new run once the former click's run has been opened."""
    if st.session_state.pop(f"started-{place}", None) is not None:
        st.session_state.pop(f"once-{place}", None)
