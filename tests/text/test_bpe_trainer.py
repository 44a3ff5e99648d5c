"""Merges against a trainer that counts everything anew each time, and against a published reference, in order."""

from __future__ import annotations

import json
import os
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_core.text.bpe_lesson import LESSON_CHARACTERS, cut_after, learn
from llm_core.text.bpe_trainer import Merge, count_words, cut_by_merges, learn_merges, words_of
from llm_core.text.subword import byte_signs

DATA = Path(os.environ.get("GLASSBOX_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


def counted_anew(words: dict[bytes, int], most: int) -> list[Merge]:
    pieces = {word: [bytes([byte]) for byte in word] for word in words}
    merges: list[Merge] = []
    while len(merges) < most:
        counts: Counter[tuple[bytes, bytes]] = Counter()
        for word, parts in pieces.items():
            for pair in pairwise(parts):
                counts[pair] += words[word]
        if not counts:
            break
        left, right = max(counts, key=lambda pair: (counts[pair], pair))
        merges.append(Merge(left, right, counts[left, right]))
        for word, parts in pieces.items():
            at = 0
            while at + 1 < len(parts):
                if (parts[at], parts[at + 1]) == (left, right):
                    parts[at : at + 2] = [left + right]
                at += 1
            pieces[word] = parts
    return merges


@given(st.dictionaries(st.text("ab c", min_size=1, max_size=9).map(str.encode), st.integers(1, 4), max_size=6))
def test_counts_kept_up_to_date_equal_counts_made_anew(words: dict[bytes, int]) -> None:
    assert list(learn_merges(words, 12)) == counted_anew(words, 12)


def test_words_keep_their_leading_space_and_every_byte() -> None:
    words = count_words(["the cat, the 猫\n"])
    assert words[b" the"] == 1 and words[b"the"] == 1 and words[b","] == 1
    assert b"".join(sorted(words.elements())) == b"".join(
        sorted([b"the", b" cat", b",", b" the", " 猫".encode(), b"\n"])
    )


@pytest.mark.skipif(not (DATA / "bpe-train-oracle").is_dir(), reason=f"needs {DATA}/bpe-train-oracle")
def test_the_reference_is_reproduced_in_order() -> None:
    folder = DATA / "bpe-train-oracle"
    text = (folder / "corpus.en").read_text(encoding="utf-8")
    shown = byte_signs()
    merges = list(learn_merges(count_words([text]), 500 - 256 - 1))
    spelled = [
        " ".join("".join(shown[byte] for byte in part) for part in (merge.left, merge.right)) for merge in merges
    ]
    assert spelled == (folder / "train-bpe-reference-merges.txt").read_text(encoding="utf-8").splitlines()
    vocabulary = set(json.loads((folder / "train-bpe-reference-vocab.json").read_text(encoding="utf-8")))
    assert {"".join(shown[byte] for byte in merge.joined) for merge in merges} <= vocabulary


@given(st.text(st.sampled_from("ab cé你\n"), max_size=60))
def test_a_text_cut_by_learned_merges_is_the_text(text: str) -> None:
    merges = learn("abab abba ab 你你 cab\n" * 3, 12).merges
    for count in (0, 3, len(merges)):
        pieces = cut_after(text, merges[:count])
        assert b"".join(piece.data for piece in pieces).decode() == text
        assert all(piece.token_id is not None and piece.token_id < 256 + count for piece in pieces)


def test_what_is_cut_is_what_was_joined_while_learning() -> None:
    text = "the cat and the hat that the cat ate"
    merges = list(learn_merges(count_words([text]), 12))
    whole = [
        part
        for word in words_of(text)
        for part in cut_by_merges(word, {(m.left, m.right): n for n, m in enumerate(merges)})
    ]
    again = list(learn_merges(count_words([text]), 13))[12]
    assert sum((left, right) == (again.left, again.right) for left, right in pairwise(whole)) == again.count


def test_a_lesson_reads_the_beginning_alone() -> None:
    lesson = learn("ab " * LESSON_CHARACTERS, 5)
    assert lesson.characters == LESSON_CHARACTERS
    assert [merge.joined for merge in lesson.merges][:2] == [b"ab", b" ab"]
    assert learn("a b c", 5).merges == (Merge(b" ", b"c", 1), Merge(b" ", b"b", 1))
