"""The pieces every page shares: its head, its empty place, its errors, how to do the same from code.

Not here: numbers in words (`llm_core.quantities`), who may do what (`guards.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from llm_core.config.errors import NotFound, UserError
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry


def page_head(title: str, sentence: str) -> None:
    """The one heading of a page and the line that says what the page is for."""
    st.title(title)
    st.caption(sentence)


def record_or_rerun(workspace: Workspace, run_id: str) -> JobRecord:
    """For a fragment that looks again and again: the run as it is now; once it was deleted, the page is shown anew and says so."""
    try:
        with Registry(workspace) as registry:
            return registry.get(run_id)
    except NotFound:
        st.rerun()


def empty_place(sentence: str, button: str, page: str, icon: str = ":material/arrow_forward:") -> None:
    """Nothing here yet: one sentence and the link that helps."""
    with st.container(border=True):
        st.write(sentence)
        st.page_link(page, label=button, icon=icon)


def show_error(error: UserError) -> None:
    """What, value, limit and remedy, with the text ready to be copied."""
    st.error(literal(str(error)), icon=":material/error:")
    with st.expander("Copy details"):
        st.code(str(error), language=None, wrap_lines=True)


def attempt(action: Callable[[], object]) -> bool:
    """Run an action of a button; an error for people is shown and answers False."""
    try:
        action()
    except UserError as error:
        show_error(error)
        return False
    return True


def from_code(command: str, python: str) -> None:
    """The same from the command line, where it has a verb for it, and from Python."""
    with st.expander("Do this from code", icon=":material/code:"):
        if command:
            st.code(command, language="bash", wrap_lines=True)
        st.code(python, language="python", wrap_lines=True)


def literal(text: str) -> str:
    """Text that Markdown shows as it is, whatever it is called."""
    return "".join(f"\\{character}" if character in r"\`*_{}[]()<>#+-.!|~$:" else character for character in text)


def choose_run(workspace: Workspace, label: str = "Run", states: Sequence[str] | None = None) -> JobRecord | None:
    """The run of the link (`?run=`), else the newest, in a box to change it; None when there is none or the link names no run.

    An unknown run in a link is said and never replaced by another.
    """
    with Registry(workspace) as registry:
        records = registry.jobs("train", states)
    if not records:
        return None
    by_id = {record.id: record for record in records}
    asked = st.query_params.get("run")
    if asked is not None and asked not in by_id:
        matching = [record for record in records if record.name == asked]
        if not matching:
            names = ", ".join(record.name for record in records[:8])
            st.warning(literal(f"There is no run {asked[:80]}. There are: {names}."), icon=":material/search_off:")
            if st.button("Show the newest run"):
                del st.query_params["run"]
                st.rerun()
            return None
        asked = matching[0].id
    chosen = st.selectbox(
        label,
        list(by_id),
        index=list(by_id).index(asked) if asked else 0,
        format_func=lambda run_id: f"{by_id[run_id].name} · {by_id[run_id].state}",
        width=360,
        key=f"choose-run-{asked}",
    )
    if chosen != st.query_params.get("run"):
        st.query_params["run"] = chosen
    return by_id[chosen]
