"""Writing with a state, and looking inside: the same results as one whole pass, the very attention that the kernel computed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from llm_core.config.errors import UserError
from llm_core.inspection.attention import weights_of
from llm_core.models.encoder_decoder import EncoderDecoder
from llm_core.models.interface import Memory
from llm_core.models.tap import RecordingTap
from tests.models.encoder_decoder_references import (
    CONTEXT,
    FORMS,
    SOURCE,
    TARGET,
    V,
    forms,
    logits_of,
    ours,
    padding_of,
    scale_queries,
    wide_random,
)


@pytest.fixture
def source() -> Tensor:
    return torch.randint(V, (2, SOURCE), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def target() -> Tensor:
    return torch.randint(V, (2, TARGET + 1), generator=torch.Generator().manual_seed(2))


def padded_target(side: str) -> Tensor:
    padding = torch.zeros(2, 10, dtype=torch.bool)
    padding[1, {"left": [0, 1, 2, 3], "right": [6, 7, 8, 9], "scattered": [0, 3, 4, 9]}[side]] = True
    return padding


@pytest.mark.parametrize("side", ["left", "right", "scattered"])
@forms
def test_targets_of_unequal_length_share_a_state(source: Tensor, target: Tensor, form: str, side: str) -> None:
    model, padding = ours(form), padded_target(side)
    memory = model.encode(source, padding_BS=padding_of("left"))
    plain = model(target[:, :10], memory=memory, padding_BT=padding).hidden_BTD
    output = model(target[:, :10], padding_BT=padding, state=model.initial_state(2, 16, memory=memory))
    torch.testing.assert_close(output.hidden_BTD[~padding], plain[~padding], atol=1e-9, rtol=0)
    short = target[1:, :10][~padding[1:]][None]
    second = model.encode(source[1:, 13:])
    torch.testing.assert_close(plain[1][~padding[1]], model(short, memory=second).hidden_BTD[0], atol=1e-9, rtol=0)
    assert output.state.lengths_B.tolist() == [10, 6]
    state, after = output.state, []
    for piece in target[:, 20:26].split([1, 4, 1], dim=1):
        hidden, state = model(piece, state=state)
        after.append(hidden)
    whole = model(torch.cat([short, target[1:, 20:26]], 1), memory=second).hidden_BTD[0, 6:]
    torch.testing.assert_close(torch.cat(after, 1)[1], whole, atol=1e-9, rtol=0)
    assert state.lengths_B.tolist() == [16, 12]


@forms
def test_a_state_can_be_selected_truncated_and_restarted(source: Tensor, target: Tensor, form: str) -> None:
    model, padding = ours(form), padding_of("right")
    memory = model.encode(source, padding_BS=padding)
    state = model(target[:, :20], state=model.initial_state(2, 40, memory=memory)).state
    rows = torch.tensor([1, 1, 0])
    chosen = state.select(rows).truncate(torch.tensor([8, 20, 3]))
    chosen = chosen.restart(torch.tensor([False, False, True])).detach()
    assert chosen.lengths_B.tolist() == [8, 20, 0]
    assert not chosen.keys_LBHSE.requires_grad and not chosen.target.keys_LBKSE.requires_grad
    after = model(target[rows, 30:33], state=chosen).hidden_BTD
    for place, (row, length) in enumerate([(1, 8), (1, 20), (0, 0)]):
        text = torch.cat([target[row : row + 1, :length], target[row : row + 1, 30:33]], 1)
        alone = Memory(memory.hidden_BSD[row : row + 1], padding[row : row + 1])
        torch.testing.assert_close(after[place], model(text, memory=alone).hidden_BTD[0, length:], atol=1e-9, rtol=0)


@forms
@pytest.mark.parametrize("spread", [0.0, 3.0], ids=["greedy", "drawn"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
def test_decoding_with_a_state_chooses_the_same_256_tokens(
    source: Tensor, form: str, spread: float, dtype: torch.dtype, tolerance: float
) -> None:
    """Greedy texts of random weights soon repeat themselves, so that a varied one, drawn with fixed noise, is read as well."""
    model = wide_random(EncoderDecoder(ours(form).config, V, 257).to(dtype))
    if not model.config.scale_scores:
        # Scores as large as wide weights make them would blow rounding up a hundredfold.
        scale_queries(model, model.config.head_size**-0.5)
    noise = spread * torch.randn(256, V, generator=torch.Generator().manual_seed(3))
    written = torch.zeros(1, 1, dtype=torch.int64)
    with torch.inference_mode():
        memory = model.encode(source[:1])
        state, new, kept = model.initial_state(1, 257, memory=memory), written, []
        for step in range(256):
            hidden, state = model(new, state=state)
            kept.append(model.logits(hidden)[0, -1])
            new = (kept[-1] + noise[step]).argmax()[None, None]
            written = torch.cat([written, new], dim=1)
        # One whole pass over what was written must choose the same everywhere.
        whole = model.logits(model(written[:, :-1], memory=memory).hidden_BTD)[0]
    torch.testing.assert_close(torch.stack(kept), whole, atol=tolerance, rtol=tolerance)
    assert torch.equal(whole.argmax(-1), torch.stack(kept).argmax(-1))
    assert torch.equal((whole + noise).argmax(-1), written[0, 1:])
    assert not spread or len(written.unique()) > 10


def test_a_state_in_bfloat16_is_near_the_exact_one(source: Tensor, target: Tensor) -> None:
    model = ours("t5", torch.float32)
    memory = model.encode(source)
    state = model(target[:, :20], state=model.initial_state(2, 40, dtype=torch.bfloat16, memory=memory)).state
    assert state.keys_LBHSE.dtype == state.target.keys_LBKSE.dtype == torch.bfloat16
    near = model.logits(model(target[:, 20:21], state=state).hidden_BTD)
    exact = model.logits(model(target[:, :21], memory=memory).hidden_BTD)
    torch.testing.assert_close(near[:, 0], exact[:, -1], atol=0.1, rtol=0.1)


@pytest.mark.parametrize("how", ["plain", "padded", "cached"])
@forms
def test_attention_worked_out_from_the_tap_is_that_of_an_eager_reference(
    source: Tensor, target: Tensor, form: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel is replaced by plain arithmetic that keeps its weights; model and inspection must both agree with it."""
    model, target = ours(form, torch.float32), target[:, :TARGET]
    padding = None if how == "plain" else padding_of("left")
    state = None
    memory = model.encode(source, padding_BS=padding)
    expected_hidden = model(target, memory=memory).hidden_BTD
    if how == "cached":
        state = model(target[:, :30], state=model.initial_state(2, CONTEXT, memory=memory)).state
    kept: list[Tensor] = []

    def eager(
        q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None, is_causal: bool, scale: float, **_: float
    ) -> Tensor:
        scores = scale * (q @ k.transpose(-1, -2))
        if is_causal:
            scores = scores.masked_fill(torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1), -torch.inf)
        elif attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, -torch.inf)
        elif attn_mask is not None:
            scores = scores + attn_mask
        kept.append(scores.softmax(-1))
        return kept[-1] @ v

    monkeypatch.setattr("torch.nn.functional.scaled_dot_product_attention", eager)
    tap, start = RecordingTap(), 30 if how == "cached" else 0
    model.encode(source, padding_BS=padding, tap=tap)
    hidden = model(target[:, start:], memory=None if state else memory, state=state, tap=tap).hidden_BTD
    torch.testing.assert_close(hidden, expected_hidden[:, start:], atol=1e-4, rtol=0)
    decoder = [part[layer] for layer in range(3) for part in (tap.attentions, tap.cross_attentions)]
    recorded = [tap.encoder_attentions[0], tap.encoder_attentions[1], *decoder]
    assert len(kept) == len(recorded) == 8
    real = torch.ones(2, SOURCE, dtype=torch.bool) if padding is None else ~padding
    for number, (attention, expected) in enumerate(zip(recorded, kept, strict=True)):
        rows = range(attention.q_BHTE.shape[2])
        found = weights_of(attention, range(4), rows)
        used = real if number < 2 else torch.ones(2, len(rows), dtype=torch.bool)
        torch.testing.assert_close(found.transpose(1, 2)[used], expected.transpose(1, 2)[used], atol=1e-5, rtol=0)
        torch.testing.assert_close(weights_of(attention, [2], [5, 1]), found[:, [2]][:, :, [5, 1]], atol=1e-6, rtol=0)
    biased = [tap.encoder_attentions, tap.attentions]
    assert all((part[0].bias is not None) == (form != "transformer-2017") for part in biased)
    assert tap.cross_attentions[0].bias is None
    assert tap.attentions[0].positions_BT[0, 0] == start
    assert sorted(tap.encoder_hiddens) == [-1, 0, 1]
    assert sorted(tap.hiddens) == [-1, 0, 1, 2]


