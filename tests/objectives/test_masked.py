"""The masked objective: what is hidden, how often, and a loss that adds up."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from llm_core.config.encoder import EncoderConfig, encoder_presets
from llm_core.config.errors import UserError
from llm_core.config.masking import MaskingConfig
from llm_core.models.encoder import Encoder
from llm_core.objectives.interface import NO_TARGET
from llm_core.objectives.masked import (
    MaskedBatch,
    MaskedStep,
    MaskingVocabulary,
    _take_in_order,
    hide,
    places_per_row,
)

V, MASK, PAD = 40, 0, 1
VOCABULARY = MaskingVocabulary(mask_token=MASK, ordinary_N=np.arange(4, V))
rates = st.sampled_from([0.01, 0.15, 0.3, 0.5, 0.9])


@st.composite
def rows(draw: st.DrawFn) -> NDArray[np.int64]:
    """Rows of text with special tokens (ids 0 to 3) strewn in; some rows may be nothing else."""
    shape = draw(st.integers(1, 4)), draw(st.integers(1, 40))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    tokens = generator.integers(4, V, size=shape)
    special = generator.random(shape) < draw(st.sampled_from([0.0, 0.1, 0.7, 1.0]))
    return np.where(special, generator.integers(0, 4, size=shape), tokens)


def chosen_of(tokens: NDArray[np.int64], batch: MaskedBatch) -> NDArray[np.bool_]:
    """Where targets stand, checking on the way that the batch is consistent with the text."""
    chosen = np.zeros(tokens.shape, dtype=bool)
    for row, (positions, targets) in enumerate(zip(batch.positions_BM, batch.targets_BM, strict=True)):
        is_target = targets != NO_TARGET
        assert len(set(positions.tolist())) == len(positions)
        assert (np.diff(positions[is_target]) > 0).all() and not is_target[is_target.sum() :].any()
        assert (tokens[row, positions[is_target]] == targets[is_target]).all()
        chosen[row, positions[is_target]] = True
    assert (batch.inputs_BT[~chosen] == tokens[~chosen]).all()
    assert batch.positions_BM.shape == batch.targets_BM.shape
    return chosen


@given(rows(), rates, st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_a_fixed_share_is_hidden_and_never_a_special_token(tokens: NDArray[np.int64], rate: float, seed: int) -> None:
    before = tokens.copy()
    batch = hide(tokens, MaskingConfig(rate=rate), VOCABULARY, np.random.default_rng(seed))
    assert (tokens == before).all()
    chosen = chosen_of(tokens, batch)
    assert batch.positions_BM.shape == (len(tokens), places_per_row(tokens.shape[1], rate))
    assert not (chosen & (tokens < 4)).any()
    assert np.isin(batch.inputs_BT[chosen], [MASK, *range(4, V)]).all()
    ordinary = (tokens >= 4).sum(axis=1)
    expected = np.minimum(np.maximum(1, np.rint(rate * ordinary)), ordinary)
    assert (chosen.sum(axis=1) == expected).all()
    again = hide(tokens, MaskingConfig(rate=rate), VOCABULARY, np.random.default_rng(seed))
    assert all((one == other).all() for one, other in zip(batch, again, strict=True))


@given(rows(), rates, st.sampled_from([0.1, 0.4, 0.9]), st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_whole_words_are_hidden_wholly(tokens: NDArray[np.int64], rate: float, start_rate: float, seed: int) -> None:
    starts = np.random.default_rng(seed + 1).random(tokens.shape) < start_rate
    config = MaskingConfig(rate=rate, whole_words=True)
    batch = hide(tokens, config, VOCABULARY, np.random.default_rng(seed), word_starts_BT=starts)
    chosen = chosen_of(tokens, batch)
    places = places_per_row(tokens.shape[1], rate)
    assert batch.positions_BM.shape == (len(tokens), places)
    for row, words in enumerate(words_of(tokens, starts, places)):
        share = max(1, round(rate * sum(map(len, words))))
        hidden = [word for word in words if chosen[row, word].any()]
        assert all(chosen[row, word].all() for word in hidden)
        assert chosen[row].sum() == sum(map(len, hidden)) <= places
        if not any(len(word) <= share for word in words):
            assert len(hidden) == min(1, len(words))
            continue
        left = share - chosen[row].sum()
        assert hidden and left >= 0
        assert not any(len(word) <= left for word in words if word not in hidden)


def words_of(tokens: NDArray[np.int64], starts: NDArray[np.bool_], longest: int) -> list[list[list[int]]]:
    """The words of each row as lists of positions, found one token at a time."""
    found: list[list[list[int]]] = []
    for row, row_starts in zip(tokens, starts, strict=True):
        words: list[list[int]] = []
        inside = False
        for position, token in enumerate(row):
            if token < 4:
                inside = False
                continue
            if not inside or row_starts[position] or len(words[-1]) == longest:
                words.append([])
            words[-1].append(position)
            inside = True
        found.append(words)
    return found


@given(st.lists(st.integers(0, 6), min_size=1, max_size=30), rates)
@settings(max_examples=200, deadline=None)
def test_taking_words_in_rounds_is_taking_them_one_by_one(sizes: list[int], rate: float) -> None:
    ordinary, room, expected = sum(sizes), max(1, round(rate * sum(sizes))), []
    for size in sizes:
        expected.append(0 < size <= room)
        room -= size if expected[-1] else 0
    if not any(expected) and ordinary:
        expected[next(index for index, size in enumerate(sizes) if size)] = True
    assert _take_in_order(np.array([sizes]), np.array([ordinary]), rate)[0].tolist() == expected


@pytest.mark.parametrize("rate", [0.15, 0.3])
@pytest.mark.parametrize("whole_words", [False, True])
def test_eighty_ten_ten(rate: float, whole_words: bool) -> None:
    """Shares within five standard deviations; random tokens even over the ordinary ones, positions even over the row."""
    generator = np.random.default_rng(7)
    tokens = generator.integers(4, V, size=(400, 256))
    starts = generator.random(tokens.shape) < 0.5
    config = MaskingConfig(rate=rate, whole_words=whole_words)
    batch = hide(tokens, config, VOCABULARY, generator, word_starts_BT=starts)
    chosen = chosen_of(tokens, batch)
    number = int(chosen.sum())
    if whole_words:
        assert 0.98 * rate < chosen.mean() <= places_per_row(256, rate) / 256
    else:
        assert number == 400 * places_per_row(256, rate)
    seen, there = batch.inputs_BT[chosen], tokens[chosen]
    # One random token in 36 is by chance the one that was there.
    by_chance = 0.1 / (V - 4)
    for share, expected in (
        ((seen == MASK).mean(), 0.8),
        ((seen == there).mean(), 0.1 + by_chance),
        (((seen != there) & (seen != MASK)).mean(), 0.1 - by_chance),
    ):
        assert abs(share - expected) < 5 * (expected * (1 - expected) / number) ** 0.5
    random = seen[(seen != there) & (seen != MASK)]
    expected_each = len(random) / (V - 4)
    chi_square = ((np.bincount(random, minlength=V)[4:] - expected_each) ** 2 / expected_each).sum()
    assert chi_square < 80  # 35 degrees of freedom: exceeded once in 40,000 times
    expected_each = number / 256
    assert (np.abs(chosen.sum(axis=0) - expected_each) < 5 * (expected_each * (1 - rate)) ** 0.5 + 1).all()


def test_masks_are_new_each_time_and_go_on_from_a_saved_generator() -> None:
    tokens = np.random.default_rng(0).integers(4, V, size=(4, 64))
    generator = np.random.default_rng(3)
    config = MaskingConfig()
    first = hide(tokens, config, VOCABULARY, generator)
    saved = generator.bit_generator.state
    second = hide(tokens, config, VOCABULARY, generator)
    assert (first.positions_BM != second.positions_BM).any()
    resumed = np.random.default_rng()
    resumed.bit_generator.state = saved
    again = hide(tokens, config, VOCABULARY, resumed)
    assert all((one == other).all() for one, other in zip(second, again, strict=True))


def test_whole_words_without_word_starts_are_refused() -> None:
    with pytest.raises(UserError, match="where words start"):
        hide(np.full((1, 8), 5), MaskingConfig(whole_words=True), VOCABULARY, np.random.default_rng(0))


FORMS = ("bert", "roberta", "modernbert")
forms = pytest.mark.parametrize("form", FORMS)


def step_of(form: str, dtype: torch.dtype = torch.float64, **changes: object) -> MaskedStep:
    torch.manual_seed(0)
    config = EncoderConfig.model_validate(
        {
            **encoder_presets()[f"{form}-small"].model_dump(),
            "num_layers": 2,
            "hidden_size": 32,
            "dropout": 0.0,
            **changes,
        }
    )
    return MaskedStep(Encoder(config, V, 24).to(dtype))


def batch_of(rows: int = 4, length: int = 24) -> tuple[torch.Tensor, ...]:
    """Inputs, positions, targets and padding of rows whose lengths, and so numbers of targets, differ."""
    generator = np.random.default_rng(11)
    tokens = generator.integers(4, V, size=(rows, length))
    padding = np.arange(length)[None] >= np.array([length, length // 2, 5, length])[:rows, None]
    batch = hide(np.where(padding, PAD, tokens), MaskingConfig(rate=0.3), VOCABULARY, generator)
    return *(torch.from_numpy(array) for array in batch), torch.from_numpy(padding)


@forms
def test_two_half_batches_equal_the_whole(form: str) -> None:
    step = step_of(form)
    inputs, positions, targets, padding = batch_of()
    whole = step(inputs, positions, targets, padding_BT=padding)
    (whole.loss_sum / whole.num_targets).backward()
    expected = {name: parameter.grad.clone() for name, parameter in step.named_parameters()}
    step.zero_grad()
    counts, total = [], 0.0
    for half in (slice(0, 2), slice(2, 4)):
        piece = step(inputs[half], positions[half], targets[half], padding_BT=padding[half])
        (piece.loss_sum / whole.num_targets).backward()
        counts.append(piece.num_targets.item())
        total += piece.loss_sum.item()
    assert counts[0] != counts[1] and sum(counts) == whole.num_targets.item() == (targets != NO_TARGET).sum().item()
    assert total == pytest.approx(whole.loss_sum.item(), abs=1e-9)
    for name, parameter in step.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], atol=1e-9, rtol=1e-7)


@forms
def test_the_loss_is_that_of_all_scores_at_the_chosen_places(form: str) -> None:
    step = step_of(form)
    inputs, positions, targets, padding = batch_of()
    everywhere = torch.full_like(inputs, NO_TARGET).scatter(1, positions, targets)
    logits = step.model.logits(step.model(inputs, padding_BT=padding).hidden_BTD)
    expected = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), everywhere.flatten(), ignore_index=NO_TARGET, reduction="sum"
    )
    sizes: list[torch.Size] = []
    step.model.head.register_forward_pre_hook(lambda _module, inputs: sizes.append(inputs[0].shape))
    found = step(inputs, positions, targets, padding_BT=padding)
    torch.testing.assert_close(found.loss_sum, expected, atol=1e-9, rtol=0)
    assert sizes == [(4, places_per_row(24, 0.3), 32)]


@forms
def test_one_batch_with_a_fixed_mask_is_learnt_by_heart(form: str) -> None:
    step = step_of(form, torch.float32, hidden_size=64)
    batch = batch_of()
    optimizer = torch.optim.AdamW(step.parameters(), lr=5e-3, weight_decay=0.0)
    for _ in range(100):
        loss_sum, num_targets, _ = step(*batch[:3], padding_BT=batch[3])
        loss = loss_sum / num_targets
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.01


@forms
def test_the_loss_is_float32_under_bfloat16(form: str) -> None:
    step = step_of(form, torch.float32)
    inputs, positions, targets, padding = batch_of()
    exact = step(inputs, positions, targets, padding_BT=padding).loss_sum
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = step(inputs, positions, targets, padding_BT=padding).loss_sum
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, exact, atol=0.0, rtol=1e-2)


def test_a_compiler_sees_one_whole_graph() -> None:
    step = step_of("modernbert", torch.float32, window=6)
    inputs, positions, targets, padding = batch_of()
    documents = (torch.arange(24)[None] // 5).expand(4, -1)
    torch.compiler.reset()
    compiled = torch.compile(step, backend="aot_eager", fullgraph=True, dynamic=False)
    found = compiled(inputs, positions, targets, documents_BT=documents, padding_BT=padding).loss_sum
    expected = step(inputs, positions, targets, documents_BT=documents, padding_BT=padding).loss_sum
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-5)
    found.backward()
