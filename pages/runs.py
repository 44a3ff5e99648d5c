"""Runs: all of them in a table; one opens Monitor, several are laid over each other; deletion says what it frees."""

import streamlit as st

from llm_core.ui.export_form import export_part
from llm_core.ui.live_plot import PlottedRun, XAxis, live_plot
from llm_core.ui.run_comparison import best_first, results_table, settings_table
from llm_core.ui.run_deletion import delete_button, tell_deletion
from llm_core.ui.run_rows import links
from llm_core.ui.run_summaries import summaries_of
from llm_core.ui.run_table import runs_table, shown_runs
from llm_core.ui.states import empty_place, from_code, page_head
from llm_core.workspace.job_record import FINAL, JobRecord
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import RunSummary

X_WORDS: dict[XAxis, str] = {"step": "steps", "tokens": "tokens", "seconds": "time"}
LIVE_SECONDS = 5.0

page_head("Runs", "Every run of this workspace. Tick one to open it, two or more to compare them.")
workspace = open_workspace()
tell_deletion()


def all_runs() -> list[RunSummary]:
    """Newest first."""
    with Registry(workspace) as registry:
        return summaries_of(workspace, registry.jobs("train"))


def compare(chosen: list[RunSummary], records: dict[str, JobRecord]) -> None:
    """Curves, results, settings."""
    st.subheader("Side by side")
    chosen = best_first(chosen)
    x: XAxis = st.segmented_control(
        "Over", list(X_WORDS), default="step", required=True, format_func=lambda name: X_WORDS[name], key="runs-x"
    )
    runs: list[PlottedRun] = [
        {"id": run.id, "name": run.name, "color": run.color, "dash": run.dash, "state": run.state} for run in chosen
    ]
    live_plot(runs, ["bits_per_byte"], x=x, unit="bits/byte", key="overlay-" + "-".join(run.id for run in chosen))
    st.caption("Validation in bits per byte, which compares across tokenizers. Lower is better.")
    st.dataframe(results_table(chosen), key="runs-results")
    only = st.toggle("Differences only", value=True, key="runs-differences")
    settings = settings_table(chosen, [records[run.id].config for run in chosen], only_differences=only)
    if settings.empty:
        st.caption("These runs have the same settings.")
    else:
        st.dataframe(settings, key="runs-settings")


def body(workspace: Workspace) -> None:
    """The table and what the ticked rows call for."""
    runs = all_runs()
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
                links(chosen[0])
        delete_button(workspace, chosen)
    if len(chosen) == 1:
        export_part(workspace, chosen[0])
    if len(chosen) > 1:
        with Registry(workspace) as registry:
            records = {run.id: registry.get(run.id) for run in chosen}
        compare(chosen, records)


with Registry(workspace) as registry:
    states = [record.state for record in registry.jobs("train")]
if not states:
    empty_place("No runs yet. The first one takes one click.", "Start on Home", "home.py")
else:
    # Steps and losses of what is under way come by themselves; a table at rest is left alone.
    st.fragment(body, run_every=None if all(state in FINAL for state in states) else LIVE_SECONDS)(workspace)
from_code(
    "glassbox runs\nglassbox show NAME\nglassbox export NAME --format hf FOLDER\nglassbox delete NAME",
    "from llm_core.workspace.paths import open_workspace\n"
    "from llm_core.workspace.registry import Registry\n"
    "from llm_core.workspace.runs import summarise_run\n\n"
    "workspace = open_workspace()\n"
    "with Registry(workspace) as registry:\n"
    "    runs = [summarise_run(workspace, record) for record in registry.jobs('train')]",
)
