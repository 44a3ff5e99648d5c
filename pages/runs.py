"""Runs: all of them in a table; one opens Monitor, several are laid over each other; deletion says what it frees."""

import pandas as pd
import streamlit as st

from llm_core.backend.jobs import delete_run
from llm_core.config.overrides import config_differences
from llm_core.config.run import config_from_dict
from llm_core.quantities import size
from llm_core.ui.guards import require_role
from llm_core.ui.live_plot import live_plot
from llm_core.ui.states import attempt, empty_place, from_code, literal, page_head
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import summarise_run

page_head("Runs", "Every run of this workspace. Select one to open it, two or more to compare them.")
workspace = open_workspace()
with Registry(workspace) as registry:
    records = registry.jobs("train")
if not records:
    empty_place("No runs yet. The first one takes one click.", "Start on Home", "home.py")
    st.stop()

with st.container(horizontal=True, vertical_alignment="bottom"):
    wanted = st.text_input("Filter", placeholder="part of a name, a family or a text", width=320)
    states = st.multiselect("State", sorted({record.state for record in records}), width=320)
summaries = [summarise_run(workspace, record) for record in records]
shown = [
    summary
    for summary in summaries
    if wanted.lower() in f"{summary.name} {summary.kind} {summary.dataset}".lower()
    and (not states or summary.state in states)
]
table = pd.DataFrame(
    [
        {
            "name": summary.name,
            "state": summary.state,
            "family": summary.kind,
            "text": summary.dataset,
            "parameters": summary.parameters,
            "steps": summary.steps,
            "validation, nats": summary.val_loss,
            "bits/byte": summary.bits_per_byte,
            "tokens/s": summary.tokens_per_second,
            "disk": size(summary.size_bytes),
            "loss so far": summary.sparkline,
        }
        for summary in shown
    ]
)
if table.empty:
    st.info("No run matches this filter.")
    st.stop()
event = st.dataframe(
    table,
    hide_index=True,
    on_select="rerun",
    selection_mode="multi-row",
    key="runs-table",
    column_config={
        "loss so far": st.column_config.LineChartColumn(),
        "validation, nats": st.column_config.NumberColumn(format="%.3f"),
        "bits/byte": st.column_config.NumberColumn(format="%.3f"),
        "tokens/s": st.column_config.NumberColumn(format="%,.0f"),
        "parameters": st.column_config.NumberColumn(format="%,d"),
    },
)
chosen = [shown[index] for index in event.selection.rows if index < len(shown)]
if not chosen:
    st.caption("Tick a row on the left to open, compare or delete it.")

if len(chosen) == 1:
    with st.container(horizontal=True):
        query = {"run": chosen[0].id}
        st.page_link("monitor.py", label="Open in Monitor", icon=":material/monitoring:", query_params=query)
        st.page_link("attention.py", label="Look inside", icon=":material/grid_on:", query_params=query)
        st.page_link("playground.py", label="Talk to it", icon=":material/edit_note:", query_params=query)

if len(chosen) >= 2:
    st.subheader("Side by side")
    st.caption("Bits per byte can be compared across tokenizers; lower is better.")
    live_plot(
        runs=[{"id": run.id, "name": run.name, "color": run.color, "dash": run.dash} for run in chosen],
        keys=["bits_per_byte"],
        unit="bits/byte",
        key="overlay-" + "-".join(run.id for run in chosen),
    )
    only_differences = st.toggle("Differences only", value=True)
    configs = {run.name: config_from_dict(next(r for r in records if r.id == run.id).config) for run in chosen}
    first = next(iter(configs.values()))
    different = {name for config in configs.values() for name, _, _ in config_differences(first, config)}
    from llm_core.config.overrides import flatten

    flat = {name: flatten(config) for name, config in configs.items()}
    names = sorted({setting for values in flat.values() for setting in values} - {"name", "schema_version"})
    rows = [name for name in names if not only_differences or name in different]
    if rows:
        st.dataframe(
            pd.DataFrame({run: [str(values.get(row, "–")) for row in rows] for run, values in flat.items()}, index=rows)
        )
    else:
        st.write("These runs have the same settings.")

if chosen:
    freed = size(sum(run.size_bytes for run in chosen))
    names = ", ".join(literal(run.name) for run in chosen)
    with st.popover(f"Delete {len(chosen)}…", icon=":material/delete:"):
        st.write(f"This deletes {names} with all checkpoints and frees {freed}. It cannot be undone.")
        if st.button("Delete for good", key="delete-for-good"):

            def delete_chosen() -> None:
                require_role()
                for run in chosen:
                    delete_run(workspace, run.id)

            if attempt(delete_chosen):
                st.rerun()

from_code(
    "glassbox runs\nglassbox show NAME\nglassbox delete NAME",
    "from llm_core.workspace.paths import open_workspace\nfrom llm_core.workspace.registry import Registry\n\n"
    "with Registry(open_workspace()) as registry:\n    runs = registry.jobs('train')",
)
