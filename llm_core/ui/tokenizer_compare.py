"""One text cut by two tokenizers, side by side, each with its figures and what it costs in a model.

Not here: training and keeping tokenizers (`tokenizer_form.py`), drawing tokens (`token_view.py`).
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from llm_core.config.errors import UserError
from llm_core.quantities import three_digits
from llm_core.text.cutting import CutText, cut, is_kept, open_option, tokenizer_options
from llm_core.text.tokenizer_interface import TextTokenizer, TokenPiece, describe_character
from llm_core.ui.link import asked, settle, tell
from llm_core.ui.states import literal, show_error
from llm_core.ui.token_view import ShownToken, token_view
from llm_core.workspace.paths import Workspace, open_workspace

LONGEST_SAMPLE_CHARACTERS = 2000
SAMPLE = "Attention, please: 你好, naïve café!\nThe quick brown fox doesn't jump 1,234 times."
_SHOWN_UNKNOWN = 12


def sample_text() -> str:
    """The text box; the link carries its text."""
    wanted = asked("text", "sample")
    if wanted is not None or "sample" not in st.session_state:
        st.session_state["sample"] = (wanted or SAMPLE)[:LONGEST_SAMPLE_CHARACTERS]
    text = st.text_area("Text to cut", key="sample", height=110, max_chars=LONGEST_SAMPLE_CHARACTERS)
    tell("text", "sample", text)
    return text


def compare_tokenizers(workspace: Workspace, text: str) -> None:
    """Both sides; the link carries the choice of each."""
    options = {option.key: option.title for option in tokenizer_options(workspace)}
    width = st.session_state.get("model-width", 128)
    for side, column in zip(("left", "right"), st.columns(2, gap="medium"), strict=True):
        with column:
            key = _choose(side, options)
            if key is None:
                continue
            try:
                tokenizer = _kept(str(workspace.root), key) if is_kept(key) else open_option(workspace, key, text)
                result = cut(tokenizer, text)
            except UserError as error:
                show_error(error)
                continue
            _show(side, tokenizer, result, width)
    st.number_input(
        "Width of the model, numbers per token",
        8,
        16_384,
        value=128,
        step=8,
        key="model-width",
        width=260,
        help="Each entry of the vocabulary is a row of so many numbers in the embedding, and again in the head unless the "
        "model shares them.",
    )


def _choose(side: str, options: dict[str, str]) -> str | None:
    key, keys = f"cut-{side}", list(options)
    wanted = asked(side, key)
    if wanted is not None and wanted not in options:
        listed = ", ".join(options.values())
        st.warning(literal(f"There is no tokenizer {wanted[:80]}. There are: {listed}."), icon=":material/search_off:")
        if st.button("Show one that is there", key=f"instead-{key}"):
            del st.query_params[side]
            st.rerun()
        return None
    default = keys[-1] if side == "left" else keys[0]
    settle(side, key, keys, default, what="tokenizer")
    chosen = st.selectbox("Cut by", keys, format_func=lambda name: options[name], key=key)
    tell(side, key, chosen)
    return chosen


@st.cache_resource(max_entries=8, show_spinner="Opening the tokenizer")
def _kept(root: str, tokenizer_id: str) -> TextTokenizer:
    """A tokenizer of the workspace; opening one with a large vocabulary takes a second."""
    return open_option(open_workspace(Path(root)), tokenizer_id, "")


def _show(side: str, tokenizer: TextTokenizer, result: CutText, width: int) -> None:
    token_view([_shown(piece) for piece in result.pieces], key=f"view-{side}", mode="ids")
    with st.container(horizontal=True, gap="small"):
        st.metric("Tokens", f"{result.tokens:,}", border=True, width="content")
        st.metric("Bytes per token", three_digits(result.bytes_per_token), border=True, width="content")
        st.metric("Unknown", f"{three_digits(100 * result.unknown_share)} %", border=True, width="content")
        st.metric("Vocabulary", f"{tokenizer.vocabulary_size:,}", border=True, width="content")
    size = tokenizer.vocabulary_size
    st.caption(f"Cost in the model: {size:,} × {width:,} = {size * width:,} parameters")
    if result.unknown:
        names = ", ".join(describe_character(piece) for piece in result.unknown[:_SHOWN_UNKNOWN])
        more = len(result.unknown) - _SHOWN_UNKNOWN
        and_more = f" and {more:,} more" if more > 0 else ""
        st.warning(
            literal(f"It does not know {names}{and_more}. A model that uses it can neither read nor write them."),
            icon=":material/help:",
        )


def _shown(piece: TokenPiece) -> ShownToken:
    token: ShownToken = {"text": piece.text, "bytes": piece.data.hex(" ").upper()}
    return token if piece.token_id is None else {**token, "id": piece.token_id}
