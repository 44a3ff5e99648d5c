"""The table of all runs: filtered, with the ticked rows carried by the link (`?run=a,b`).

Not here: what is done with the ticked rows (`pages/runs.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from llm_core.models.families import families
from llm_core.ui.run_summaries import ARCHIVED, ListedRun
from llm_core.ui.states import literal

_ROW_PIXELS, _MOST_ROWS = 35, 14
_HASH_CHARACTERS = 8


def shown_runs(runs: Sequence[ListedRun]) -> list[ListedRun]:
    """The runs that pass the filters above the table. Those put away are seen only when they are asked for."""
    groups = sorted({run.group for run in runs} - {""})
    tags = sorted({tag for run in runs for tag in run.tags} - {ARCHIVED})
    with st.container(horizontal=True, vertical_alignment="bottom"):
        wanted = st.text_input(
            "Filter",
            placeholder="part of a name, family or text",
            width=300,
            key="runs-filter",
            icon=":material/search:",
        )
        states = st.multiselect("State", sorted({run.summary.state for run in runs}), width=220, key="runs-states")
        in_groups = st.multiselect("Group", groups, width=220, key="runs-groups") if groups else []
        with_tags = st.multiselect("Tags", tags, width=220, key="runs-tags") if tags else []
        put_away = sum(run.is_archived for run in runs)
        sees_all = bool(put_away) and st.toggle(f"Archived ({put_away})", key="runs-archived")
    words = wanted.lower().split()
    return [
        run
        for run in runs
        if (sees_all or not run.is_archived)
        and (not states or run.summary.state in states)
        and (not in_groups or run.group in in_groups)
        and set(with_tags) <= set(run.tags)
        and all(word in _searched(run) for word in words)
    ]


def runs_table(shown: Sequence[ListedRun], runs: Sequence[ListedRun]) -> list[ListedRun]:
    """The table; returns the ticked runs in its order and writes them into the link.

    Args:
        shown: those that pass the filters.
        runs: all there are, to tell a run that is hidden from one that does not exist.
    """
    asked = [part for part in st.query_params.get("run", "").split(",") if part]
    place = {run.id: index for index, run in enumerate(shown)} | {run.name: index for index, run in enumerate(shown)}
    existing = {run.id for run in runs} | {run.name for run in runs}
    unknown = [part for part in asked if part not in existing]
    if unknown:
        names = ", ".join(run.name for run in runs[:8])
        text = f"There is no run {', '.join(unknown)[:80]}. There are: {names}."
        st.warning(literal(text), icon=":material/search_off:")
    ticked = sorted({place[part] for part in asked if part in place})
    # The rows are ticked by their number, so another list of runs is another table.
    which = hashlib.sha256(",".join(run.id for run in shown).encode()).hexdigest()[:12]
    frame = _frame(shown)
    event = st.dataframe(
        frame,
        hide_index=True,
        height=_ROW_PIXELS * (min(len(shown), _MOST_ROWS) + 1) + 3,
        row_height=_ROW_PIXELS,
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": ticked}},
        key=f"runs-table-{which}",
        column_config=_COLUMNS,
        placeholder="–",
        alt="All runs with their results",
    )
    chosen = [shown[index] for index in event.selection.rows if index < len(shown)]
    _write_link([run.id for run in chosen], keep=[part for part in asked if part not in place])
    return chosen


def _write_link(chosen: list[str], keep: list[str]) -> None:
    """What the table does not show stays in the link until something else is ticked."""
    wanted = ",".join(chosen or keep)
    if wanted != st.query_params.get("run", ""):
        if wanted:
            st.query_params["run"] = wanted
        else:
            del st.query_params["run"]


def _searched(run: ListedRun) -> str:
    summary = run.summary
    return " ".join((summary.name, summary.kind, summary.dataset, run.group, *run.tags)).lower()


def _frame(runs: Sequence[ListedRun]) -> pd.DataFrame:
    """The rows; columns that no run has anything for are left out."""
    rows = [_row(run) for run in runs]
    return pd.DataFrame(
        rows, columns=[name for name in rows[0] if name not in _OPTIONAL or any(row[name] for row in rows)]
    )


def _row(run: ListedRun) -> dict[str, object]:
    known, summary = families(), run.summary
    return {
        "name": summary.name,
        "state": summary.state,
        "family": known[summary.kind].title if summary.kind in known else summary.kind,
        "text": summary.dataset,
        "bits/byte": summary.bits_per_byte,
        "validation": summary.val_loss if summary.objective == "causal" else None,
        "filled in": None if summary.accuracy is None else 100 * summary.accuracy,
        "loss so far": summary.sparkline,
        "parameters": summary.parameters,
        "tokens/s": summary.tokens_per_second,
        "time": summary.seconds,
        "group": run.group or None,
        "seed": run.seed,
        "tags": [tag for tag in run.tags if tag != ARCHIVED],
        "started": datetime.fromtimestamp(summary.created_at, UTC),
        "steps": summary.steps,
        "disk": summary.size_bytes,
        "data": run.data_hash[:_HASH_CHARACTERS] or None,
    }


_OPTIONAL = ("filled in", "group", "tags", "data")
_COLUMNS = {
    "name": st.column_config.TextColumn(pinned=True, width=210),
    "state": st.column_config.TextColumn(width=70),
    "bits/byte": st.column_config.NumberColumn(format="%.3f", help="Validation; compares across tokenizers."),
    "validation": st.column_config.NumberColumn(format="%.3f", help="Validation loss in nats per token."),
    "filled in": st.column_config.NumberColumn(
        format="%.1f %%", help="Hidden or answered tokens that the likeliest one hits, on validation text."
    ),
    "loss so far": st.column_config.LineChartColumn(help="Training loss.", width="small"),
    "parameters": st.column_config.NumberColumn(format="compact"),
    "tokens/s": st.column_config.NumberColumn(format="compact"),
    "time": st.column_config.NumberColumn(format="%.0f s", help="Training time without pauses."),
    "seed": st.column_config.NumberColumn(format="%d", width=70),
    "tags": st.column_config.ListColumn(width="small"),
    "started": st.column_config.DatetimeColumn(format="distance"),
    "steps": st.column_config.NumberColumn(format="localized"),
    "disk": st.column_config.NumberColumn(format="bytes"),
    "data": st.column_config.TextColumn(width=90, help="The beginning of the hash of its text."),
}
