"""Widgets from the declarations of the settings: the form never repeats a bound, a unit or a sentence.

Not here: the declarations (`llm_core.config`), which page shows which group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from llm_core.config.overrides import read_value
from llm_core.config.schema import SettingDescription
from llm_core.ui.states import literal

# Streamlit's number inputs travel as JavaScript numbers, which are exact up to here.
_LARGEST_EXACT = float(2**53 - 1)
_UNSPOKEN_MAXIMUM, _UNSPOKEN_MINIMUM = 100_000_000, 0.001


def settings_form(
    rows: Sequence[SettingDescription], values: dict[str, Any], *, key: str, columns: int = 2
) -> dict[str, Any]:
    """One widget for each setting, side by side, with what it means below it; returns the values by dotted name.

    Args:
        values: what to show first, by dotted name.
        key: prefix of the widgets' keys; another prefix starts afresh.
    """
    chosen: dict[str, Any] = {}
    for start in range(0, len(rows), columns):
        line = rows[start : start + columns]
        for row, place in zip(line, st.columns(columns), strict=False):
            with place:
                chosen[row.path] = explained_widget(row, values.get(row.path, row.default), key=f"{key}-{row.path}")
    return chosen


def explained_widget(row: SettingDescription, value: Any, *, key: str) -> Any:
    """The widget with its sentence and its range in sight."""
    with st.container(gap="xxsmall"):
        chosen = setting_widget(row, value, key=key, help_icon=False)
        st.caption(literal(f"{row.help} {accepted_range(row)}".strip()))
    return chosen


def accepted_range(row: SettingDescription) -> str:
    """The bounds in words: "1 to 200." Those that are there for the machine and not for people are left out."""
    if row.type not in ("integer", "number") or row.minimum is None or row.maximum is None:
        return ""
    if row.maximum >= _UNSPOKEN_MAXIMUM:
        return f"At least {_bound(row.minimum)}."
    if 0 < row.minimum < _UNSPOKEN_MINIMUM:
        return f"Above 0, up to {_bound(row.maximum)}."
    return f"{_bound(row.minimum)} to {_bound(row.maximum)}."


def _bound(value: float) -> str:
    return f"{int(value):,}" if float(value).is_integer() else f"{value:g}"


def setting_widget(row: SettingDescription, value: Any, *, key: str, help_icon: bool = True) -> Any:
    """The widget that suits one setting; its sentence is behind a question mark unless the caller shows it."""
    row = row if help_icon else replace(row, help="")
    label = f"{row.label}, {row.unit}" if row.unit and row.unit not in row.label.lower() else row.label
    if row.type == "boolean":
        return st.toggle(label, value=bool(value), help=row.help, key=key)
    if row.type == "choice":
        return _choice(row, label, value, key)
    if row.type == "text":
        return st.text_input(label, value=str(value or ""), help=row.help, key=key)
    if row.type == "texts":
        text = st.text_area(f"{label}, one a line", value="\n".join(value or ()), help=row.help, key=key, height=80)
        return [line for line in text.split("\n") if line]
    return _number(row, label, value, key)


def _choice(row: SettingDescription, label: str, value: Any, key: str) -> str:
    words = row.choice_labels
    index = row.choices.index(value) if value in row.choices else 0

    def word(name: str) -> str:
        return words.get(name, name)

    chosen: str = st.selectbox(label, row.choices, index=index, format_func=word, help=row.help, key=key)
    return chosen


def _number(row: SettingDescription, label: str, value: Any, key: str) -> Any:
    minimum, maximum = row.minimum, row.maximum
    if row.type == "integer":
        low = None if minimum is None else int(minimum)
        high = None if maximum is None else int(min(maximum, _LARGEST_EXACT))
        given = None if value is None else int(value)
        if given is not None and given > _LARGEST_EXACT:
            return read_value(row, st.text_input(label, value=str(given), help=row.help, key=f"{key}-text"))
        return st.number_input(label, low, high, given, step=1, help=row.help, key=key, placeholder="empty")
    given = None if value is None else float(value)
    return st.number_input(
        label, minimum, maximum, given, step=_step(row), format="%g", help=row.help, key=key, placeholder="empty"
    )


def _step(row: SettingDescription) -> float:
    """A click on + or − changes the number by something that matters at its size."""
    default = row.default if isinstance(row.default, int | float) else 1.0
    return max(abs(float(default)) / 10, 1e-6) if default else 0.05
