"""Runs: all of them in a table; one opens Monitor, several are compared; races and sweeps start here."""

import streamlit as st

from llm_core.ui.export_form import export_part
from llm_core.ui.queue_view import show_queue
from llm_core.ui.race_form import race_form
from llm_core.ui.refreshing import refreshed
from llm_core.ui.run_comparison import best_first, settings_table, show_results
from llm_core.ui.run_deletion import archive_button, delete_button, tell_outcome
from llm_core.ui.run_overlay import show_overlay, show_sweep
from llm_core.ui.run_rows import links
from llm_core.ui.run_summaries import ListedRun, listed_runs
from llm_core.ui.run_table import runs_table, shown_runs
from llm_core.ui.states import empty_place, from_code, page_head
from llm_core.ui.sweep_form import sweep_form
from llm_core.workspace.job_record import FINAL
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.registry import Registry

LIVE_SECONDS = 5.0
FIRST_TEXT = "python-reference"

page_head("Runs", "Every run of this workspace. Tick one to open it, two or more to compare them.")
workspace = open_workspace()
tell_outcome()


def all_runs(workspace: Workspace) -> list[ListedRun]:
    """Newest first."""
    with Registry(workspace) as registry:
        return listed_runs(workspace, registry.jobs("train"))


def start_row(workspace: Workspace, runs: list[ListedRun]) -> None:
    """What starts several runs at once."""
    with st.container(horizontal=True):
        with st.popover("Race", icon=":material/flag:", help="Several kinds of model on the same text."):
            race_form(workspace, runs[0].summary.dataset if runs else FIRST_TEXT)
        with st.popover("Sweep", icon=":material/grid_view:", help="One kind of model with settings varied."):
            sweep_form(workspace, runs, st.query_params.get("run", "").split(","))


def compare(workspace: Workspace, chosen: list[ListedRun]) -> None:
    """Curves, what may be said, results, settings."""
    st.subheader("Side by side")
    chosen = best_first(chosen)
    show_overlay(workspace, chosen)
    show_sweep(chosen)
    show_results(chosen)
    only = st.toggle("Differences only", value=True, key="runs-differences")
    settings = settings_table(chosen, only_differences=only)
    if settings.empty:
        st.caption("These runs have the same settings.")
    else:
        st.dataframe(settings, key="runs-settings")


def body(workspace: Workspace) -> None:
    """The table and what the ticked rows call for."""
    runs = all_runs(workspace)
    shown = shown_runs(runs)
    if not shown:
        st.caption("No run matches this filter.")
        return
    chosen = runs_table(shown, runs)
    if not chosen:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        place = st.container(width="content")
        if len(chosen) == 1:
            with place:
                links(chosen[0].summary)
        archive_button(workspace, chosen)
        delete_button(workspace, chosen, runs)
    if len(chosen) == 1:
        export_part(workspace, chosen[0].summary)
    if len(chosen) > 1:
        compare(workspace, chosen)


runs = all_runs(workspace)
start_row(workspace, runs)
show_queue(workspace)
if not runs:
    empty_place("No runs yet. The first one takes one click.", "Start on Home", "home.py")
else:
    # Steps and losses of what is under way come by themselves; a table at rest is left alone.
    is_at_rest = all(run.summary.state in FINAL for run in runs)
    refreshed(None if is_at_rest else LIVE_SECONDS)(body)(workspace)
from_code(
    "glassbox runs\n"
    "glassbox race --on python-reference --minutes 2 --seeds 3 rnn lstm transformer\n"
    "glassbox sweep --preset pocket-gpt --set optimizer.learning_rate=0.001,0.002,0.004 --set seed=1,2,3\n"
    "glassbox export NAME --format hf FOLDER\n"
    "glassbox delete NAME",
    "from llm_core.backend.race import Budget, submit_race\n"
    "from llm_core.workspace.paths import open_workspace\n"
    "from llm_core.workspace.registry import Registry\n"
    "from llm_core.workspace.runs import summarise_run\n\n"
    "workspace = open_workspace()\n"
    "race = submit_race(workspace, 'python-reference', ['lstm', 'transformer'], Budget(minutes=2), seeds=3)\n"
    "with Registry(workspace) as registry:\n"
    "    runs = [summarise_run(workspace, record) for record in registry.jobs('train')]",
)
