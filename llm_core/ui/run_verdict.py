"""The words under a run's chart: one sentence of figures, what the curve did, where earlier runs stood, what the rules of health saw.

Shown anew every two seconds while the run is under way. Not here: the sentence on the figures (`llm_core.backend.verdict`), the notices
(`health_notices.py`).
"""

from __future__ import annotations

import streamlit as st

from llm_core.backend.ngram_levels import read_levels
from llm_core.backend.run_commands import present_config
from llm_core.backend.verdict import band_remark, first_loss_remark, verdict_of_figures
from llm_core.training.health_verdict import Verdict
from llm_core.ui.health_notices import notices_of, show_notices
from llm_core.ui.refreshing import refreshed
from llm_core.ui.run_view import RunView
from llm_core.ui.states import literal, record_or_rerun
from llm_core.web.run_history import verdict_of_run
from llm_core.web.step_values import values_near
from llm_core.workspace.lineage import read_lineage
from llm_core.workspace.metrics_read import events, segments
from llm_core.workspace.runs import RunSummary, summarise_run

REFRESH_SECONDS = 2.0
# Before this much of a run its course tells little, and the rules say nothing about it.
_FIRST_SHARE, _FIRST_STEPS = 0.15, 100
# As the chart draws them (`live_plot_picture.js`), in the order in which they are told.
_MARKS = {
    "checkpoint": "▲ checkpoint",
    "changed": "■ a setting changed",
    "paused": "⧗ paused",
    "resumed": "◆ resumed",
    "rolled_back": "◀ rolled back",
    "forked": "▶ forked",
    "health": "★ something to look at",
    "diverged": "✕ not a number",
}


def show_verdict(view: RunView) -> None:
    """The words of one run; the page runs anew when the n-gram levels have come."""
    waits = _waits_for_levels(view)
    show = refreshed(REFRESH_SECONDS if waits or not view.record.is_final else None)(_show)
    show(view)


def sentences(view: RunView, summary: RunSummary) -> str:
    """The verdict as one line of text, empty before the first measurement."""
    if summary.val_loss is None:
        return ""
    figures = verdict_of_figures(summary, view.words, view.levels)
    return " ".join(part for part in (figures, _among_earlier(view, summary.val_loss), _first(view)) if part)


def _show(view: RunView) -> None:
    if _waits_for_levels(view) and view.tokens is not None and read_levels(view.tokens.path) is not None:
        st.rerun()
    summary = summarise_run(view.workspace, record_or_rerun(view.workspace, view.record.id))
    judged = None if view.is_counted else _judged(view, summary)
    if line := sentences(view, summary):
        word = _word(view, summary, judged)
        st.markdown(f"**{literal(word)}.** {literal(line)}" if word else literal(line))
    if view.is_counted:
        return
    happened = events(view.folder)
    show_notices(view, notices_of(happened, segments(view.folder), judged))
    present = {event.kind for event in happened if event.step is not None}
    if marks := [words for kind, words in _MARKS.items() if kind in present]:
        st.caption(f"Marks along the chart: {' · '.join(marks)}.")


def _word(view: RunView, summary: RunSummary, judged: Verdict | None) -> str:
    """The verdict in a word; that nothing was found means something only after a part of the run."""
    if judged is None:
        return ""
    if judged.finding is not None:
        return judged.title
    if view.record.is_final:
        return judged.title
    needed = _FIRST_SHARE * summary.max_steps if summary.max_steps else _FIRST_STEPS
    return f"{judged.title} so far" if summary.steps >= needed else ""


def _judged(view: RunView, summary: RunSummary) -> Verdict | None:
    """The verdict of the rules, asked anew at each evaluation and at the end; None where nothing compares."""
    if view.tokens is None or summary.val_loss is None:
        return None
    return _verdict(view, summary, view.record.id, view.record.state, summary.val_loss, len(events(view.folder)))


@st.cache_data(max_entries=64, show_spinner=False)
def _verdict(
    _view: RunView, _summary: RunSummary, run_id: str, state: str, val_loss: float, num_events: int
) -> Verdict | None:
    assert _view.tokens is not None
    config = present_config(_view.workspace, _view.record)
    pace = _view.tokens_per_step(_summary)
    return verdict_of_run(_view.workspace, run_id, config, _view.tokens, _summary.max_steps, pace)


def _waits_for_levels(view: RunView) -> bool:
    return view.words.is_code_length and view.levels is not None and view.levels.ngrams is None


def _among_earlier(view: RunView, val_loss: float) -> str:
    """Where earlier runs stood after as many tokens as this one has seen at its last measurement."""
    if view.band is None:
        return ""
    measured = last_measured_tokens(view)
    return "" if measured is None else band_remark(val_loss, view.band.at(measured), len(view.band.names))


def last_measured_tokens(view: RunView) -> int | None:
    """Tokens trained on at the last evaluation."""
    found = values_near(view.workspace, view.record.id, [view.words.validation_key], 2**62)
    last = found.get(view.words.validation_key)
    return None if last is None else last.tokens


def _first(view: RunView) -> str:
    """Only of weights that were drawn for this run: a fork goes on with others."""
    if view.is_counted or read_lineage(view.folder) is not None:
        return ""
    found = values_near(view.workspace, view.record.id, [view.words.validation_key], 0).get(view.words.validation_key)
    return first_loss_remark(found.value if found is not None and found.step == 0 else None, view.levels)
