"""Pairs in tokens: found where they are, each once an epoch, cut to the context and counted, resumed exactly."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_core.config.errors import UserError
from llm_core.objectives.sequence_to_sequence import pad_pairs
from llm_core.text import pair_batches
from llm_core.text.batches import RandomWindows, TokenVector
from llm_core.text.pair_batches import PairBatches, TokenPairs

END = 9
_tokens = st.lists(st.integers(0, END - 1), max_size=12)
_pairs = st.lists(st.tuples(_tokens, _tokens), min_size=1, max_size=20)


def stream(pairs: list[tuple[list[int], list[int]]]) -> TokenVector:
    return np.array([token for source, target in pairs for token in (*source, END, *target, END)], dtype=np.uint16)


def numbered(count: int) -> TokenVector:
    """Pairs that can be told apart: pair i is i + 10 and twice i + 10."""
    return stream([([index + 10], [index + 10] * 2) for index in range(count)])


def sources(batch: list[pair_batches.Pair]) -> list[int]:
    return [pair.source[0] for pair in batch]


@settings(max_examples=200, deadline=None)
@given(_pairs, st.integers(2, 16))
def test_pairs_come_back_in_their_order_cut_to_the_context(
    pairs: list[tuple[list[int], list[int]]], context: int
) -> None:
    found = TokenPairs(stream(pairs), END, context)
    room = context - 1
    assert [tuple(pair) for pair in found] == [(source[:room], target[:room]) for source, target in pairs]
    assert len(found) == len(pairs)
    assert found.num_cut == sum(max(map(len, pair)) > room for pair in pairs)
    assert found.num_targets == sum(len(target[:room]) + 1 for _, target in pairs)
    batch = pad_pairs(
        list(found), start_token=0, end_token=END, source_length=context, target_length=context
    )  # whatever the text, a pair with its ends fits the context
    assert batch.num_targets == found.num_targets


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 2**63 - 1))
def test_every_pair_comes_once_an_epoch(count: int, batch_size: int, seed: int) -> None:
    batches = PairBatches(numbered(count), END, batch_size, 8, seed)
    drawn: list[int] = []
    while len(drawn) < 3 * count:
        batch = batches.next()
        assert numbered(count)[batches.starts_B].tolist() == sources(batch), "where each pair begins in the split"
        assert len(batch) == batch_size
        drawn += sources(batch)
        assert batches.tokens_seen == 3 * len(drawn)
        assert batches.epoch == len(drawn) / count
    for epoch in range(3):
        assert sorted(drawn[epoch * count : (epoch + 1) * count]) == list(range(10, count + 10))


def test_orders_differ_between_epochs_and_seeds_but_not_between_runs() -> None:
    first, same, other = (PairBatches(numbered(50), END, 50, 8, seed) for seed in (7, 7, 8))
    order = sources(first.next())
    assert order == sources(same.next())
    assert order != sources(other.next())
    assert order != sources(first.next())


def test_every_place_of_the_order_is_equally_likely() -> None:
    firsts = [sources(PairBatches(numbered(6), END, 1, 8, seed).next())[0] - 10 for seed in range(1_200)]
    counts = np.bincount(firsts, minlength=6)
    assert ((counts - 200) ** 2 / 200).sum() < 20.5  # chi-squared, 5 degrees of freedom, one in a thousand


@pytest.mark.parametrize("steps_before", [0, 1, 3, 4, 17])
def test_a_position_stored_as_json_resumes_exactly(steps_before: int) -> None:
    original = PairBatches(numbered(10), END, 3, 8, seed=5)
    for _ in range(steps_before):
        original.next()
    resumed = PairBatches(numbered(10), END, 3, 8, seed=99)
    resumed.next()
    resumed.load_state_dict(json.loads(json.dumps(original.state_dict())))
    assert (resumed.tokens_seen, resumed.epoch) == (original.tokens_seen, original.epoch)
    assert resumed.state_dict() == original.state_dict()
    for _ in range(25):
        assert resumed.next() == original.next()
    assert resumed.tokens_seen == original.tokens_seen


def test_a_position_of_another_reader_or_text_is_refused() -> None:
    batches = PairBatches(numbered(10), END, 2, 8, seed=0)
    with pytest.raises(UserError, match="another kind"):
        batches.load_state_dict(RandomWindows(numbered(10), 2, 8, 0).state_dict())
    with pytest.raises(UserError, match=r"another text.*10 pairs.*11 pairs"):
        batches.load_state_dict(PairBatches(numbered(11), END, 2, 8, seed=0).state_dict())


def test_pairs_are_found_through_a_memory_map_across_stretches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_batches, "_TOKENS_AT_ONCE", 7)
    pairs = [([1, 2, 3][: index % 4], [4] * (index % 9)) for index in range(60)]
    stream(pairs).tofile(tmp_path / "train.bin")
    tokens = np.memmap(tmp_path / "train.bin", dtype=np.uint16, mode="r")
    assert [tuple(pair) for pair in TokenPairs(tokens, END, 16)] == pairs


@pytest.mark.parametrize("tokens", [[], [1, 2], [1, END], [1, END, 2, END, 3], [END, END, END]])
def test_what_is_no_text_of_pairs_is_refused(tokens: list[int]) -> None:
    with pytest.raises(UserError, match=r"no pairs of source and target.*answer column"):
        TokenPairs(np.array(tokens, dtype=np.uint16), END, 8)


def test_a_tokenizer_without_end_or_a_context_without_room_is_refused() -> None:
    with pytest.raises(UserError, match="no pairs"):
        TokenPairs(numbered(3), None, 8)
    with pytest.raises(UserError, match="context is too short"):
        TokenPairs(numbered(3), END, 1)


def test_a_pair_of_any_number_can_be_asked_for() -> None:
    pairs = TokenPairs(numbered(4), END, 8)
    assert pairs[3] == ([13], [13, 13])
    for index in (-1, 4):
        with pytest.raises(IndexError):
            pairs[index]
