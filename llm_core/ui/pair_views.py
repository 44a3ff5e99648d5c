"""A text of pairs on the page: source and answer side by side, and how long they are.

Not here: the tabs they stand in (`corpus_tabs.py`), choosing the two columns (`import_form.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from llm_core.figures.text import length_histogram
from llm_core.text.pair_preview import LONGEST_SHOWN_CHARACTERS, ShownPair
from llm_core.text.statistics import CorpusStatistics
from llm_core.text.visible import visible_white_space


def show_pairs(pairs: Sequence[ShownPair], *, visible: bool = False) -> None:
    """Each pair as two texts next to each other, one above the other where the screen is narrow.

    Args:
        visible: whether white space is drawn.
    """
    for pair in pairs:
        with st.container(border=True, gap="xsmall"):
            cut = f", the first {LONGEST_SHOWN_CHARACTERS:,} characters of each" if pair.is_cut else ""
            st.caption(f"Pair {pair.number:,}{cut}")
            for place, text in zip(st.columns(2), pair.texts, strict=True):
                with place:
                    # The widget would drop one line end at either side.
                    st.code(f"\n{visible_white_space(text) if visible else text}\n", language=None, wrap_lines=True)


def pair_lengths(statistics: CorpusStatistics, *, key: str) -> None:
    """How long the sources and the answers are, each with its own picture."""
    columns = {"Source": statistics.sources, "Answer": statistics.targets}
    for place, (title, column) in zip(st.columns(2), columns.items(), strict=True):
        if column is None:
            continue
        with place:
            st.markdown(f"**{title}**: {column.characters:,} characters, the longest {column.longest:,}")
            histogram = column.lengths
            st.plotly_chart(
                length_histogram(
                    histogram.edges, histogram.counts, unit=histogram.unit, dark=st.context.theme.type == "dark"
                ),
                key=f"{key}-{title}",
                config={"displayModeBar": False},
            )
