"""Batches: shifted by one, drawn evenly, read on where they ended, and resumed exactly."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_core.config.errors import UserError
from llm_core.text.batches import RandomWindows, RecurrentStreams

TOKENS = np.arange(1_000, dtype=np.uint16)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 8), st.integers(1, 50), st.integers(0, 2**63 - 1), st.integers(51, 300))
def test_targets_are_the_inputs_moved_on_by_one(batch_size: int, context: int, seed: int, length: int) -> None:
    tokens = np.arange(length, dtype=np.uint32)
    random, streams = RandomWindows(tokens, batch_size, context, seed), RecurrentStreams(tokens, batch_size, context)
    for step in range(1, 8):
        for inputs_BT, targets_BT in (random.next(), streams.next()[:2]):
            assert inputs_BT.shape == targets_BT.shape == (batch_size, context)
            assert inputs_BT.dtype == targets_BT.dtype == np.int64
            assert (targets_BT == inputs_BT + 1).all()
        assert random.tokens_seen == streams.tokens_seen == step * batch_size * context
        assert random.epoch == streams.epoch == random.tokens_seen / length


def test_random_windows_reach_every_start_and_every_target() -> None:
    batches = RandomWindows(np.arange(12, dtype=np.uint16), 64, 4, seed=0)
    starts = np.concatenate([batches.next()[0][:, 0] for _ in range(40)])
    counts = np.bincount(starts, minlength=8)
    assert len(counts) == 8  # starts 0 to 7; the last target is token 11
    expected = len(starts) / 8
    assert ((counts - expected) ** 2 / expected).sum() < 24.3  # chi-squared, 7 degrees of freedom, one in a thousand


def test_the_same_seed_gives_the_same_batches_and_another_seed_others() -> None:
    first, same, other = (RandomWindows(TOKENS, 4, 16, seed) for seed in (7, 7, 8))
    drawn = first.next()[0]
    assert (drawn == same.next()[0]).all()
    assert not (drawn == other.next()[0]).all()


@pytest.mark.parametrize("steps_before", [0, 1, 17])
def test_both_readers_resume_exactly_from_json(steps_before: int) -> None:
    makers = (lambda: RandomWindows(TOKENS, 5, 30, seed=3), lambda: RecurrentStreams(TOKENS, 5, 30))
    for make in makers:
        original = make()
        for _ in range(steps_before):
            original.next()
        resumed = make()
        resumed.next()
        resumed.load_state_dict(json.loads(json.dumps(original.state_dict())))
        assert resumed.tokens_seen == original.tokens_seen
        for _ in range(60):
            for expected, found in zip(original.next(), resumed.next(), strict=True):
                assert (expected == found).all()


def test_streams_follow_on_and_forget_only_where_the_text_begins_again() -> None:
    streams = RecurrentStreams(TOKENS, 4, 30)
    inputs_BT, targets_BT, restart_B = streams.next()
    assert restart_B.all()
    assert inputs_BT[:, 0].tolist() == [0, 250, 500, 750]
    restarted = set[int]()
    for _ in range(100):
        last_B = targets_BT[:, -1]
        inputs_BT, targets_BT, restart_B = streams.next()
        assert (inputs_BT[~restart_B, 0] == last_B[~restart_B]).all()
        assert (inputs_BT[restart_B, 0] == 0).all()
        restarted.update(np.flatnonzero(restart_B).tolist())
    assert restarted == {0, 1, 2, 3}


def test_streams_read_every_token_but_the_last_few() -> None:
    streams = RecurrentStreams(TOKENS, 4, 30)
    seen = np.concatenate([streams.next()[1].ravel() for _ in range(80)])
    assert set(seen.tolist()) >= set(range(1, 1_000 - 30))


def test_more_rows_than_windows_still_works() -> None:
    streams = RecurrentStreams(np.arange(10, dtype=np.uint16), 16, 9)
    for _ in range(3):
        inputs_BT, _, restart_B = streams.next()
        assert (inputs_BT[:, 0] == 0).all()
        assert restart_B.all()


def test_a_split_shorter_than_a_window_is_refused() -> None:
    for make in (lambda: RandomWindows(TOKENS[:64], 1, 64, 0), lambda: RecurrentStreams(TOKENS[:64], 1, 64)):
        with pytest.raises(UserError, match=r"64 tokens.*more than 64"):
            make()
    assert RandomWindows(TOKENS[:65], 1, 64, 0).next()[1][0, -1] == 64


def test_a_position_of_another_reader_or_batch_size_is_refused() -> None:
    random, streams = RandomWindows(TOKENS, 2, 8, 0), RecurrentStreams(TOKENS, 2, 8)
    with pytest.raises(UserError, match="another kind"):
        random.load_state_dict(streams.state_dict())
    with pytest.raises(UserError, match="another batch size"):
        RecurrentStreams(TOKENS, 3, 8).load_state_dict(streams.state_dict())
