"""Monitor: one run, live. Is it learning, how fast, and is the curve normal?"""

import json
import math

import pandas as pd
import streamlit as st

from llm_core.backend.jobs import resume_run, stop_job
from llm_core.config.overrides import flatten
from llm_core.config.presets import presets
from llm_core.config.run import config_from_dict
from llm_core.quantities import duration, loss_faces, three_digits
from llm_core.text.tokens import find_tokens
from llm_core.ui.guards import require_role
from llm_core.ui.launch import new_intention, start_and_watch
from llm_core.ui.live_plot import live_plot
from llm_core.ui.states import attempt, choose_run, empty_place, from_code, literal, page_head
from llm_core.ui.status import status_line
from llm_core.workspace.job_record import FAILED, FINISHED, HELD, JobRecord
from llm_core.workspace.metrics_read import events, samples
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import LOG, run_folder, summarise_run

CURVES = {
    "Loss": ["train_loss", "val_loss"],
    "Rate": ["learning_rate"],
    "Gradient": ["grad_norm"],
    "Speed": ["tokens_per_second"],
}

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


def stop() -> None:
    """The Stop button."""
    require_role()
    stop_job(workspace, record.id, author="dashboard")


def resume() -> None:
    """The Resume button."""
    require_role()
    resume_run(workspace, record.id)


@st.fragment(run_every=1.0 if not record.is_final else None)
def head(shown_state: str) -> None:
    """State, progress, buttons and tiles; the page runs anew when the state changes."""
    with Registry(workspace) as registry:
        current = registry.get(record.id)
    if current.state != shown_state:
        st.rerun()
    summary = summarise_run(workspace, current)
    if current.reason and current.state not in (FINISHED,):
        show = st.error if current.state in (FAILED, "diverged") else st.info
        show(literal(f"{current.state.capitalize()}: {current.reason} {current.remedy}"))
    with st.container(horizontal=True, vertical_alignment="center"):
        if current.state in HELD or current.state == "queued":
            if st.button(
                "Stop",
                icon=":material/stop:",
                key="stop-run",
                help="Finishes the step, saves a checkpoint and ends. Resume goes on.",
            ):
                attempt(stop)
        elif (
            current.state != FINISHED
            and st.button("Resume", icon=":material/play_arrow:", key="resume-run")
            and attempt(resume)
        ):
            st.rerun()
        st.caption(progress_line(current, summary.progress, summary.steps, summary.max_steps))
    with st.container(horizontal=True):
        if summary.val_loss is not None:
            st.metric("Validation loss", f"{three_digits(summary.val_loss)} nats", border=True, width="content")
        if summary.tokens_per_second:
            st.metric("Speed", f"{three_digits(summary.tokens_per_second)} tokens/s", border=True, width="content")
        left = summary.progress.get("eta_seconds")
        if left is not None and not current.is_final:
            st.metric("Time left", duration(left), border=True, width="content")
        elif summary.seconds:
            st.metric("Trained for", duration(summary.seconds), border=True, width="content")


def progress_line(current: JobRecord, progress: dict[str, object], steps: int, max_steps: int | None) -> str:
    """Where the run is, in words."""
    parts = [current.state]
    if current.state in HELD and progress.get("phase"):
        parts.append(str(progress["phase"]))
    if steps:
        parts.append(f"step {steps:,}" + (f" of {max_steps:,} · {steps / max_steps:.0%}" if max_steps else ""))
    return " · ".join(parts)


head(record.state)

with st.container(horizontal=True, vertical_alignment="center"):
    shown = st.segmented_control(
        "Show", list(CURVES), default="Loss", required=True, label_visibility="collapsed", key="curve"
    )
    axis = st.segmented_control(
        "Axis", ["step", "tokens", "seconds"], default="step", required=True, label_visibility="collapsed", key="axis"
    )
    units = ["nats", "perplexity"]
    unit = (
        st.segmented_control("Unit", units, default="nats", required=True, label_visibility="collapsed", key="unit")
        if shown == "Loss"
        else ""
    )
    smooth = st.slider("Smoothing", 0.0, 0.99, 0.6, 0.01, width=160, key="smooth")
    is_log = st.toggle("Log scale", key="log")

