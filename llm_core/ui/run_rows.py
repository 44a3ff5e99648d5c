"""One run in one row: what it is, how well it does, its curve, and the ways to it. For Home.

Not here: the table of all runs (`pages/runs.py`).
"""

from __future__ import annotations

from typing import Literal

import streamlit as st

from llm_core.figures.sparkline import sparkline
from llm_core.models.families import families
from llm_core.quantities import duration, large, three_digits
from llm_core.ui.run_summaries import ago
from llm_core.ui.states import literal
from llm_core.workspace.job_record import DIVERGED, FAILED, FINISHED, PAUSED, QUEUED, STOPPED
from llm_core.workspace.runs import RunSummary

BadgeColor = Literal["green", "gray", "red"]

_BADGES: dict[str, tuple[BadgeColor, str]] = {
    FINISHED: ("green", ":material/check:"),
    STOPPED: ("gray", ":material/stop:"),
    FAILED: ("red", ":material/error:"),
    DIVERGED: ("red", ":material/trending_up:"),
}


def ended_run_row(run: RunSummary) -> None:
    """A run that has ended, with the three ways to look at it."""
    with st.container(border=True, key=f"run-{run.id}", horizontal=True, vertical_alignment="center", gap="small"):
        with st.container(width=430, gap="xxsmall"):
            color, icon = _BADGES.get(run.state, ("gray", ":material/circle:"))
            with st.container(horizontal=True, gap="small", vertical_alignment="center"):
                st.markdown(f"**{literal(run.name)}**", width="content")
                st.badge(run.state, color=color, icon=icon)
            st.caption(literal(_what(run)))
        with st.container(width=190, gap="xxsmall"):
            st.markdown(literal(_how_well(run)))
            if run.ended_at is not None:
                st.caption(literal(ago(run.ended_at)))
        curve(run)
        links(run)


def running_run_row(run: RunSummary) -> None:
    """A run that is under way or waits: progress, time left, curve."""
    with st.container(border=True, key=f"now-{run.id}", horizontal=True, vertical_alignment="center", gap="small"):
        with st.container(width=270, gap="xxsmall"):
            st.markdown(f"**{literal(run.name)}**")
            st.caption(literal(_what(run)))
        with st.container(width=235):
            share = min(1.0, run.steps / run.max_steps) if run.max_steps else 0.0
            st.progress(share, text=literal(_how_far(run)))
        curve(run)
        st.page_link("monitor.py", label="Open Monitor", icon=":material/monitoring:", query_params={"run": run.id})


def links(run: RunSummary) -> None:
    """Monitor, Attention, Playground."""
    query = {"run": run.id}
    with st.container(horizontal=True, width="content", gap="small"):
        st.page_link("monitor.py", label="Monitor", icon=":material/monitoring:", query_params=query)
        st.page_link("attention.py", label="Look inside", icon=":material/grid_on:", query_params=query)
        st.page_link("playground.py", label="Talk to it", icon=":material/edit_note:", query_params=query)


def curve(run: RunSummary) -> None:
    """The training loss so far, the size of a word."""
    if len(run.sparkline) > 1:
        st.image(sparkline(run.sparkline, run.color), width=120)


def _what(run: RunSummary) -> str:
    family = families()[run.kind].title if run.kind in families() else run.kind
    size = f" · {large(run.parameters)} parameters" if run.parameters else ""
    text = f" on {run.dataset}" if run.dataset else ""
    return f"{family}{text}{size}"


def _how_well(run: RunSummary) -> str:
    if run.val_loss is None:
        return "no validation yet"
    bits = "" if run.bits_per_byte is None else f" · {three_digits(run.bits_per_byte)} bits/byte"
    right = "" if run.accuracy is None else f" · {100 * run.accuracy:.0f} % right"
    return f"{three_digits(run.val_loss)} nats{bits}{right}"


def _how_far(run: RunSummary) -> str:
    if run.state == QUEUED:
        return "waiting in the queue"
    left = run.progress.get("eta_seconds")
    if run.state == PAUSED:
        return f"paused at step {run.steps:,}"
    if not run.steps:
        return str(run.progress.get("phase") or "starting")
    of = f" of {run.max_steps:,}" if run.max_steps else ""
    return f"step {run.steps:,}{of}" + ("" if left is None else f" · {duration(left)} left")
