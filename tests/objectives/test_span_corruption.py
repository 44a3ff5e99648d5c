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
    fill,
    span_lengths,
    span_lengths_for_source,
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
        assert fill(source, target, config, VOCABULARY) == row.tolist()
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
    config = SpanCorruptionConfig()
    assert span_lengths_for_source(512, config) == (568, 85, 28, 512, 114)
    assert span_lengths(568, config) == span_lengths_for_source(512, config)


@given(st.integers(3, 600), configs)
@settings(max_examples=100, deadline=None)
def test_the_longest_text_that_fits_is_found(source_length: int, config: SpanCorruptionConfig) -> None:
    config = config.model_copy(update={"num_sentinels": 100_000})
    lengths = span_lengths_for_source(source_length, config)
    assert lengths.source <= source_length
    for more in range(1, 30):
        assert span_lengths(lengths.text + more, config).source > source_length
    assert lengths.hidden == min(max(1, round(config.density * lengths.text)), lengths.text - 1)


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


def test_what_a_model_writes_may_be_wrong() -> None:
    config, mark = SpanCorruptionConfig(num_sentinels=MARKS), VOCABULARY.size - 1
    source = [5, mark, 6, mark - 1, 7, END]
    assert fill(source, [mark, 20, 21, mark - 1, 22, END], config, VOCABULARY) == [5, 20, 21, 6, 22, 7]
    assert fill(source, [30, mark, 20, mark, 21], config, VOCABULARY) == [5, 20, 6, mark - 1, 7]
    assert fill(source, [], config, VOCABULARY) == source[:-1]
    assert fill(source, [mark, mark - 1, mark - 2, 9], config, VOCABULARY) == [5, 6, 7]


def test_what_cannot_be_is_refused() -> None:
    config, generator = SpanCorruptionConfig(num_sentinels=MARKS), np.random.default_rng(0)
    with pytest.raises(UserError, match="too short to hide"):
        corrupt(np.zeros((1, 1), dtype=np.int64), config, VOCABULARY, generator)
    with pytest.raises(UserError, match="more gaps than there are marks"):
        corrupt(np.zeros((1, 2_000), dtype=np.int64), config, VOCABULARY, generator)
    with pytest.raises(UserError, match="tokens that mark gaps"):
        corrupt(np.full((1, 20), ORDINARY), config, VOCABULARY, generator)
    with pytest.raises(UserError, match="so short a source"):
        span_lengths_for_source(2, config)
    # The very last mark may be used.
    one = SpanCorruptionConfig(num_sentinels=1, mean_span=1000.0)
    assert span_lengths_for_source(512, one).spans == 1
