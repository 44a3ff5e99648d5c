"""Home: start a run with one click, see what is running, come back to what was."""

import streamlit as st

from llm_core.backend.estimates import estimate_run
from llm_core.config.presets import find_preset
from llm_core.quantities import large
from llm_core.ui.launch import new_intention, start_and_watch, train_from_code
from llm_core.ui.queue_view import show_queue
from llm_core.ui.refreshing import refreshed
from llm_core.ui.run_rows import ended_run_row, running_run_row
from llm_core.ui.run_summaries import summaries_of
from llm_core.ui.states import page_head
from llm_core.ui.status import status_line
from llm_core.ui.train_card import show_network
from llm_core.workspace.job_record import FINAL, HELD, PAUSED
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.registry import Registry

FIRST = "pocket-gpt"
RECENT_RUNS = 8

page_head("Home", "Train a small language model here, watch it learn, look inside and talk to it.")
status_line()
workspace = open_workspace()
new_intention("home", "start-transformer", "start-lstm")


def start_here(workspace: Workspace) -> None:
    """What one click trains, and how long it takes."""
    config = find_preset(FIRST).config
    estimate = estimate_run(workspace, config)
    minutes = "" if estimate.seconds is None else f", in about {minutes_in_words(estimate.seconds)} on this machine"
    words, picture = st.columns([3, 2], gap="large", vertical_alignment="center")
    with words:
        st.subheader("Start here")
        st.markdown(
            f"A Transformer of {large(estimate.parameters.total)} parameters learns the Python language reference, "
            f"character by character{minutes}."
        )
        st.markdown(
            ":material/monitoring: Watch the loss fall and its samples turn from noise into words.  \n"
            ":material/grid_on: Look inside: what each attention head looks at.  \n"
            ":material/edit_note: Talk to it: let it write, token by token."
        )
        if st.button(
            "Train a small Transformer now", type="primary", icon=":material/play_arrow:", key="start-transformer"
        ):
            start_and_watch(config, place="home", wish=FIRST)
        with st.container(horizontal=True):
            if st.button("…or an LSTM", key="start-lstm"):
                start_and_watch(find_preset("pocket-lstm").config, place="home", wish="pocket-lstm")
            if st.button("…or your own text", key="own-text"):
                st.switch_page("data.py")
    with picture:
        show_network(config, estimate.vocabulary_size)


def minutes_in_words(seconds: float) -> str:
    """Whole minutes; an estimate has no seconds."""
    minutes = max(1, round(seconds / 60))
    if minutes > 90:
        return f"{minutes / 60:.0f} hours"
    return "a minute" if minutes == 1 else f"{minutes} minutes"


@refreshed(2.0)
def now() -> None:
    """Runs that are under way or paused."""
    with Registry(workspace) as registry:
        records = registry.jobs("train", HELD | {PAUSED})
    if not records:
        st.caption("Nothing is running.")
    records.sort(key=lambda record: (record.state == PAUSED, record.created_at))
    for run in summaries_of(workspace, records):
        running_run_row(run)


with st.container(border=True, key="start-here"):
    start_here(workspace)
st.subheader("Now")
now()
show_queue(workspace)
with Registry(workspace) as registry:
    ended = registry.jobs("train", FINAL)
st.subheader("Recent")
if not ended:
    st.caption("No run has ended yet. The first one you start will appear here.")
for run in summaries_of(workspace, ended[:RECENT_RUNS]):
    ended_run_row(run)
if len(ended) > RECENT_RUNS:
    st.page_link("runs.py", label=f"All {len(ended):,} runs", icon=":material/table_rows:")
train_from_code(FIRST, find_preset(FIRST).config)
