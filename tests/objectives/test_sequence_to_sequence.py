"""Sequence to sequence: pairs as arrays, and a loss over real targets that adds up and equals T5's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_core.config.encoder_decoder import encoder_decoder_form
from llm_core.config.errors import UserError
from llm_core.config.span_corruption import SpanCorruptionConfig
from llm_core.models.encoder_decoder import EncoderDecoder
from llm_core.objectives.interface import NO_TARGET, StepOutput
from llm_core.objectives.sequence_to_sequence import (
    SequenceBatch,
    SequenceToSequenceStep,
    decoder_inputs,
    pad_pairs,
)
from llm_core.objectives.span_corruption import SpanVocabulary, corrupt, span_lengths
from tests.models.encoder_decoder_references import FORMS, V, forms, ours, t5, t5_gradients

START, END = 0, 1
rows = st.lists(st.integers(2, 9), max_size=6)


@given(st.lists(st.tuples(rows, rows), min_size=1, max_size=5), st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_pairs_stand_in_the_arrays(pairs: list[tuple[list[int], list[int]]], more: int) -> None:
    longest = [max(len(pair[side]) for pair in pairs) + 1 for side in (0, 1)]
    batch = pad_pairs(
        pairs, start_token=START, end_token=END, source_length=longest[0] + more, target_length=longest[1] + more
    )
    assert batch.source_BS.shape == (len(pairs), longest[0] + more)
    assert batch.targets_BT.shape == batch.inputs_BT.shape == (len(pairs), longest[1] + more)
    assert batch.num_targets == sum(len(target) + 1 for _, target in pairs)
    for row, (source, target) in enumerate(pairs):
        padding = batch.source_padding_BS[row]
        assert batch.source_BS[row][~padding].tolist() == [*source, END]
        assert not padding[: len(source) + 1].any() and padding[len(source) + 1 :].all()
        real = batch.targets_BT[row] != NO_TARGET
        assert batch.targets_BT[row][real].tolist() == [*target, END]
        assert batch.inputs_BT[row][real].tolist() == [START, *target], "each target's input is the token before it"
    assert batch.source_BS.min() >= 0 and batch.inputs_BT.min() >= 0, "padding is a token that there is"


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UserError, match="no pairs"):
        pad_pairs([], start_token=START)
    with pytest.raises(UserError, match=r"source is empty.*pair 2"):
        pad_pairs([([2], [3]), ([], [3])], start_token=START)
    with pytest.raises(UserError, match="target is empty"):
        pad_pairs([([2], [])], start_token=START)
    with pytest.raises(UserError, match=r"source is too long.*4 tokens in pair 1.*3 tokens"):
        pad_pairs([([2, 3, 4], [3])], start_token=START, end_token=END, source_length=3)
    with pytest.raises(UserError, match="target is too long"):
        pad_pairs([([2], [3, 4])], start_token=START, target_length=1)


def tensors(batch: SequenceBatch, rows: slice = slice(None)) -> dict[str, torch.Tensor]:
    return {
        name: torch.from_numpy(getattr(batch, name)[rows])
        for name in ("source_BS", "inputs_BT", "targets_BT", "source_padding_BS")
    }


def unequal_pairs() -> list[tuple[list[int], list[int]]]:
    generator = np.random.default_rng(4)
    lengths = [(12, 3), (5, 11), (9, 1), (2, 7)]
    return [tuple(generator.integers(2, V, size).tolist() for size in pair) for pair in lengths]  # pyright: ignore


def loss_of(step: SequenceToSequenceStep, batch: SequenceBatch) -> StepOutput:
    return step(**tensors(batch))


@forms
def test_the_sum_is_over_the_targets_of_each_pair_alone(form: str) -> None:
    model = ours(form)
    step = SequenceToSequenceStep(model)
    pairs = unequal_pairs()
    together = loss_of(step, pad_pairs(pairs, start_token=START, end_token=END))
    total = 0.0
    for source, target in pairs:
        memory = model.encode(torch.tensor([[*source, END]]))
        logits = model.logits(model(torch.tensor([[START, *target]]), memory=memory).hidden_BTD)[0]
        for scores, token in zip(logits.tolist(), [*target, END], strict=True):
            total -= math.log(math.exp(scores[token]) / sum(map(math.exp, scores)))
    assert together.loss_sum.item() == pytest.approx(total, abs=1e-9)
    assert together.num_targets == sum(len(target) + 1 for _, target in pairs)
    wider = pad_pairs(pairs, start_token=START, end_token=END, source_length=30, target_length=20)
    torch.testing.assert_close(loss_of(step, wider).loss_sum, together.loss_sum, atol=1e-9, rtol=0)


@forms
def test_accumulated_pieces_of_unequal_lengths_equal_one_batch(form: str) -> None:
    step = SequenceToSequenceStep(ours(form))
    pairs = unequal_pairs()
    batch = pad_pairs(pairs, start_token=START, end_token=END)
    whole, count, _ = loss_of(step, batch)
    (whole / count).backward()
    expected = {name: parameter.grad.clone() for name, parameter in step.named_parameters()}
    step.zero_grad()
    total, targets = 0.0, 0
    for half in (pairs[:1], pairs[1:]):
        piece = pad_pairs(half, start_token=START, end_token=END)
        loss_sum, num_targets, _ = loss_of(step, piece)
        (loss_sum / batch.num_targets).backward()
        total, targets = total + loss_sum.item(), targets + int(num_targets)
        assert piece.num_targets == num_targets
    assert targets == count == batch.num_targets
    assert total == pytest.approx(whole.item(), abs=1e-9)
    for name, parameter in step.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], atol=1e-9, rtol=1e-9)
    # A mean of the pieces' means would be another number.
    means = [loss_of(step, pad_pairs(half, start_token=START, end_token=END)) for half in (pairs[:1], pairs[1:])]
    mean_of_means = sum(loss.item() / int(number) for loss, number, _ in means) / 2
    assert abs(mean_of_means - whole.item() / int(count)) > 1e-3


@pytest.mark.parametrize("form", ["t5", "t5-v1.1"])
def test_span_corruption_costs_what_t5_says(form: str) -> None:
    """T5 shifts the targets to the right by itself, after its padding token, and leaves -100 out."""
    model, config = ours(form), SpanCorruptionConfig(num_sentinels=8)
    theirs = t5(model)
    theirs.config.decoder_start_token_id = theirs.config.pad_token_id = START
    lengths = span_lengths(55, config)
    texts = np.random.default_rng(0).integers(2, V - 8, size=(3, lengths.text))
    source_BS, targets_BT = corrupt(texts, config, SpanVocabulary(V, END), np.random.default_rng(1))
    loss_sum, count, _ = SequenceToSequenceStep(model)(
        torch.from_numpy(source_BS),
        torch.from_numpy(decoder_inputs(targets_BT, START)),
        torch.from_numpy(targets_BT),
    )
    assert count == targets_BT.size == 3 * lengths.target
    expected = theirs(input_ids=torch.from_numpy(source_BS), labels=torch.from_numpy(targets_BT)).loss
    torch.testing.assert_close(loss_sum / count, expected, atol=1e-9, rtol=0)
    (loss_sum / count).backward()
    expected.backward()
    for own, other in t5_gradients(model, theirs).values():
        torch.testing.assert_close(own, other, atol=1e-9, rtol=1e-9)


def test_the_loss_is_float32_under_bfloat16() -> None:
    torch.manual_seed(0)
    batch = pad_pairs(unequal_pairs(), start_token=START, end_token=END)
    for form in FORMS:
        step = SequenceToSequenceStep(EncoderDecoder(encoder_decoder_form(form).small, V, 16))
        exact = loss_of(step, batch).loss_sum
        with torch.autocast("cpu", dtype=torch.bfloat16):
            near = loss_of(step, batch).loss_sum
        assert near.dtype == torch.float32
        torch.testing.assert_close(near, exact, atol=0.0, rtol=5e-3)


@forms
def test_a_compiler_sees_one_whole_graph(form: str) -> None:
    """`fullgraph` raises at the first thing that cannot be traced, such as a branch on the values of a tensor."""
    torch.compiler.reset()
    step = SequenceToSequenceStep(ours(form, torch.float32, num_layers=1, num_decoder_layers=1))
    arguments = tensors(pad_pairs(unequal_pairs(), start_token=START, end_token=END))
    compiled = torch.compile(step, backend="aot_eager", fullgraph=True, dynamic=False)
    found = compiled(**arguments)
    expected = step(**arguments)
    assert found.num_targets == expected.num_targets
    torch.testing.assert_close(found.loss_sum, expected.loss_sum, atol=1e-3, rtol=1e-5)
    found.loss_sum.backward()


def test_a_model_learns_to_write_backwards() -> None:
    """Only cross-attention tells the decoder what to write, so that a loss near 0 on new pairs shows that it works."""
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    config = encoder_decoder_form("t5-v1.1").small.model_copy(update={"num_layers": 1})
    step = SequenceToSequenceStep(EncoderDecoder(config, 8, 8))
    optimizer = torch.optim.Adam(step.parameters(), lr=3e-3)

    def batch_of_pairs(number: int) -> SequenceBatch:
        texts = [generator.integers(2, 8, size=generator.integers(2, 6)).tolist() for _ in range(number)]
        pairs = [(text, text[::-1]) for text in texts]
        return pad_pairs(pairs, start_token=START, end_token=END, source_length=6, target_length=6)

    for _step in range(500):
        loss_sum, count, _ = loss_of(step, batch_of_pairs(32))
        optimizer.zero_grad()
        (loss_sum / count).backward()
        optimizer.step()
        if (loss_sum / count).item() < 0.02:
            break
    with torch.no_grad():
        loss_sum, count, _ = loss_of(step, batch_of_pairs(200))
    assert (loss_sum / count).item() < 0.1


@forms
def test_one_batch_can_be_learned_by_heart(form: str) -> None:
    torch.manual_seed(1)
    config = encoder_decoder_form(form).small.model_copy(update={"dropout": 0.0})
    step = SequenceToSequenceStep(EncoderDecoder(config, V, 16))
    batch = pad_pairs([([3, 4, 5], [5, 4, 3, 6]), ([6, 7], [9, 2])], start_token=START, end_token=END)
    optimizer = torch.optim.AdamW(step.parameters(), lr=1e-2 if form == "t5" else 2e-3, weight_decay=0.0)
    calmer = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, total_iters=600)  # norms after each sum need it
    loss = math.inf
    for _ in range(600):
        loss_sum, count, _ = loss_of(step, batch)
        loss = loss_sum.item() / count.item()
        if loss < 0.01:
            break
        optimizer.zero_grad()
        (loss_sum / count).backward()
        optimizer.step()
        calmer.step()
    assert loss < 0.01
