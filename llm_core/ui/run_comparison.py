"""Runs side by side: results and settings as tables. For the page Runs.

Not here: the curves (`live_plot.py`), which runs there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from llm_core.config.model import MODEL_CONFIGS
from llm_core.config.objective import OBJECTIVES_OF
from llm_core.config.objective_words import objective_words
from llm_core.config.overrides import flatten_values
from llm_core.config.schema import describe_run
from llm_core.quantities import duration, three_digits
from llm_core.workspace.runs import RunSummary

_NO_SETTING = ("name", "schema_version")


def best_first(runs: Sequence[RunSummary]) -> list[RunSummary]:
    """By validation in bits per byte; those without one last."""
    return sorted(runs, key=lambda run: (run.bits_per_byte is None, run.bits_per_byte or 0.0))


def results_table(runs: Sequence[RunSummary]) -> pd.DataFrame:
    """What came out, one run a column."""
    rows: dict[str, list[str]] = {
        "state": [run.state for run in runs],
        "bits/byte": [_number(run.bits_per_byte) for run in runs],
        "validation, nats per token": [_number(run.val_loss if run.objective == "causal" else None) for run in runs],
        "training, nats per token": [_number(run.train_loss if run.objective == "causal" else None) for run in runs],
        **_filling_rows(runs),
        "parameters": ["–" if run.parameters is None else f"{run.parameters:,}" for run in runs],
        "steps": [f"{run.steps:,}" for run in runs],
        "training time": ["–" if run.seconds is None else duration(run.seconds) for run in runs],
        "tokens/s": [_number(run.tokens_per_second) for run in runs],
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=_headings(runs))


def _filling_rows(runs: Sequence[RunSummary]) -> dict[str, list[str]]:
    """One row for each objective that is no code length: their losses do not compare with others."""
    rows: dict[str, list[str]] = {}
    for words in objective_words().values():
        if not words.is_code_length and any(run.objective == words.kind for run in runs):
            own = [run if run.objective == words.kind else None for run in runs]
            rows[f"{words.title.lower()}, {words.axis_title.removeprefix('loss, ')}"] = [
                "–" if run is None else _number(run.val_loss) for run in own
            ]
            rows[f"{words.title.lower()}, right"] = [
                "–" if run is None or run.accuracy is None else f"{100 * run.accuracy:.1f} %" for run in own
            ]
    return rows


def settings_table(
    runs: Sequence[RunSummary], configs: Sequence[Mapping[str, Any]], *, only_differences: bool
) -> pd.DataFrame:
    """The settings in the order of the form, one run a column; empty where they should differ and do not.

    Configurations are read as they lie on disk, so that runs of another version can be compared too.
    """
    flat = [flatten_values(config) for config in configs]
    labels = {
        row.path: row.label
        for kind in MODEL_CONFIGS
        for objective in OBJECTIVES_OF[kind]
        for row in describe_run(kind, objective)
    }
    groups = [name.partition(".")[0] for name in labels]
    known = sorted(labels, key=lambda name: groups.index(name.partition(".")[0]))
    known += sorted({name for values in flat for name in values} - set(labels))
    rows: dict[str, list[str]] = {}
    for name in known:
        values = [_setting(values.get(name)) for values in flat]
        is_shown = any(name in values for values in flat) and name not in _NO_SETTING
        if is_shown and not (only_differences and len(set(values)) == 1):
            rows[f"{labels.get(name, name)} ({name})"] = values
    return pd.DataFrame.from_dict(rows, orient="index", columns=_headings(runs))


def _headings(runs: Sequence[RunSummary]) -> list[str]:
    """The names, which are unique among runs."""
    return [run.name for run in runs]


def _number(value: float | None) -> str:
    return "–" if value is None else three_digits(value)


def _setting(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "on" if value else "off"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)  # pyright: ignore[reportUnknownArgumentType]
