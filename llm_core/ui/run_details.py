"""What lies below a run's chart: its samples over training, its events, its settings and its log.

Not here: the chart (`live_plot.py`), the buttons (`run_head.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import ParamSpec

import pandas as pd
import streamlit as st

from llm_core.config.overrides import flatten
from llm_core.config.run import RunConfig
from llm_core.config.schema import describe_run
from llm_core.ui.states import literal
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.metrics_read import events, samples
from llm_core.workspace.runs import LOG

Parameters = ParamSpec("Parameters")

REFRESH_SECONDS = 3.0
SHOWN_LOG_CHARACTERS = 20_000


def show_samples(record: JobRecord, folder: Path) -> None:
    """The text that the run wrote from its fixed beginnings, at each evaluation."""
    _refreshed(record, _samples)(record.id, folder)


def show_events(record: JobRecord, folder: Path) -> None:
    """Checkpoints, resumptions, warnings, newest first."""
    _refreshed(record, _events)(folder)


def show_settings(config: RunConfig) -> None:
    """Every setting of the run, with what it is called in the form."""
    labels = {row.path: row.label for row in describe_run(config.model.kind, config.objective.kind)}
    values = {path: value for path, value in flatten(config).items() if path != "schema_version"}
    table = pd.DataFrame(
        {
            "setting": [labels.get(path, path) for path in values],
            "value": ["–" if value is None or value in ("", ()) else str(value) for value in values.values()],
            "name": list(values),
        }
    )
    st.dataframe(table, hide_index=True)


def show_log(record: JobRecord, folder: Path) -> None:
    """The end of what the worker said."""
    _refreshed(record, _log)(folder)


def _refreshed(record: JobRecord, show: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """The same, shown anew every few seconds while the run is under way."""
    return st.fragment(run_every=None if record.is_final else REFRESH_SECONDS)(show)


def _samples(run_id: str, folder: Path) -> None:
    written = samples(folder)
    if not written:
        st.write("The first sample comes with the first evaluation.")
        return
    steps = sorted({sample.step for sample in written})
    chosen = _choose_step(run_id, steps)
    for sample in written:
        if sample.step != chosen:
            continue
        expected = sample.data.get("expected")
        if expected is None:
            start = json.dumps(sample.prompt, ensure_ascii=False)
            st.caption(literal(f"After {sample.step:,} steps, going on from {start}"))
            st.code(sample.prompt + sample.text, language=None, wrap_lines=True)
        else:
            st.caption(f"After {sample.step:,} steps: what it was given, what it made of it, what it should have been")
            st.code(f"{sample.prompt}\n→ {sample.text}\n= {expected}", language=None, wrap_lines=True)


def _choose_step(run_id: str, steps: list[int]) -> int:
    """A slider that stays where a person put it and else follows the newest sample."""
    if len(steps) < 2:
        return steps[-1]
    kept = f"sample-step-{run_id}"
    chosen = st.session_state.get(kept)
    chosen = chosen if chosen in steps else steps[-1]
    # Another number of steps is another widget, so what was chosen is kept beside it.
    picked = st.select_slider(
        "Sample after step", steps, value=chosen, format_func=lambda step: f"{step:,}", key=f"{kept}-{len(steps)}"
    )
    st.session_state[kept] = None if picked == steps[-1] else picked
    return picked


def _events(folder: Path) -> None:
    happened = events(folder)
    if not happened:
        st.write("Nothing has happened yet.")
        return
    newest_first = happened[::-1]
    table = pd.DataFrame(
        {
            "when": [datetime.fromtimestamp(event.at).strftime("%H:%M:%S") for event in newest_first],
            "step": pd.Series([event.step for event in newest_first], dtype="Int64"),
            "what": [event.message for event in newest_first],
        }
    )
    st.dataframe(table, hide_index=True)


def _log(folder: Path) -> None:
    log = folder / LOG
    text = log.read_text(encoding="utf-8", errors="replace")[-SHOWN_LOG_CHARACTERS:] if log.exists() else ""
    st.code(text or "The log is empty: nothing went wrong.", language=None, wrap_lines=True)
