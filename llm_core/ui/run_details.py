"""What lies below a run's chart: its samples over training, its events, its settings and its log.

Not here: the chart (`run_charts.py`), the buttons (`run_controls.py`), notes and exports (`run_notes.py`, `run_exports.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ParamSpec

import pandas as pd
import streamlit as st

from llm_core.config.overrides import flatten
from llm_core.config.run import RunConfig
from llm_core.config.schema import describe_run
from llm_core.quantities import size
from llm_core.text.known_words import known_share, known_words
from llm_core.text.token_set import TokenSet, open_token_set
from llm_core.ui.refreshing import refreshed
from llm_core.ui.states import literal
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.metrics_read import Sample, events, samples
from llm_core.workspace.runs import LOG

Parameters = ParamSpec("Parameters")

REFRESH_SECONDS = 3.0
SHOWN_LOG_CHARACTERS = 20_000
SEARCHED_LOG_BYTES = 4_000_000
LOG_BLOCK_BYTES = 1_000_000
SHOWN_LINES = 400


def show_samples(record: JobRecord, folder: Path, tokens: TokenSet | None) -> None:
    """The text that the run wrote from its fixed beginnings, at each evaluation.

    Args:
        tokens: the run's text, for the share of words that occur in it.
    """
    token_folder = None if tokens is None else str(tokens.path)
    _refreshed(record, _samples)(record.id, folder, token_folder, is_final=record.is_final)


def show_events(record: JobRecord, folder: Path) -> None:
    """Checkpoints, changes, resumptions, warnings, newest first."""
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
    return refreshed(None if record.is_final else REFRESH_SECONDS)(show)


def _samples(run_id: str, folder: Path, token_folder: str | None, *, is_final: bool) -> None:
    written = samples(folder)
    if not written:
        st.write(
            "This run has written no samples." if is_final else "The first sample comes with the first evaluation."
        )
        return
    steps = sorted({sample.step for sample in written})
    chosen = _choose_step(run_id, steps)
    known = _known(token_folder) if token_folder is not None else frozenset[str]()
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
    if line := spelling_words(written, known, chosen):
        st.caption(line)


@st.cache_resource(max_entries=4, show_spinner=False)
def _known(token_folder: str) -> frozenset[str]:
    return known_words(open_token_set(Path(token_folder)))


def spelling_words(written: Sequence[Sample], known: frozenset[str], chosen: int) -> str:
    """How many words of the samples occur in the text: at the first step, the chosen one and the newest."""
    shares: dict[int, list[float]] = {}
    for sample in written:
        share = known_share(sample.text, known) if "expected" not in sample.data else None
        if share is not None:
            shares.setdefault(sample.step, []).append(share)
    if not known or not shares:
        return ""
    told = sorted({min(shares), max(shares), *({chosen} & shares.keys())})
    parts = [f"{100 * sum(shares[step]) / len(shares[step]):.0f} % after {step:,} steps" for step in told]
    return f"Share of its words that occur in the text: {' · '.join(parts)}"


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
    kinds = sorted({event.kind for event in happened})
    wanted = st.pills(
        "Kinds", kinds, format_func=_kind_words, selection_mode="multi", label_visibility="collapsed", key="event-kinds"
    )
    newest_first = [event for event in happened[::-1] if not wanted or event.kind in wanted]
    table = pd.DataFrame(
        {
            "when": [datetime.fromtimestamp(event.at).strftime("%Y-%m-%d %H:%M:%S") for event in newest_first],
            "step": pd.Series([event.step for event in newest_first], dtype="Int64"),
            "kind": [_kind_words(event.kind) for event in newest_first],
            "what": [event.message for event in newest_first],
        }
    )
    authors = [str(event.data.get("author") or "") for event in newest_first]
    if any(authors):
        table["by"] = authors
    st.dataframe(table, hide_index=True)


def _kind_words(kind: str) -> str:
    return kind.replace("_", " ")


@dataclass(frozen=True)
class LogPart:
    """The end of a log, in whole lines."""

    text: str
    first_line: int
    """The number of its first line in the file, from 1."""
    left_out_bytes: int
    """How much of the file comes before it."""


def log_part(path: Path) -> LogPart:
    """The log, of a very long one its end."""
    if not path.exists():
        return LogPart("", 1, 0)
    with path.open("rb") as file:
        too_much = path.stat().st_size - SEARCHED_LOG_BYTES
        # In whole blocks, so that what lies before is counted once while the log grows.
        start = max(0, -(-too_much // LOG_BLOCK_BYTES) * LOG_BLOCK_BYTES)
        file.seek(start)
        text = file.read().decode("utf-8", errors="replace")
    if not start:
        return LogPart(text, 1, 0)
    begun, newline, whole = text.partition("\n")
    if not newline:
        return LogPart(begun, 1 + _lines_before(str(path), start), start)
    return LogPart(whole, 2 + _lines_before(str(path), start), start + len(begun.encode()) + 1)


@st.cache_data(max_entries=16, show_spinner=False)
def _lines_before(path: str, end: int) -> int:
    """The line ends before a place in a log. A log only grows, so they stay as many."""
    with Path(path).open("rb") as file:
        return sum(file.read(LOG_BLOCK_BYTES).count(b"\n") for _ in range(end // LOG_BLOCK_BYTES))


def _log(folder: Path) -> None:
    part = log_part(folder / LOG)
    if not part.text:
        st.code("The log is empty: nothing went wrong.", language=None)
        return
    wanted = st.text_input("Search the log", placeholder="a word or a part of one", key="log-search").casefold()
    cut = ""
    if part.left_out_bytes:
        cut = f" What comes before line {part.first_line:,} ({size(part.left_out_bytes)}) is in {LOG} only."
    if not wanted:
        if part.left_out_bytes or len(part.text) > SHOWN_LOG_CHARACTERS:
            st.caption(literal(f"The last {SHOWN_LOG_CHARACTERS:,} characters. The search looks further back.{cut}"))
        st.code(part.text[-SHOWN_LOG_CHARACTERS:], language=None, wrap_lines=True)
        return
    # By line ends alone, as editors count.
    lines = part.text.removesuffix("\n").split("\n")
    found = [
        f"{number:>6}  {line}" for number, line in enumerate(lines, start=part.first_line) if wanted in line.casefold()
    ]
    last = f", the last {SHOWN_LINES} of them shown" if len(found) > SHOWN_LINES else ""
    st.caption(literal(f"{len(found):,} of {len(lines):,} lines{last}.{cut}"))
    st.code("\n".join(found[-SHOWN_LINES:]) or "No line has this in it.", language=None, wrap_lines=True)
