"""A column that grows: nothing that was handed out changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_core.web.column import Column


@given(st.lists(st.lists(st.integers(-(2**40), 2**40), max_size=700), max_size=12))
def test_it_holds_what_was_appended_and_earlier_views_stay(pieces: list[list[int]]) -> None:
    column = Column(np.int64)
    seen: list[tuple[np.ndarray, list[int]]] = []
    whole: list[int] = []
    for piece in pieces:
        column.append(np.array(piece, dtype=np.int64))
        whole += piece
        seen.append((column.values, list(whole)))
    for view, expected in seen:
        assert view.tolist() == expected
    assert column.size_bytes <= 8 * max(1_024, 1.25 * len(whole))


def test_a_view_cannot_be_written_to() -> None:
    column = Column()
    column.append(np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="read-only"):
        column.values[0] = 3.0
