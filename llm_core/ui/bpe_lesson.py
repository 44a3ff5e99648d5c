"""Watch byte-pair encoding learn: merge by merge, and the sample text as it is cut after each.

Not here: the merges (`llm_core.text.bpe_lesson`), tokenizers for models (`tokenizer_form.py`).
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import streamlit as st

from llm_core.config.errors import UserError
from llm_core.text.bpe_lesson import MOST_MERGES, Lesson, beginning, cut_after, learn
from llm_core.text.bpe_trainer import Merge
from llm_core.text.library import list_datasets
from llm_core.text.tokenizer_interface import visible_bytes
from llm_core.text.visible import visible_white_space
from llm_core.ui.link import asked, settle, tell
from llm_core.ui.refreshing import refreshed
from llm_core.ui.states import literal, show_error
from llm_core.ui.token_view import ShownToken, token_view
from llm_core.workspace.paths import Workspace, open_workspace

THIS_TEXT = "text"
_USUAL_MERGES = 100
_WHO = (
    "Learned by Glassbox's own small trainer: of equally frequent pairs it joins the greatest. Tokenizers for models are trained by the "
    "`tokenizers` library, whose order among equals is another."
)


@refreshed()
def bpe_lesson(workspace: Workspace, text: str) -> None:
    """The section; the link carries the text to learn from and the number of merges."""
    st.subheader("Watch merges being learned", help=_WHO)
    titles = {record.name: record.title for record in list_datasets(workspace) if record.materialised}
    sources = [*titles, THIS_TEXT]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        settle("learn", "lesson-source", sources, sources[0], what="text to learn from")
        source = st.selectbox(
            "Learn from",
            sources,
            format_func=lambda name: titles.get(name, "The text above"),
            key="lesson-source",
            width=280,
        )
        tell("learn", "lesson-source", source)
        most = _number_of_merges()
    try:
        lesson = _learned(str(workspace.root), source, text if source == THIS_TEXT else "", most)
    except UserError as error:
        show_error(error)
        return
    if not lesson.merges:
        st.caption("No two bytes of this text stand side by side within a word, so there is nothing to join.")
        return
    if len(lesson.merges) < most:
        st.caption(f"After {len(lesson.merges):,} merges every word is one piece.")
    after = st.slider(
        "Merges so far", 0, len(lesson.merges), len(lesson.merges), key=f"lesson-after-{source}-{len(lesson.merges)}"
    )
    merges = lesson.merges[:after]
    pieces = cut_after(text, merges)
    _last_merge(merges)
    cut, table = st.columns(2, gap="medium")
    with cut:
        token_view([_shown(piece.token_id, piece.text, piece.data) for piece in pieces], key="view-lesson", mode="ids")
        st.caption(f"{len(pieces):,} tokens of {256 + after:,} kinds: 256 bytes and {after:,} merges")
    with table:
        _table(merges)
        st.caption(_read(lesson, titles.get(source, "the text above")))


def _number_of_merges() -> int:
    wanted = asked("merges", "lesson-merges")
    if wanted is not None and wanted.isdecimal():
        st.session_state["lesson-merges"] = min(max(int(wanted), 1), MOST_MERGES)
    st.session_state.setdefault("lesson-merges", _USUAL_MERGES)
    most = st.number_input("Merges", 1, MOST_MERGES, key="lesson-merges", step=10, width=140)
    tell("merges", "lesson-merges", most)
    return most


@st.cache_data(max_entries=32, show_spinner=False)
def _learned(root: str, source: str, text: str, most: int) -> Lesson:
    if source == THIS_TEXT:
        return learn(text, most)
    read, is_whole = beginning(open_workspace(Path(root)), source)
    return learn(read, most, is_whole=is_whole)


def _last_merge(merges: tuple[Merge, ...]) -> None:
    if not merges:
        st.markdown("Every byte is a piece of its own.")
        return
    last = merges[-1]
    left, right, joined = (literal(_drawn(part)) for part in (last.left, last.right, last.joined))
    often = f"{last.count:,} times" if last.count > 1 else "once"
    st.markdown(f"**{left}** + **{right}** → **{joined}**, side by side {often}")


def _table(merges: tuple[Merge, ...]) -> None:
    newest = list(enumerate(merges, start=1))[::-1]
    st.dataframe(
        pd.DataFrame(
            {
                "merge": [number for number, _ in newest],
                "left": [_drawn(merge.left) for _, merge in newest],
                "right": [_drawn(merge.right) for _, merge in newest],
                "joined": [_drawn(merge.joined) for _, merge in newest],
                "how often": [merge.count for _, merge in newest],
            }
        ),
        hide_index=True,
        height=260,
        column_config={"how often": st.column_config.NumberColumn(format="localized")},
    )


def _read(lesson: Lesson, title: str) -> str:
    """What the merges were learned from, honestly, and by whom."""
    which = "all" if lesson.is_whole else "the first"
    return literal(f"Learned from {which} {lesson.characters:,} characters of {title} by Glassbox's own small trainer")


def _drawn(part: bytes) -> str:
    return visible_white_space(visible_bytes(part)).replace("\n", "")


def _shown(token_id: int | None, text: str, data: bytes) -> ShownToken:
    token: ShownToken = {"text": text, "bytes": data.hex(" ").upper()}
    return token if token_id is None else {**token, "id": token_id}
