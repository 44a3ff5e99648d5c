"""Words of a text and of a sample, worked out by hand."""

from __future__ import annotations

from llm_core.text.known_words import known_share, words_in


def test_the_share_of_known_words_leaves_out_signs_and_a_last_word_that_was_cut() -> None:
    assert words_in("Don't SAY 42 \u201cÜber\u201d!\n") == ["don't", "say", "über"]
    known = frozenset(("the", "cat"))
    assert known_share("The cat, the dgo.", known) == 0.75
    assert known_share("the cat the do", known) == 1.0
    assert known_share("42 …", known) is None and known_share("th", known) is None
