"""What a page shows is in its address: read before the widgets, written after them, also when it is the default.

A value that the link brings wins over what the page showed before; one that does not exist is said and never replaced in silence.
Not here: the run (`states.choose_run`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import streamlit as st

from llm_core.ui.states import literal

T = TypeVar("T", bound=int | str)
_SHOWN_CHOICES = 20


def asked(name: str, key: str) -> str | None:
    """The value that the link brings; None when it brings none, or only what the page wrote there itself.

    Args:
        name: in the address.
        key: of the widget that shows it.
    """
    value = st.query_params.get(name)
    if value is None or (key in st.session_state and st.session_state.get(_told(key)) == value):
        return None
    return value


def tell(name: str, key: str, value: object) -> None:
    """Write into the address what the widget shows."""
    text = str(value)
    if st.query_params.get(name) != text:
        st.query_params[name] = text
    st.session_state[_told(key)] = text


def remembered(key: str) -> str | None:
    """What was last written for this widget: whoever comes back to the page by its name finds it as it was."""
    return st.session_state.get(_told(key))


def settle(name: str, key: str, choices: Sequence[T], default: T, *, what: str) -> bool:
    """Give the widget `key` the link's choice, else the one it had, else the default; to be called before the widget.

    Returns:
        False when the link asks for something that is not there: this is said, with what there is and a way on.
    """
    text = asked(name, key)
    if text is None:
        if st.session_state.get(key) not in choices:
            st.session_state[key] = default
        return True
    found = [choice for choice in choices if str(choice) == text]
    if found:
        st.session_state[key] = found[0]
        return True
    listed = ", ".join(str(choice) for choice in choices[:_SHOWN_CHOICES])
    more = ", …" if len(choices) > _SHOWN_CHOICES else ""
    st.warning(literal(f"There is no {what} {text[:80]}. There are: {listed}{more}."), icon=":material/search_off:")
    if st.button(f"Show {what} {default}", key=f"instead-{key}"):
        del st.query_params[name]
        st.rerun()
    return False


def _told(key: str) -> str:
    return f"told-{key}"
