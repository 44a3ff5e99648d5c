"""Monitor: one run, live. Is it learning, how fast, and is the curve normal?"""

import streamlit as st

from llm_core.backend.ngram_levels import submit_levels
from llm_core.backend.run_commands import present_config
from llm_core.config.presets import presets
from llm_core.ui.guards import may
from llm_core.ui.launch import new_intention, start_and_watch
from llm_core.ui.lineage_view import has_family, show_lineage
from llm_core.ui.run_charts import show_charts
from llm_core.ui.run_details import show_events, show_log, show_samples, show_settings
from llm_core.ui.run_exports import run_exports
from llm_core.ui.run_head import run_head
from llm_core.ui.run_notes import run_notes
from llm_core.ui.run_notice import run_notice
from llm_core.ui.run_verdict import sentences, show_verdict
from llm_core.ui.run_view import run_view
from llm_core.ui.states import choose_run, empty_place, from_code, page_head
from llm_core.ui.status import status_line
from llm_core.ui.step_view import pick, picked_step, show_step
from llm_core.workspace.job_record import FINISHED
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import summarise_run

page_head("Monitor", "One run, live: is it learning, how fast, and is the curve normal?")
status_line()
workspace = open_workspace()
new_intention("monitor", "same-text")
with Registry(workspace) as registry:
    has_runs = bool(registry.jobs("train"))
if not has_runs:
    empty_place("There is no run to watch yet. The first one takes one click.", "Start on Home", "home.py")
    st.stop()
record = choose_run(workspace)
if record is None:
    st.stop()
view = run_view(workspace, record)
waits_for_levels = view.words.is_code_length and view.levels is not None and view.levels.ngrams is None
if waits_for_levels and view.tokens is not None and may("measure-levels"):
    submit_levels(workspace, view.tokens)

run_head(workspace, record)
run_notice(record)

summary = summarise_run(workspace, record)
picked = picked_step(record.id, view.folder)
shown = show_charts(view, summary, picked, pick)
show_verdict(view)
if picked is not None:
    show_step(view, picked)

if record.state == FINISHED:
    with st.container(horizontal=True, vertical_alignment="center"):
        query = {"run": record.id}
        if not view.is_counted:
            st.page_link("attention.py", label="Look inside", icon=":material/grid_on:", query_params=query)
        st.page_link("playground.py", label="Talk to it", icon=":material/edit_note:", query_params=query)
        config = view.config
        other, title = (
            ("pocket-lstm", "an LSTM") if config.model.kind == "transformer" else ("pocket-gpt", "a Transformer")
        )
        # An imported model has no text here that another one could be trained on.
        if view.tokens is not None and st.button(
            f"The same text with {title}", icon=":material/compare_arrows:", key="same-text"
        ):
            base = presets()[other].config
            data = base.data.model_copy(update={"dataset": config.data.dataset, "tokenizer": config.data.tokenizer})
            start_and_watch(base.model_copy(update={"data": data}), place="monitor", wish=other)

family = ["Family"] if has_family(workspace, record) else []
samples, events, settings, log, notes, export, *lineage = st.tabs(
    ["Samples", "Events", "Settings", "Log", "Notes", "Export", *family]
)
with samples:
    show_samples(record, view.folder, view.tokens)
with events:
    show_events(record, view.folder)
with settings:
    show_settings(view.config if view.is_counted else present_config(workspace, record))
with log:
    show_log(record, view.folder)
with notes:
    run_notes(record)
with export:
    run_exports(record, verdict=sentences(view, summary), shown=shown)
for tab in lineage:
    with tab:
        show_lineage(workspace, record)

key = view.words.validation_key
from_code(
    f"glassbox show {record.name}\nglassbox metrics {record.name} --key {key} --csv loss.csv",
    "from llm_core.workspace.metrics_read import read_points\nfrom llm_core.workspace.paths import open_workspace\n"
    "from llm_core.workspace.runs import run_folder\n\n"
    f"points = read_points(run_folder(open_workspace(), '{record.id}'), '{key}')\n"
    "print(points.step, points.value)",
)
