"""Home: start a run with one click, see what is running, come back to what was."""

import streamlit as st

from llm_core.backend.estimates import estimate_run
from llm_core.config.presets import find_preset
from llm_core.quantities import duration, three_digits
from llm_core.ui.launch import new_intention, start_and_watch
from llm_core.ui.states import from_code, literal, page_head
from llm_core.ui.status import status_line
from llm_core.workspace.job_record import HELD, QUEUED
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import RunSummary, summarise_run

page_head("Home", "Train a small language model here, watch it learn, look inside and talk to it.")
status_line()
workspace = open_workspace()
new_intention("home")

with st.container(border=True):
    st.subheader("Start here")
    preset = find_preset("pocket-gpt")
    estimate = estimate_run(workspace, preset.config)
    minutes = (
        "" if estimate.seconds is None else f", about {max(1, round(estimate.seconds / 60))} minutes on this machine"
    )
    st.write(
        f"A Transformer of {estimate.parameters.total / 1e6:.1f} million parameters learns the Python language reference "
        f"letter by letter{minutes}. You watch its loss fall and its samples grow from noise to words."
    )
    with st.container(horizontal=True):
        if st.button(
            "Train a small Transformer now", type="primary", icon=":material/play_arrow:", key="start-transformer"
        ):
            start_and_watch(preset.config, place="home", wish="pocket-gpt")
        if st.button("…or an LSTM", key="start-lstm"):
            start_and_watch(find_preset("pocket-lstm").config, place="home", wish="pocket-lstm")
        if st.button("…or your own text", key="own-text"):
            st.switch_page("data.py")
    from_code(
        "glassbox train --preset pocket-gpt",
        "from llm_core.backend.jobs import submit_run\nfrom llm_core.config.presets import preset\n"
        "from llm_core.workspace.paths import open_workspace\n\nrun = submit_run(open_workspace(), preset('pocket-gpt'))",
    )


def run_row(summary: RunSummary) -> None:
    """One run: name, figures, links."""
    with st.container(border=True, key=f"run-{summary.id}"), st.container(horizontal=True, vertical_alignment="center"):
        figures = [summary.kind, summary.dataset, summary.state]
        if summary.parameters:
            figures.append(f"{three_digits(summary.parameters / 1e6)} million parameters")
        if summary.val_loss is not None:
            figures.append(f"{three_digits(summary.val_loss)} nats")
        if summary.bits_per_byte is not None:
            figures.append(f"{three_digits(summary.bits_per_byte)} bits/byte")
        st.markdown(f"**{literal(summary.name)}**  \n{literal(' · '.join(figures))}", width="stretch")
        query = {"run": summary.id}
        st.page_link("monitor.py", label="Monitor", icon=":material/monitoring:", query_params=query)
        st.page_link("attention.py", label="Look inside", icon=":material/grid_on:", query_params=query)
        st.page_link("playground.py", label="Talk to it", icon=":material/edit_note:", query_params=query)


@st.fragment(run_every=2.0)
def now() -> None:
    """Runs that are under way or wait."""
    with Registry(workspace) as registry:
        records = registry.jobs("train", HELD | {QUEUED})
    if not records:
        st.write("Nothing is running.")
    for record in records:
        summary = summarise_run(workspace, record)
        with st.container(border=True):
            left = summary.progress.get("eta_seconds")
            text = f"{literal(summary.name)} · {summary.state}" + ("" if left is None else f" · {duration(left)} left")
            share = summary.steps / summary.max_steps if summary.max_steps else 0.0
            st.progress(min(1.0, share), text=text)
            st.page_link(
                "monitor.py", label="Open Monitor", icon=":material/monitoring:", query_params={"run": summary.id}
            )


st.subheader("Now")
now()
with Registry(workspace) as registry:
    ended = [record for record in registry.jobs("train") if record.is_final][:8]
st.subheader("Recent")
if not ended:
    st.write("No run has ended yet. The first one you start will appear here.")
for record in ended:
    run_row(summarise_run(workspace, record))
