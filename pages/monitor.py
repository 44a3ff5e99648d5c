"""Monitor: one run, live. Is it learning, how fast, and is the curve normal?"""

import streamlit as st

from llm_core.backend.ngram_levels import read_levels, submit_levels
from llm_core.config.objective_words import objective_words
from llm_core.config.presets import presets
from llm_core.config.run import config_from_dict
from llm_core.models.families import families
from llm_core.text.tokens import find_tokens
from llm_core.ui.guards import may
from llm_core.ui.launch import new_intention, start_and_watch
from llm_core.ui.live_plot import live_plot
from llm_core.ui.run_details import show_events, show_log, show_samples, show_settings
from llm_core.ui.run_head import run_head
from llm_core.ui.states import choose_run, empty_place, from_code, literal, page_head
from llm_core.ui.status import status_line
from llm_core.ui.verdict import filling_verdict, guides, levels_of, verdict
from llm_core.workspace.job_record import FINISHED
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import run_folder, summarise_run

CURVES = {
    "Loss": [],
    "Accuracy": [],
    "Rate": ["learning_rate"],
    "Gradient": ["grad_norm"],
    "Speed": ["tokens_per_second"],
}
AXES = {"step": "steps", "tokens": "tokens", "seconds": "training time"}

page_head("Monitor", "One run, live: is it learning, how fast, and is the curve normal?")
status_line()
workspace = open_workspace()
new_intention("monitor")
with Registry(workspace) as registry:
    has_runs = bool(registry.jobs("train"))
if not has_runs:
    empty_place("There is no run to watch yet. The first one takes one click.", "Start on Home", "home.py")
    st.stop()
record = choose_run(workspace)
if record is None:
    st.stop()
folder = run_folder(workspace, record.id)
config = config_from_dict(record.config)
tokens = find_tokens(workspace, config.data)
words = objective_words()[config.objective.kind]
is_counted = families()[config.model.kind].is_counted
levels = None if tokens is None else levels_of(tokens, config.objective)
if (
    words.is_code_length
    and tokens is not None
    and levels is not None
    and levels.ngrams is None
    and may("measure-levels")
):
    submit_levels(workspace, tokens)

run_head(workspace, record)

curves = CURVES | {"Loss": [words.train_key, words.validation_key], "Accuracy": [words.accuracy_key]}
if not words.accuracy_key:
    del curves["Accuracy"]
if is_counted:
    curves = {"Loss": curves["Loss"]}
with st.container(horizontal=True, vertical_alignment="center"):
    shown = st.segmented_control(
        "Curve", list(curves), default="Loss", required=True, label_visibility="collapsed", key="curve"
    )
    units = ["nats", "perplexity", *(["bits/byte"] if levels and words.is_code_length else [])]
    unit = "nats"
    if shown == "Loss":
        unit = st.segmented_control(
            "Unit", units, default="nats", required=True, label_visibility="collapsed", key="unit"
        )
    with st.popover("View", icon=":material/tune:"):
        axis = st.segmented_control(
            "Along", list(AXES), format_func=AXES.__getitem__, default="step", required=True, key="axis"
        )
        smooth = st.slider(
            "Smoothing", 0.0, 0.99, 0.6, 0.01, key="smooth", help="The values as measured stay visible as a thin band."
        )
        is_log = st.toggle("Logarithmic scale", key="log")

live_plot(
    runs=[{"id": record.id, "name": record.name, "color": record.color, "dash": record.dash, "state": record.state}],
    keys=curves[shown],
    x=axis,
    unit=unit,
    smooth=0.0 if is_counted else smooth,
    log=is_log,
    guides=guides(levels, unit, words.kind) if levels and shown == "Loss" else (),
    x_label="order: tokens looked at" if is_counted and axis == "step" else "",
    bytes_per_token=levels.bytes_per_token if levels else None,
    key=f"monitor-{record.id}",
)


waits_for_levels = words.is_code_length and levels is not None and levels.ngrams is None


@st.fragment(run_every=2.0 if not record.is_final or waits_for_levels else None)
def show_verdict() -> None:
    """One sentence of figures under the chart; the page runs anew when the n-gram levels have come."""
    if waits_for_levels and tokens is not None and read_levels(tokens.path) is not None:
        st.rerun()
    with Registry(workspace) as registry:
        summary = summarise_run(workspace, registry.get(record.id))
    if summary.val_loss is not None:
        if words.is_code_length:
            sentence = verdict(summary.val_loss, summary.train_loss, summary.bits_per_byte, levels)
        else:
            sentence = filling_verdict(summary.val_loss, summary.accuracy, levels, words.kind)
        st.markdown(literal(sentence))


show_verdict()

if record.state == FINISHED:
    with st.container(horizontal=True, vertical_alignment="center"):
        query = {"run": record.id}
        if not is_counted:
            st.page_link("attention.py", label="Look inside", icon=":material/grid_on:", query_params=query)
        st.page_link("playground.py", label="Talk to it", icon=":material/edit_note:", query_params=query)
        other, title = (
            ("pocket-lstm", "an LSTM") if config.model.kind == "transformer" else ("pocket-gpt", "a Transformer")
        )
        if st.button(f"The same text with {title}", icon=":material/compare_arrows:", key="same-text"):
            base = presets()[other].config
            data = base.data.model_copy(update={"dataset": config.data.dataset, "tokenizer": config.data.tokenizer})
            start_and_watch(base.model_copy(update={"data": data}), place="monitor", wish=other)

sample_tab, event_tab, setting_tab, log_tab = st.tabs(["Samples", "Events", "Settings", "Log"])
with sample_tab:
    show_samples(record, folder)
with event_tab:
    show_events(record, folder)
with setting_tab:
    show_settings(config)
with log_tab:
    show_log(record, folder)

from_code(
    f"glassbox show {record.name}\nglassbox metrics {record.name} --key {words.validation_key} --csv loss.csv",
    "from llm_core.workspace.metrics_read import read_points\nfrom llm_core.workspace.paths import open_workspace\n"
    "from llm_core.workspace.runs import run_folder\n\n"
    f"points = read_points(run_folder(open_workspace(), '{record.id}'), '{words.validation_key}')\n"
    "print(points.step, points.value)",
)
