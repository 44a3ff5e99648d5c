"""Widgets from the declarations of the settings: the form never repeats a bound, a unit or a sentence.

Not here: the declarations (`llm_core.config`), which page shows which group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from llm_core.config.schema import SettingDescription

# Streamlit's number inputs travel as JavaScript numbers, which are exact up to here.
_LARGEST_EXACT = float(2**53 - 1)


def settings_form(
    rows: Sequence[SettingDescription], values: dict[str, Any], *, key: str, advanced: bool
) -> dict[str, Any]:
    """One widget for each setting; returns the values by dotted name, hidden ones unchanged.

    Args:
        values: what to show first, by dotted name.
        key: prefix of the widgets' keys; another prefix starts afresh.
        advanced: show all settings, not only the simple ones.
    """
    chosen = dict(values)
    for row in rows:
        if advanced or row.level == "simple":
            chosen[row.path] = setting_widget(row, values.get(row.path, row.default), key=f"{key}-{row.path}")
    return chosen


def setting_widget(row: SettingDescription, value: Any, *, key: str) -> Any:
    """The widget that suits one setting."""
    label = f"{row.label}, {row.unit}" if row.unit else row.label
    if row.type == "boolean":
        return st.toggle(label, value=bool(value), help=row.help, key=key)
    if row.type == "choice":
        return _choice(row, label, value, key)
    if row.type == "text":
        return st.text_input(label, value=str(value or ""), help=row.help, key=key)
    if row.type == "texts":
        text = st.text_area(label, value="\n".join(value or ()), help=f"{row.help} One a line.", key=key, height=80)
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
        return st.number_input(label, low, high, given, step=1, help=row.help, key=key, placeholder="no limit")
    given = None if value is None else float(value)
    return st.number_input(
        label, minimum, maximum, given, step=_step(row), format="%g", help=row.help, key=key, placeholder="no limit"
    )


def _step(row: SettingDescription) -> float:
    """A click on + or − changes the number by something that matters at its size."""
    default = row.default if isinstance(row.default, int | float) else 1.0
    return max(abs(float(default)) / 10, 1e-6) if default else 0.05
