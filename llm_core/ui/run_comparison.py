"""Runs side by side: results and settings as tables. For the page Runs.

Not here: the curves (`run_overlay.py`), which runs there are (`run_table.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from llm_core.backend.environment import FACT_LABELS
from llm_core.backend.run_groups import NAMING_SETTINGS, setting_labels, spoken
from llm_core.config.objective_words import ObjectiveWords, objective_words
from llm_core.config.overrides import flatten_values
from llm_core.models.families import families
from llm_core.ui.run_summaries import ListedRun
from llm_core.workspace.runs import RunSummary


def best_first(runs: Sequence[ListedRun]) -> list[ListedRun]:
    """By validation in bits per byte; those without one last."""
    return sorted(runs, key=lambda run: (run.summary.bits_per_byte is None, run.summary.bits_per_byte or 0.0))


def show_results(runs: Sequence[ListedRun]) -> None:
    """What came out, one run a row; a click on a column's name sorts."""
    st.dataframe(
        results_table(runs),
        hide_index=True,
        column_config={**_COLUMNS, **{name: _NUMBER for words in objective_words().values() for name in _own(words)}},
        placeholder="–",
        key="runs-results",
        alt="Results of the ticked runs",
    )


def results_table(runs: Sequence[ListedRun]) -> pd.DataFrame:
    """Numbers as numbers, so that they sort; a loss that is no code length has columns of its own."""
    rows = [_result(run) for run in runs]
    return pd.DataFrame(rows, columns=[name for name in rows[0] if any(row[name] is not None for row in rows)])


def _result(run: ListedRun) -> dict[str, Any]:
    summary, known = run.summary, families()
    is_code_length = objective_words()[summary.objective].is_code_length
    return {
        "name": summary.name,
        "family": known[summary.kind].title if summary.kind in known else summary.kind,
        "bits/byte": summary.bits_per_byte,
        "validation": summary.val_loss if is_code_length else None,
        "training": summary.train_loss if is_code_length else None,
        **_filling(summary),
        "parameters": summary.parameters,
        "steps": summary.steps,
        "tokens read": summary.tokens,
        "tokens/s": summary.tokens_per_second,
        "time": summary.seconds,
        "seed": run.seed,
        "data": run.data_hash[:8] or None,
        "state": summary.state,
    }


def _filling(summary: RunSummary) -> dict[str, float | None]:
    """Of each objective that is no code length: their losses do not compare with others."""
    found: dict[str, float | None] = {}
    for words in objective_words().values():
        if not words.is_code_length:
            loss, right = _own(words)
            is_own = summary.objective == words.kind
            found[loss] = summary.val_loss if is_own else None
            found[right] = 100 * summary.accuracy if is_own and summary.accuracy is not None else None
    return found


def _own(words: ObjectiveWords) -> tuple[str, str]:
    """The names of an objective's two columns."""
    title = words.title.lower()
    return f"{title}, {words.axis_title.removeprefix('loss, ')}", f"{title}, right %"


def settings_table(runs: Sequence[ListedRun], *, only_differences: bool) -> pd.DataFrame:
    """The settings in the order of the form, then the text's hash and the environment, one run a column.

    Empty where they should differ and do not. Configurations are read as they lie on disk, so that runs of another version can be
    compared too.
    """
    flat = [flatten_values(run.config) for run in runs]
    labels = setting_labels()
    groups = [name.partition(".")[0] for name in labels]
    known = sorted(labels, key=lambda name: groups.index(name.partition(".")[0]))
    known += sorted({name for values in flat for name in values} - set(labels))
    rows = {f"{labels.get(name, name)} ({name})": [values.get(name) for values in flat] for name in known}
    for name in NAMING_SETTINGS:
        rows.pop(f"{labels.get(name, name)} ({name})", None)
    rows["Forked from"] = [None if run.lineage is None else _origin(run) for run in runs]
    rows["Changed on the way"] = [run.history or None for run in runs]
    for name, label in FACT_LABELS.items():
        rows[f"{label} (environment)"] = [run.environment.get(name) for run in runs]
    said = {label: [spoken(value) for value in values] for label, values in rows.items() if any(map(_is_there, values))}
    if only_differences:
        said = {label: values for label, values in said.items() if len(set(values)) > 1}
    return pd.DataFrame.from_dict(said, orient="index", columns=[run.name for run in runs])


def _origin(run: ListedRun) -> str:
    assert run.lineage is not None
    return f"{run.lineage.parent_name}, step {run.lineage.step:,}"


def _is_there(value: Any) -> bool:
    return value is not None


_NUMBER = st.column_config.NumberColumn(format="%.3f")
_COLUMNS = {
    "name": st.column_config.TextColumn(pinned=True, width=260),
    "bits/byte": st.column_config.NumberColumn(format="%.3f", help="Validation; compares across tokenizers."),
    "validation": st.column_config.NumberColumn(format="%.3f", help="In nats per token."),
    "training": st.column_config.NumberColumn(format="%.3f", help="In nats per token, of the last batch."),
    "parameters": st.column_config.NumberColumn(format="localized"),
    "steps": st.column_config.NumberColumn(format="localized"),
    "tokens read": st.column_config.NumberColumn(
        format="localized", help="In training, those read again counted again; of an n-gram model those it counted."
    ),
    "tokens/s": st.column_config.NumberColumn(format="compact"),
    "time": st.column_config.NumberColumn(format="%.0f s", help="Training time without pauses."),
    "seed": st.column_config.NumberColumn(format="%d"),
    "data": st.column_config.TextColumn(help="The beginning of the hash of its text."),
}