tokens = find_tokens(workspace, config.data)
guides = []
if tokens is not None and shown == "Loss":
    size = tokens.meta.vocabulary_size
    levels = [
        (math.log(size), f"chance: ln {size:,} ="),
        (tokens.meta.unigram_entropy_nats, "each token by its frequency:"),
    ]
    for nats, words in levels:
        value = math.exp(nats) if unit == "perplexity" else nats
        guides.append({"value": value, "label": f"{words} {three_digits(value)}"})
live_plot(
    runs=[{"id": record.id, "name": record.name, "color": record.color, "dash": record.dash, "state": record.state}],
    keys=CURVES[shown],
    x=axis,
    unit=unit or "nats",
    smooth=smooth,
    log=is_log,
    guides=guides,
    key="monitor-plot",
)


@st.fragment(run_every=2.0 if not record.is_final else None)
def verdict() -> None:
    """One sentence of figures under the chart."""
    with Registry(workspace) as registry:
        summary = summarise_run(workspace, registry.get(record.id))
    if summary.val_loss is None:
        return
    word = {"char": "characters", "byte": "bytes"}.get(config.data.tokenizer, "tokens")
    sentence = loss_faces(summary.val_loss, summary.bits_per_byte, word) + "."
    if tokens is not None:
        level, chance = tokens.meta.unigram_entropy_nats, math.log(tokens.meta.vocabulary_size)
        if summary.val_loss < level:
            sentence += f" {three_digits(level - summary.val_loss)} below knowing only how often each token occurs."
        elif summary.val_loss < chance:
            sentence += " Better than chance, not yet better than counting tokens."
        else:
            sentence += " Not better than chance yet."
    if summary.train_loss is not None and summary.train_loss < summary.val_loss - 0.3:
        gap = three_digits(summary.val_loss - summary.train_loss)
        sentence += f" Validation is {gap} above training: the model begins to learn its text by heart."
    st.markdown(literal(sentence))


verdict()

if record.state == FINISHED:
    with st.container(horizontal=True):
        query = {"run": record.id}
        st.page_link("attention.py", label="Look inside", icon=":material/grid_on:", query_params=query)
        st.page_link("playground.py", label="Talk to it", icon=":material/edit_note:", query_params=query)
        if config.model.kind == "transformer" and st.button(
            "The same text with an LSTM", icon=":material/compare_arrows:"
        ):
            lstm = presets()["pocket-lstm"].config
            same = lstm.model_copy(update={"data": lstm.data.model_copy(update={"dataset": config.data.dataset})})
            start_and_watch(same, place="monitor", wish="pocket-lstm")

sample_tab, event_tab, setting_tab, log_tab = st.tabs(["Samples", "Events", "Settings", "Log"])
with sample_tab:

    @st.fragment(run_every=3.0 if not record.is_final else None)
    def show_samples() -> None:
        """Text over training."""
        written = samples(folder)
        if not written:
            st.write("The first sample comes with the first evaluation.")
            return
        steps = [sample.step for sample in written]
        index = len(steps) - 1
        if len(steps) > 1:
            index = st.select_slider(
                "Step", range(len(steps)), value=index, format_func=lambda place: f"{steps[place]:,}"
            )
        sample = written[index]
        st.caption(f"After {sample.step:,} steps, going on from {json.dumps(sample.prompt, ensure_ascii=False)}")
        st.code(sample.prompt + sample.text, language=None, wrap_lines=True)

    show_samples()
with event_tab:
    happened = events(folder)
    if happened:
        st.dataframe(
            pd.DataFrame({"step": [event.step for event in happened], "what": [event.message for event in happened]}),
            hide_index=True,
        )
    else:
        st.write("Nothing has happened yet.")
with setting_tab:
    st.dataframe(pd.DataFrame({"value": {name: str(value) for name, value in flatten(config).items()}}))
with log_tab:
    log = folder / LOG
    text = log.read_text(encoding="utf-8", errors="replace")[-20_000:] if log.exists() else ""
    st.code(text or "The log is empty: nothing went wrong.", language=None, wrap_lines=True)

from_code(
    f"glassbox show {record.name}\nglassbox metrics {record.name} --key val_loss --csv val_loss.csv",
    "from llm_core.workspace.metrics_read import read_points\nfrom llm_core.workspace.paths import open_workspace\n"
    f"from llm_core.workspace.runs import run_folder\n\npoints = read_points(run_folder(open_workspace(), '{record.id}'), 'val_loss')",
)
