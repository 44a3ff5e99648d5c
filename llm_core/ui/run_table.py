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
from llm_core.ui.states import literal
from llm_core.workspace.runs import RunSummary

_ROW_PIXELS, _MOST_ROWS = 35, 14


def shown_runs(runs: Sequence[RunSummary]) -> list[RunSummary]:
    """The runs that pass the filters above the table."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        wanted = st.text_input(
            "Filter",
            placeholder="part of a name, family or text",
            width=320,
            key="runs-filter",
            icon=":material/search:",
        )
        states = st.multiselect("State", sorted({run.state for run in runs}), width=320, key="runs-states")
    words = wanted.lower().split()
    return [
        run
        for run in runs
        if (not states or run.state in states)
        and all(word in f"{run.name} {run.kind} {run.dataset}".lower() for word in words)
    ]


def runs_table(shown: Sequence[RunSummary], runs: Sequence[RunSummary]) -> list[RunSummary]:
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
    event = st.dataframe(
        _frame(shown),
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


def _frame(runs: Sequence[RunSummary]) -> pd.DataFrame:
    known = families()
    return pd.DataFrame(
        [
            {
                "name": run.name,
                "state": run.state,
                "family": known[run.kind].title if run.kind in known else run.kind,
                "text": run.dataset,
                "bits/byte": run.bits_per_byte,
                "validation": run.val_loss if run.objective == "causal" else None,
                "filled in": None if run.accuracy is None else 100 * run.accuracy,
                "loss so far": run.sparkline,
                "parameters": run.parameters,
                "started": datetime.fromtimestamp(run.created_at, UTC),
                "steps": run.steps,
                "tokens/s": run.tokens_per_second,
                "disk": run.size_bytes,
            }
            for run in runs
        ]
    )


_COLUMNS = {
    "name": st.column_config.TextColumn(pinned=True, width=150),
    "state": st.column_config.TextColumn(width=70),
    "bits/byte": st.column_config.NumberColumn(format="%.3f", help="Validation; compares across tokenizers."),
    "validation": st.column_config.NumberColumn(format="%.3f", help="Validation loss in nats per token."),
    "filled in": st.column_config.NumberColumn(
        format="%.1f %%", help="Hidden or answered tokens that the likeliest one hits, on validation text."
    ),
    "loss so far": st.column_config.LineChartColumn(help="Training loss.", width="small"),
    "parameters": st.column_config.NumberColumn(format="compact"),
    "steps": st.column_config.NumberColumn(format="localized"),
    "tokens/s": st.column_config.NumberColumn(format="compact"),
    "disk": st.column_config.NumberColumn(format="bytes"),
    "started": st.column_config.DatetimeColumn(format="distance"),
}
