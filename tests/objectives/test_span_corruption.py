"""Span corruption: what is cut out, what stays, and that both together are the text."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from llm_core.config.errors import UserError
from llm_core.config.span_corruption import SpanCorruptionConfig
from llm_core.objectives.span_corruption import (
    SpanVocabulary,
    choose_spans,
    corrupt,
    span_lengths,
)

END, ORDINARY, MARKS = 1, 40, 60
VOCABULARY = SpanVocabulary(size=ORDINARY + MARKS, end_token=END)
configs = st.builds(
    SpanCorruptionConfig,
    density=st.sampled_from([0.01, 0.15, 0.5, 0.9]),
    mean_span=st.sampled_from([1.0, 2.5, 3.0, 20.0]),
    num_sentinels=st.just(MARKS),
)


@st.composite
def texts(draw: st.DrawFn) -> NDArray[np.int64]:
    """Rows of any token that is no sentinel, end tokens among them."""
    shape = draw(st.integers(1, 5)), draw(st.integers(2, 100))
    return np.random.default_rng(draw(st.integers(0, 2**32))).integers(0, ORDINARY, size=shape)


def filled(source: list[int], target: list[int]) -> list[int]:
    """The text again: every mark of the source replaced by what follows it in the target."""
    answers: dict[int, list[int]] = {}
    for token in target[:-1]:
        if token >= ORDINARY:
            answers[token] = answer = []
        else:
            answer.append(token)
    return [word for token in source[:-1] for word in answers.get(token, [token])]


@given(texts(), configs, st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_filling_the_gaps_gives_the_text(rows: NDArray[np.int64], config: SpanCorruptionConfig, seed: int) -> None:
    before = rows.copy()
    batch = corrupt(rows, config, VOCABULARY, np.random.default_rng(seed))
    assert (rows == before).all()
    lengths = span_lengths(rows.shape[1], config)
    assert batch.source_BS.shape == (len(rows), lengths.source)
    assert batch.targets_BT.shape == (len(rows), lengths.target)
    sentinels = VOCABULARY.size - 1 - np.arange(lengths.spans)
    for row, source, target in zip(rows, batch.source_BS, batch.targets_BT, strict=True):
        assert filled(source.tolist(), target.tolist()) == row.tolist()
        assert source[-1] == target[-1] == END
        for tokens in (source, target):
            assert (tokens[tokens >= ORDINARY] == sentinels).all(), "each once, the highest first"
        assert target[0] == sentinels[0] and source[0] < ORDINARY, "a row starts in sight"
        assert (source >= ORDINARY)[:-1].sum() == lengths.spans and source[-2] == sentinels[-1], "and ends hidden"
        assert (target < ORDINARY).sum() - 1 == lengths.hidden
        # No gap is empty, and none touches the next.
        assert (np.diff(np.flatnonzero(target >= ORDINARY)) > 1).all()
        assert (np.diff(np.flatnonzero(source >= ORDINARY)) > 1).all()


@given(texts(), configs, st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
def test_the_generator_alone_decides(rows: NDArray[np.int64], config: SpanCorruptionConfig, seed: int) -> None:
    generator = np.random.default_rng(seed)
    first = corrupt(rows, config, VOCABULARY, generator)
    state = generator.bit_generator.state
    second = corrupt(rows, config, VOCABULARY, generator)
    again = np.random.default_rng(seed)
    for batch in (first, second):
        repeated = corrupt(rows, config, VOCABULARY, again)
        assert (batch.source_BS == repeated.source_BS).all() and (batch.targets_BT == repeated.targets_BT).all()
    generator.bit_generator.state = state
    assert (corrupt(rows, config, VOCABULARY, generator).source_BS == second.source_BS).all()


def test_the_lengths_are_those_of_t5() -> None:
    assert span_lengths(568, SpanCorruptionConfig()) == (568, 85, 28, 512, 114)


def test_every_way_to_cut_is_equally_likely() -> None:
    """Nine tokens, four hidden in two gaps: 4 ways to part five in sight, 3 to part four hidden."""
    lengths = span_lengths(9, SpanCorruptionConfig(density=0.45, mean_span=2.0))
    assert (lengths.hidden, lengths.spans) == (4, 2)
    cut = choose_spans(12_000, lengths, np.random.default_rng(0))
    counts = Counter(map(tuple, cut.tolist()))
    assert len(counts) == 12
    # 1,000 expected each, standard deviation 30.
    assert all(850 < count < 1_150 for count in counts.values())


def test_the_share_and_the_mean_gap_are_those_asked_for() -> None:
    cut = choose_spans(200, span_lengths(512, SpanCorruptionConfig()), np.random.default_rng(1))
    assert cut.mean() == pytest.approx(0.15, abs=0.001)
    starts = (cut & ~np.pad(cut, ((0, 0), (1, 0)))[:, :-1]).sum()
    assert cut.sum() / starts == pytest.approx(3.0, abs=0.1)
    # Rows differ, and no place is favoured but for the ends of a row.
    assert len({row.tobytes() for row in cut}) == 200
    assert np.ptp(cut.reshape(200, 16, 32).mean(axis=(0, 2))[1:-1]) < 0.05


def test_what_cannot_be_is_refused() -> None:
    config, generator = SpanCorruptionConfig(num_sentinels=MARKS), np.random.default_rng(0)
    with pytest.raises(UserError, match="too short to hide"):
        corrupt(np.zeros((1, 1), dtype=np.int64), config, VOCABULARY, generator)
    with pytest.raises(UserError, match="more gaps than there are marks"):
        corrupt(np.zeros((1, 2_000), dtype=np.int64), config, VOCABULARY, generator)
    with pytest.raises(UserError, match="tokens that mark gaps"):
        corrupt(np.full((1, 20), ORDINARY), config, VOCABULARY, generator)
    # The very last mark may be used.
    one = SpanCorruptionConfig(num_sentinels=1, mean_span=1000.0)
    assert span_lengths(568, one).spans == 1
