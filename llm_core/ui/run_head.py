"""The head of a run's page: its state in words, how far it is, three figures, and what became of what was asked.

Shown anew every second while the run is under way. Not here: which run (`states.choose_run`), the buttons (`run_controls.py`).
"""

from __future__ import annotations

import streamlit as st

from llm_core.config.objective_words import objective_words
from llm_core.models.families import families
from llm_core.quantities import duration, three_digits
from llm_core.ui.guards import may
from llm_core.ui.refreshing import refreshed
from llm_core.ui.run_controls import run_controls
from llm_core.ui.run_wishes import show_answers
from llm_core.ui.states import literal, record_or_rerun
from llm_core.workspace.job_record import DIVERGED, FAILED, FINISHED, HELD, JobRecord
from llm_core.workspace.paths import Workspace
from llm_core.workspace.runs import RunSummary, summarise_run

REFRESH_SECONDS = 1.0
_LOSS_HELP = (
    "How surprised the model is by the next token, on text that it is never trained on: lower is better. Perplexity says the same as a "
    "number of choices (1.93 nats is like guessing among 6.9), bits/byte compares models that cut text differently."
)


def run_head(workspace: Workspace, record: JobRecord) -> None:
    """The head of one run. The whole page runs anew when the run's state changes."""
    head = refreshed(None if record.is_final else REFRESH_SECONDS)(_head)
    head(workspace, record.id, record.state)
    run_controls(workspace, record)


def _head(workspace: Workspace, run_id: str, shown_state: str) -> None:
    record = record_or_rerun(workspace, run_id)
    if record.state != shown_state:
        st.rerun()
    summary = summarise_run(workspace, record)
    st.markdown(progress_line(record, summary))
    share = summary.steps / summary.max_steps if summary.max_steps else None
    if share is not None and not record.is_final:
        st.progress(min(1.0, share))
    if record.reason and record.state != FINISHED:
        show = st.error if record.state in (FAILED, DIVERGED) else st.info
        icon = ":material/error:" if record.state in (FAILED, DIVERGED) else ":material/info:"
        state = record.state.capitalize()
        said = "" if record.reason.startswith(state) else f"{state}: "
        show(literal(f"{said}{record.reason} {record.remedy}".strip()), icon=icon)
    elif record.state == FINISHED:
        st.caption(literal(_how_finished(record, summary)))
    _figures(record, summary)
    show_answers(workspace, record)


def _how_finished(record: JobRecord, summary: RunSummary) -> str:
    """Why a finished run ended, and what can be done with it now. What was brought in from elsewhere has no steps to go on with."""
    reason = record.reason[:1].upper() + record.reason[1:].rstrip(".")
    is_steps = summary.kind in families() and not families()[summary.kind].is_counted and summary.steps > 0
    can_go_on = is_steps and may("change-run")
    then = "Raise its budget under Change to train on, or talk to it below." if can_go_on else "Talk to it below."
    return f"{reason}. {then}" if reason else then


def progress_line(record: JobRecord, summary: RunSummary) -> str:
    """State, phase, step and time left, as Markdown."""
    parts = [f"**{record.state}**"]
    phase = str(summary.progress.get("phase") or "")
    if record.state in HELD and phase and phase != "training":
        parts.append(literal(phase))
    if summary.steps:
        of = f" of {summary.max_steps:,} · {100 * summary.steps / summary.max_steps:.0f} %" if summary.max_steps else ""
        parts.append(f"step {summary.steps:,}{of}")
    left = summary.progress.get("eta_seconds")
    if left is not None and record.state in HELD:
        ends = [duration(summary.progress.get(f"eta_{end}_seconds") or left) for end in ("low", "high")]
        about = f" ({ends[0]} to {ends[1]})" if ends[0] != ends[1] else ""
        parts.append(f"{duration(left)} left{about}")
    return " · ".join(parts)


def _figures(record: JobRecord, summary: RunSummary) -> None:
    """Loss, speed, time: without borders, so that the three stand in one row on a phone."""
    if summary.val_loss is None and not summary.tokens_per_second:
        return
    with st.container(horizontal=True):
        if summary.val_loss is not None:
            title = "Validation loss" if summary.accuracy is None else objective_words()[summary.objective].title
            help_text = _LOSS_HELP if objective_words()[summary.objective].is_code_length else None
            st.metric(title, f"{three_digits(summary.val_loss)} nats", width="content", help=help_text)
        if summary.accuracy is not None:
            st.metric("Right", f"{100 * summary.accuracy:.1f} %", width="content")
        if summary.tokens_per_second:
            st.metric("Speed", f"{three_digits(summary.tokens_per_second)} tokens/s", width="content")
        if summary.seconds:
            st.metric("Trained for", duration(summary.seconds), width="content")