def test_the_tap_changes_nothing(source: Tensor, target: Tensor) -> None:
    for form in FORMS:
        model, tap = ours(form), RecordingTap()
        memory = model.encode(source, tap=tap)
        assert torch.equal(memory.hidden_BSD, model.encode(source).hidden_BSD)
        target = target[:, :TARGET]
        hidden = model(target, memory=memory, tap=tap).hidden_BTD
        assert torch.equal(hidden, model(target, memory=memory).hidden_BTD)
        assert torch.equal(model.encoder.norm(tap.encoder_hiddens[1]), memory.hidden_BSD)
        assert torch.equal(model.decoder.norm(tap.hiddens[2]), hidden)


@forms
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_source_of_padding_alone_spoils_nothing(
    source: Tensor, target: Tensor, form: str, dtype: torch.dtype
) -> None:
    model, padding = ours(form, dtype), torch.tensor([[False], [True]]).expand(-1, SOURCE)
    logits = logits_of(model, source, target[:, :TARGET], padding)
    assert logits.isfinite().all()
    alone = logits_of(model, source[:1], target[:1, :TARGET])
    torch.testing.assert_close(logits[:1], alone, atol=1e-4, rtol=0)
    logits[0].square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_what_cannot_be_is_refused(source: Tensor, target: Tensor) -> None:
    model = ours("t5", torch.float32)
    memory = model.encode(source)
    target = target[:, :6]
    long = torch.zeros(1, CONTEXT + 1, dtype=torch.int64)
    refused: dict[str, Callable[[], object]] = {
        "source is longer": lambda: model.encode(long),
        "target is longer": lambda: model(long, memory=memory),
        "about a source text": lambda: model(target),
        "already": lambda: model(target, memory=memory, state=model.initial_state(2, 8, memory=memory)),
        "one text a row": lambda: model(target, memory=memory, documents_BT=target),
        "counted on": lambda: model(target, positions_BT=target, state=model.initial_state(2, 8, memory=memory)),
        "room kept for it": lambda: model(target, state=model.initial_state(2, 5, memory=memory)),
        "as many as the rows": lambda: model.initial_state(3, 8, memory=memory),
    }
    for words, call in refused.items():
        with pytest.raises(UserError, match=words):
            call()
    with pytest.raises(UserError, match="about a source text"):
        model.initial_state(2, 8)
    with pytest.raises(UserError, match="target is longer"):
        model.initial_state(2, CONTEXT + 1, memory=memory)
