"""Putting ticked runs away and deleting them: what is freed and who depends on it is said, one question is asked, a running run is refused.

A run that is put away carries the tag "archived": it stays whole and comes back with one click. Not here: the deletion itself
(`llm_core.workspace.runs`), tags (`llm_core.workspace.run_notes`).
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from llm_core.backend.jobs import delete_run
from llm_core.config.errors import UserError
from llm_core.quantities import size
from llm_core.ui.guards import require
from llm_core.ui.run_summaries import ARCHIVED, ListedRun
from llm_core.ui.states import attempt, literal, show_error
from llm_core.workspace.freed_space import freed_bytes
from llm_core.workspace.job_record import HELD
from llm_core.workspace.paths import Workspace
from llm_core.workspace.run_notes import change_notes
from llm_core.workspace.runs import run_folder

_TOLD, _PROBLEM = "runs-told", "runs-problem"


def archive_button(workspace: Workspace, chosen: Sequence[ListedRun]) -> None:
    """Puts the ticked runs away, or brings them back where all of them are."""
    is_back = all(run.is_archived for run in chosen)
    label, icon = ("Bring back", ":material/unarchive:") if is_back else ("Archive", ":material/archive:")
    text = "Keeps them out of the table; nothing is deleted." if not is_back else "Puts them into the table again."

    def put_away() -> None:
        require("edit-notes")
        for run in chosen:
            folder = run_folder(workspace, run.id)
            change_notes(folder, untag=[ARCHIVED]) if is_back else change_notes(folder, tag=[ARCHIVED])

    if st.button(label, icon=icon, help=text, key="archive-runs") and attempt(put_away):
        count = "1 run" if len(chosen) == 1 else f"{len(chosen)} runs"
        told = f"{count} brought back." if is_back else f"{count} put away. The switch above the table shows them."
        _tell(told)


def delete_button(workspace: Workspace, chosen: Sequence[ListedRun], runs: Sequence[ListedRun]) -> None:
    """The button, and behind it the question.

    Args:
        runs: all there are, to tell those that were forked from the ticked ones.
    """
    what = "this run" if len(chosen) == 1 else f"{len(chosen)} runs"
    with st.popover(f"Delete {what}", icon=":material/delete:"):
        held = [run for run in chosen if run.summary.state in HELD]
        if held:
            names = ", ".join(run.name for run in held)
            st.markdown(literal(f"Still at work: {names}. Stop it on Monitor first; nothing is deleted before."))
            return
        names = ", ".join(run.name for run in chosen)
        freed = size(freed_bytes(run_folder(workspace, run.id) for run in chosen))
        st.markdown(literal(f"This deletes {names} with all checkpoints and frees {freed}. It cannot be undone."))
        forks = forks_of(chosen, runs)
        if forks:
            st.markdown(literal(f"Forked from it: {', '.join(forks)}. What they need stays with them."))
        if st.button("Delete for good", icon=":material/delete_forever:", key="delete-for-good"):
            _delete(workspace, chosen)


def forks_of(chosen: Sequence[ListedRun], runs: Sequence[ListedRun]) -> list[str]:
    """Names of the runs that were forked from the ticked ones and are not ticked themselves."""
    ids = {run.id for run in chosen}
    return [run.name for run in runs if run.lineage is not None and run.lineage.parent in ids and run.id not in ids]


def tell_outcome() -> None:
    """What the last click did, once."""
    told: str | None = st.session_state.pop(_TOLD, None)
    if told is not None:
        st.success(literal(told), icon=":material/check:")
    problem: UserError | None = st.session_state.pop(_PROBLEM, None)
    if problem is not None:
        show_error(problem)


def _delete(workspace: Workspace, chosen: Sequence[ListedRun]) -> None:
    names: list[str] = []
    freed = 0
    try:
        require("delete-run")
        for run in chosen:
            freed += delete_run(workspace, run.id)
            names.append(run.name)
    except UserError as error:
        if not names:
            show_error(error)
            return
        st.session_state[_PROBLEM] = error  # what was deleted before it is told as well, when the page is shown anew
    _tell(f"{', '.join(names)} deleted; {size(freed)} are free again.")


def _tell(text: str) -> None:
    """Say it when the page is shown anew, with nothing ticked."""
    st.session_state[_TOLD] = text
    if "run" in st.query_params:
        del st.query_params["run"]
    st.rerun()
