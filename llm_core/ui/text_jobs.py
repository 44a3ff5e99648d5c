"""Work on text and models under way: its phase, count, speed and time left, a button to cancel it; and what became of it.

Everything is read from the registry, so a reload or a second tab shows the same work and loses none. Not here: starting it
(`import_form.py`, `tokenizer_form.py`), the status block of the frame (`status.py`).
"""

from __future__ import annotations

import secrets
import time
from typing import Any

import streamlit as st

from llm_core.backend.jobs import stop_job
from llm_core.config.errors import UserError
from llm_core.quantities import duration, size, three_digits
from llm_core.text.progress import UNITS, progress_words
from llm_core.text.uploads import sweep_uploads
from llm_core.ui.guards import may, require
from llm_core.ui.refreshing import refreshed
from llm_core.ui.states import attempt, literal, show_error
from llm_core.workspace.job_progress import is_cancelled, read_progress
from llm_core.workspace.job_record import FAILED, FINISHED, HELD, QUEUED, JobRecord
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry

_REFRESH_SECONDS = 0.5
_SHOWN_AFTERWARDS_SECONDS = 600.0
_UNFINISHED = HELD | {QUEUED}


def once_key(place: str) -> str:
    """The key of the intention behind a button: a double click has one, what is asked for afterwards has another."""
    return st.session_state.setdefault(f"once-{place}", secrets.token_hex(8))


def submitted(record: JobRecord, place: str) -> None:
    """Remember what this session asked for, close older messages, and show the page anew with the work on it."""
    st.session_state.pop(f"once-{place}", None)
    st.session_state[f"mine-{record.kind}"] = record.id
    st.session_state[f"messages-since-{record.kind}"] = record.created_at
    st.rerun()


def finished_job(workspace: Workspace, kind: str) -> JobRecord | None:
    """The work that this session asked for last, once: on the first run after it has finished."""
    job_id = st.session_state.get(f"mine-{kind}")
    if job_id is None:
        return None
    with Registry(workspace) as registry:
        record = registry.get(job_id)
    if not record.is_final:
        return None
    del st.session_state[f"mine-{kind}"]
    st.session_state.setdefault(f"seen-{kind}", set()).add(record.id)
    return record if record.state == FINISHED else None


def unfinished_jobs(workspace: Workspace, kind: str) -> list[JobRecord]:
    """What waits or is under way, oldest first."""
    with Registry(workspace) as registry:
        return registry.jobs(kind, _UNFINISHED)[::-1]


def show_text_jobs(workspace: Workspace, kind: str) -> None:
    """Everything of this kind that is under way, and the outcome of what has just ended."""
    shown = [record.id for record in unfinished_jobs(workspace, kind)]
    refreshed(_REFRESH_SECONDS if shown else None)(_under_way)(workspace, kind, shown)
    with Registry(workspace) as registry:
        ended = [record for record in registry.jobs(kind) if record.is_final]
    if st.session_state.get(f"mine-{kind}") in [record.id for record in ended]:
        st.rerun()  # it ended while this run was being drawn: the page opens what it made
    seen: set[str] = st.session_state.setdefault(f"seen-{kind}", set())
    seen.update(shown)
    since = max(st.session_state.get(f"messages-since-{kind}", 0.0), time.time() - _SHOWN_AFTERWARDS_SECONDS)
    closed: set[str] = st.session_state.setdefault(f"closed-{kind}", set())
    for record in ended:
        # A failure is told to whoever comes soon afterwards; the rest, once, to those who saw it under way.
        is_news = record.state == FAILED or record.id in seen
        if is_news and record.id not in closed and (record.ended_at or 0.0) >= since:
            _outcome(record, closed)


def _under_way(workspace: Workspace, kind: str, shown: list[str]) -> None:
    records = unfinished_jobs(workspace, kind)
    if [record.id for record in records] != shown:
        st.rerun()  # something ended or began: the whole page is another one now
    for record in records:
        with st.container(border=True, key=f"job-{record.id}"):
            _progress(workspace, record)


def _progress(workspace: Workspace, record: JobRecord) -> None:
    line, below = st.container(), st.container(horizontal=True, vertical_alignment="center")
    can_cancel = may("cancel-job") and not is_cancelled(workspace, record.id)
    cancel = below.button("Cancel", icon=":material/close:", key=f"cancel-{record.id}", disabled=not can_cancel)
    if cancel:
        attempt(lambda: _cancel(workspace, record))
    words, left, fraction = _state(record, read_progress(workspace, record.id) or {})
    if is_cancelled(workspace, record.id):
        words, left = "stopping", ""
    line.progress(fraction, text=f"**{literal(record.name)}**: {literal(words)}")
    below.caption(literal(left))


def _cancel(workspace: Workspace, record: JobRecord) -> None:
    require("cancel-job")
    stop_job(workspace, record.id)
    sweep_uploads(workspace)  # a job that was still waiting has no worker to remove its copy


def _state(record: JobRecord, progress: dict[str, Any]) -> tuple[str, str, float]:
    """What is being done, how fast and for how long yet, and the share done."""
    if record.state == QUEUED:
        return "waiting for its turn", "", 0.0
    phase, done, total = progress.get("phase", "starting"), progress.get("done", 0), progress.get("total")
    seconds = progress.get("written_at", 0.0) - progress.get("phase_began_at", 0.0)
    words = progress_words(phase, done, total)
    fraction = min(done / total, 1.0) if total else 0.0
    if not done or seconds < 1:
        return words, f"{duration(seconds)} so far" if seconds >= 1 else "", fraction
    unit, rate = UNITS.get(phase, ""), done / seconds
    speed = f"{size(rate)}/s" if unit == "bytes" else f"{three_digits(rate)} {unit}/s"
    left = f" · {duration((total - done) / rate)} left" if total and total > done else ""
    return words, f"{speed}{left}", fraction


def _outcome(record: JobRecord, closed: set[str]) -> None:
    name = literal(
        str(
            record.result.get("dataset_name")
            or record.result.get("tokenizer_name")
            or record.result.get("run_name")
            or record.result.get("file_name")
            or record.name
        )
    )
    if record.state == FINISHED and record.result.get("existing"):
        st.info(f"{name} was here already, with the same text and options.", icon=":material/check:")
    elif record.state == FINISHED:
        st.success(f"{name} is ready.{_shortfall(record)}", icon=":material/check:")
    elif record.state == FAILED:
        show_error(UserError(f"{record.name}: {record.reason}", remedy=record.remedy))
    else:
        st.info(f"{name} was cancelled. Nothing of it was kept.", icon=":material/cancel:")
    if record.state != FAILED:
        closed.add(record.id)
    elif st.button("Close", key=f"close-{record.id}", type="tertiary"):
        closed.add(record.id)
        st.rerun()


def _shortfall(record: JobRecord) -> str:
    """That a small text gave fewer entries than the vocabulary that was asked for."""
    size_wanted, size_made = record.config.get("size", 0), record.result.get("vocabulary_size", 0)
    if size_made >= size_wanted:
        return ""
    return f" It has {size_made:,} entries of the {size_wanted:,} asked for: the text has no more to give."
