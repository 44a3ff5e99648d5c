"""How the next token is chosen, as widgets: each with its sentence and a way back to its default.

Not here: the declarations (`llm_core.config.sampling`), the picture of what they do (`llm_core.figures.curves.candidates`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st
from pydantic import ValidationError

from llm_core.config.run import user_error
from llm_core.config.sampling import SamplingConfig
from llm_core.config.schema import SettingDescription, describe_settings
from llm_core.ui.forms import setting_widget
from llm_core.ui.states import literal

# Sliders, because their effect is watched while they move; the ends are where people go, the declared bounds lie further out.
_SLIDERS = {"temperature": (0.0, 2.0, 0.05), "top_p": (0.0, 1.0, 0.01), "min_p": (0.0, 1.0, 0.01)}
# Numbers reach the browser as JavaScript's, which are exact up to here.
_LARGEST_SEED = 2**53 - 1
_INITIAL = "sampling-initial"


def begin_with(values: dict[str, Any]) -> None:
    """What the widgets show first in this session: the settings of the text that the link names."""
    st.session_state[_INITIAL] = dict(values)


def sampling_settings() -> SamplingConfig:
    """The widgets.

    Raises:
        UserError: a combination that the declarations do not allow.
    """
    initial: dict[str, Any] = st.session_state.setdefault(_INITIAL, {})
    # The length comes last: the others are watched in the picture above them.
    rows = sorted(describe_settings(SamplingConfig), key=lambda row: row.path == "max_tokens")
    values = {row.path: _setting(row, initial) for row in rows if row.level == "simple"}
    with st.expander("More settings"):
        values |= {row.path: _setting(row, initial) for row in rows if row.level != "simple"}
    try:
        return SamplingConfig.model_validate({**values, "stop": tuple(values["stop"])})
    except ValidationError as error:
        raise user_error(error) from error


def _setting(row: SettingDescription, initial: dict[str, Any]) -> Any:
    version = st.session_state.setdefault(f"sampling-version-{row.path}", 0)
    key = f"sampling-{row.path}-{version}"
    first = initial.get(row.path, row.default)
    if key not in st.session_state:  # the page is opened again, and with it comes what was set before
        first = st.session_state.get(f"sampling-last-{row.path}", first)
    with st.container(key=f"setting-{row.path}", gap="xxsmall"):
        line = st.container(horizontal=True, vertical_alignment="bottom")
        with line:
            value = _widget(row, first, key)
        if _differs(value, row.default):
            line.button(
                "Reset",
                key=f"reset-{row.path}",
                help=f"Back to {_spoken(row.default)}",
                on_click=_reset,
                args=(row.path,),
            )
        st.caption(literal(row.help))
    st.session_state[f"sampling-last-{row.path}"] = value
    return value


def _widget(row: SettingDescription, first: Any, key: str) -> Any:
    if row.path in _SLIDERS:
        low, high, step = _SLIDERS[row.path]
        return st.slider(row.label, low, high, min(float(first), high), step, key=key)
    if row.path == "seed":
        return st.number_input(row.label, 0, _LARGEST_SEED, first, 1, key=key, placeholder="a new one each time")
    return setting_widget(replace(row, help=""), first, key=key)


def _differs(value: Any, default: Any) -> bool:
    return tuple(value) != tuple(default) if isinstance(default, tuple) else value != default


def _spoken(default: Any) -> str:
    return "none" if default in (None, ()) else str(default)


def _reset(path: str) -> None:
    """Another key makes another widget, which begins with the default."""
    st.session_state[f"sampling-version-{path}"] += 1
    st.session_state[_INITIAL].pop(path, None)
    st.session_state.pop(f"sampling-last-{path}", None)
