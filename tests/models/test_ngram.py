"""Kneser-Ney against a slow and plain implementation of the formulas, sums over the vocabulary, and published figures."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_core.config.errors import UserError
from llm_core.models.ngram import FALLBACK_DISCOUNTS, discounts_of, fit_ngrams

DATA = Path(os.environ.get("GLASSBOX_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
START = "<s>"


class PlainKneserNey:
    """The formulas as they are written, one n-gram at a time."""

    def __init__(self, documents: list[list[int]], order: int, vocabulary_size: int) -> None:
        self.order, self.vocabulary_size = order, vocabulary_size
        raw: dict[int, Counter[tuple[object, ...]]] = {n: Counter() for n in range(1, order + 1)}
        for document in documents:
            marked: list[object] = [START, *document]
            for n in range(1, order + 1):
                for end in range(n, len(marked) + 1):
                    gram = tuple(marked[end - n : end])
                    if gram != (START,):
                        raw[n][gram] += 1
        self.counts: dict[int, dict[tuple[object, ...], int]] = {order: dict(raw[order])}
        for n in range(1, order):
            left: dict[tuple[object, ...], set[object]] = defaultdict(set)
            for gram in raw[n + 1]:
                left[gram[1:]].add(gram[0])
            self.counts[n] = {gram: raw[n][gram] if gram[0] == START else len(left[gram]) for gram in raw[n]}
        self.discounts = {n: self._discounts(list(self.counts[n].values())) for n in self.counts}

    @staticmethod
    def _discounts(counts: list[int]) -> tuple[float, ...]:
        t = [sum(count == k for count in counts) for k in range(5)]
        if 0 in t[1:4]:
            return FALLBACK_DISCOUNTS
        y = t[1] / (t[1] + 2 * t[2])
        found = tuple(k - (k + 1) * y * t[k + 1] / t[k] for k in (1, 2, 3))
        return found if all(0 <= d <= k for k, d in enumerate(found, 1)) else FALLBACK_DISCOUNTS

    def probability(self, context: tuple[object, ...], token: int) -> float:
        context = context[max(0, len(context) - self.order + 1) :]
        if not context:
            return self._interpolate(1, (), token, 1 / self.vocabulary_size)
        return self._interpolate(len(context) + 1, context, token, self.probability(context[1:], token))

    def _interpolate(self, n: int, context: tuple[object, ...], token: int, lower: float) -> float:
        following = {gram: count for gram, count in self.counts[n].items() if gram[:-1] == context}
        total = sum(following.values())
        if not total:
            return lower
        taken = {gram: self.discounts[n][min(count, 3) - 1] for gram, count in following.items()}
        gram = (*context, token)
        own = (following[gram] - taken[gram]) / total if gram in following else 0.0
        return own + sum(taken.values()) / total * lower


def documents_of(tokens: list[int], end: int) -> list[list[int]]:
    documents: list[list[int]] = [[]]
    for place, token in enumerate(tokens):
        documents[-1].append(token)
        if token == end and place + 1 < len(tokens):
            documents.append([])
    return documents


def zipf_text(seed: int, length: int, vocabulary_size: int) -> list[int]:
    """Random, but with many counts of 1, 2 and 3, as texts have them."""
    return (np.random.default_rng(seed).zipf(1.6, length) % vocabulary_size).tolist()


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("end", [None, 0])
def test_equals_the_plain_formulas(order: int, end: int | None) -> None:
    size = 12
    text, other = zipf_text(0, 600, size), zipf_text(1, 80, size + 3)
    other = [token % size for token in other]
    documents = [text] if end is None else documents_of(text, end)
    plain = PlainKneserNey(documents, order, size)
    model = fit_ngrams(np.array(text), order, size, end)
    expected: list[float] = []
    for document in [other] if end is None else documents_of(other, end):
        for place, token in enumerate(document):
            expected.append(plain.probability((START, *document[:place]), token))
    np.testing.assert_allclose(model.target_probabilities(np.array(other)), expected[1:], rtol=0, atol=1e-10)
    for table, n in zip(model.orders, range(1, order + 1), strict=True):
        assert table.discounts == pytest.approx(plain.discounts[n], abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(
    text=st.lists(st.integers(0, 6), min_size=1, max_size=120),
    order=st.integers(1, 8),
    context=st.lists(st.integers(0, 6), max_size=12),
    ends=st.booleans(),
)
def test_probabilities_sum_to_one_and_agree_with_the_whole_text(
    text: list[int], order: int, context: list[int], ends: bool
) -> None:
    model = fit_ngrams(np.array(text), order, 9, 0 if ends else None)
    distribution = model.next_token_probabilities(context)
    assert distribution.sum() == pytest.approx(1.0, abs=1e-12)
    assert (distribution > 0).all()
    if context:
        for token in (0, 3, 8):
            whole = model.target_probabilities(np.array([*context, token]))
            assert whole[-1] == pytest.approx(distribution[token], rel=1e-12)


def test_order_one_adds_nothing_to_what_was_seen() -> None:
    model = fit_ngrams(np.array(zipf_text(3, 4000, 30)), 1, 30)
    counts = np.bincount(zipf_text(3, 4000, 30), minlength=30)
    got = model.next_token_probabilities([])
    assert np.argsort(got, kind="stable").tolist() == np.argsort(counts, kind="stable").tolist()
    assert np.abs(got - counts / 4000).max() < 0.01


def test_a_text_without_counts_of_two_takes_the_fallback_and_says_so() -> None:
    assert discounts_of(np.array([1, 1, 3, 7])) == (FALLBACK_DISCOUNTS, True)
    assert fit_ngrams(np.arange(5), 2, 5).orders[1].used_fallback


@pytest.mark.parametrize(("order", "tokens"), [(0, [1]), (9, [1]), (2, [])])
def test_what_cannot_be_counted_is_refused(order: int, tokens: list[int]) -> None:
    with pytest.raises(UserError):
        fit_ngrams(np.array(tokens, dtype=np.int64), order, 5)


@pytest.mark.skipif(not (DATA / "tinyshakespeare").is_dir(), reason=f"needs {DATA}/tinyshakespeare")
def test_tinyshakespeare_letters_reach_the_known_levels() -> None:
    text = (DATA / "tinyshakespeare" / "input.txt").read_text()
    letters = {letter: number for number, letter in enumerate(sorted(set(text)))}
    tokens = np.array([letters[letter] for letter in text])
    train, validation = tokens[: int(0.9 * len(tokens))], tokens[int(0.9 * len(tokens)) :]
    for order, nats in ((3, 2.038), (5, 1.561), (7, 1.517)):
        model = fit_ngrams(train, order, len(letters))
        assert -np.log(model.target_probabilities(validation)).mean() == pytest.approx(nats, abs=0.005)


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "wikitext-2").is_dir(), reason=f"needs {DATA}/wikitext-2")
def test_wikitext_words_reach_the_known_perplexities() -> None:
    folder = DATA / "wikitext-2"

    def words(name: str) -> list[str]:
        lines = next(folder.glob(f"*{name}*")).read_text(encoding="utf-8").splitlines()
        return [word for line in lines for word in (*line.split(), "\n")]

    train, test = words("train"), words("test")
    numbers = {word: number for number, word in enumerate(dict.fromkeys(train))}
    # KenLM's own unknown word has a place in the vocabulary; the text's literal <unk> is an ordinary word.
    size, end = len(numbers) + 1, numbers["\n"]
    train_ids = np.array([numbers[word] for word in train])
    test_ids = np.array([end, *(numbers.get(word, size - 1) for word in test)])
    seen = [
        float(np.exp(-np.log(fit_ngrams(train_ids, order, size, end).target_probabilities(test_ids)).mean()))
        for order in (2, 3, 4, 5)
    ]
    assert seen == sorted(seen, reverse=True)
    assert seen == pytest.approx([263.96, 226.05, 221.34, 220.14], rel=0.01)
