"""An encoder in the Playground: the text with its places filled, what else could stand there, words hidden by a click.

Not here: the text box (`pages/playground.py`), the tokens on the screen (`token_view.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st

from llm_core.text.hidden_places import MASK, CutToken, cut_with_places, fill_place, hide, text_of
from llm_core.text.tokenizer_interface import TextTokenizer
from llm_core.ui.token_view import ShownToken, token_view

_BEFORE = "texts-before-hiding"


def show_filled(text: str, tokenizer: TextTokenizer, places: Sequence[dict[str, Any]], *, key: str) -> None:
    """The text token by token, what was filled in tinted; a click on another token hides it.

    Args:
        places: what `InferenceClient.fill` says of each place; empty where nothing is hidden.
        key: of the widget that holds the text.
    """
    cut = cut_with_places(text, tokenizer, MASK)
    token_view(
        shown_tokens(cut, places),
        key="filled",
        mode="probability",
        on_press=partial(_hide, key=key, text=text, cut=cut),
    )
    before: list[tuple[str, str]] = st.session_state.get(_BEFORE, [])
    if before and before[-1][1] == text:
        st.button("Put the last one back", icon=":material/undo:", key="put-back", on_click=_put_back, args=(key,))


def shown_tokens(cut: Sequence[CutToken], places: Sequence[dict[str, Any]]) -> list[ShownToken]:
    """The tokens of a text, each place with its likeliest candidate and the others."""
    by_position = {place["position"]: place["candidates"] for place in places}
    shown: list[ShownToken] = []
    for position, token in enumerate(cut):
        candidates = by_position.get(position)
        if candidates is None:
            shown.append({"text": token.text})
            continue
        best = candidates[0]
        shown.append(
            {
                "text": fill_place(token, MASK, best["text"]),
                "id": best["token"],
                "p": best["p"],
                "alternatives": [{"text": one["text"], "p": one["p"], "id": one["token"]} for one in candidates],
            }
        )
    return shown


def _hide(index: int, *, key: str, text: str, cut: Sequence[CutToken]) -> None:
    hidden = text_of(hide(cut, index, MASK))
    st.session_state.setdefault(_BEFORE, []).append((text, hidden))
    st.session_state[key] = hidden


def _put_back(key: str) -> None:
    st.session_state[key], _ = st.session_state[_BEFORE].pop()
