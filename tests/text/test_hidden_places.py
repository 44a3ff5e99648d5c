"""Texts with places to fill: every tokenizer's stretches give the text back, and what is hidden stays where it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_core.config.errors import UserError
from llm_core.text.hidden_places import (
    GAP,
    MASK,
    CutToken,
    cut_with_places,
    fill_place,
    hide,
    hide_here_and_there,
    text_of,
)
from llm_core.text.subword_training import train_bpe, train_unigram, train_wordpiece
from llm_core.text.tokenizer_interface import TextTokenizer
from llm_core.text.tokenizers import ByteTokenizer, CharacterTokenizer
from llm_core.text.words import train_words

TEXT = "The quick brown fox jumps over the lazy dog, and isn't it so? Ünï cödé 你 here.\nNew line. "
LETTERS = "".join(sorted(set(TEXT)))
TOKENIZERS: dict[str, TextTokenizer] = {
    "char": CharacterTokenizer(LETTERS),
    "byte": ByteTokenizer(),
    "bpe": train_bpe([TEXT * 5], 330),
    "wordpiece": train_wordpiece([TEXT * 5], 200, LETTERS),
    "unigram": train_unigram([TEXT * 5], 360),
    "word": train_words([TEXT * 5]),
}
every_tokenizer = pytest.mark.parametrize("kind", TOKENIZERS)


@every_tokenizer
@given(stretches=st.lists(st.text(alphabet=LETTERS, max_size=20), min_size=1, max_size=4))
def test_the_stretches_are_the_text(kind: str, stretches: list[str]) -> None:
    text = MASK.join(stretches)
    cut = cut_with_places(text, TOKENIZERS[kind], MASK)
    assert text_of(cut) == text or (not cut and not text.strip())
    assert [token.token_id for token in cut].count(None) == len(stretches) - 1


@pytest.mark.parametrize("kind", ["char", "word", "wordpiece", "bpe"])
def test_a_hidden_token_is_the_only_one_that_changes(kind: str) -> None:
    tokenizer = TOKENIZERS[kind]
    cut = cut_with_places(TEXT, tokenizer, MASK)
    assert [token.token_id for token in cut] == tokenizer.encode(TEXT)
    hidden = 0
    for index, token in enumerate(cut[:-1]):
        is_word = token.text[0] == " " and token.text[1:] and cut[index + 1].text[0] in " \n"
        if is_word or (kind in ("char", "word") and token.text.strip()):
            again = cut_with_places(text_of(hide(cut, index, MASK)), tokenizer, MASK)
            kept = [None if place == index else token.token_id for place, token in enumerate(cut)]
            assert [token.token_id for token in again] == kept
            assert text_of([*cut[:index], CutToken(0, fill_place(again[index], MASK, token.text))]) in TEXT
            hidden += 1
    assert hidden > 4


@every_tokenizer
def test_words_or_letters_are_hidden_here_and_there(kind: str) -> None:
    tokenizer = TOKENIZERS[kind]
    masked = hide_here_and_there(TEXT, tokenizer, MASK, every=6)
    assert 1 <= masked.count(MASK) <= len(tokenizer.encode(TEXT)) / 6 + 1
    gaps = hide_here_and_there(TEXT, tokenizer, GAP, every=8, count=2)
    assert gaps.count(GAP) >= 1 and MASK not in gaps
    if kind == "word":
        assert masked.startswith("The quick brown [MASK] jumps")
    if kind == "char":
        assert masked.startswith("The [MASK]uick")


def test_what_is_unknown_is_said() -> None:
    with pytest.raises(UserError, match="does not know"):
        cut_with_places("the [MASK] ∞", TOKENIZERS["char"], MASK)
