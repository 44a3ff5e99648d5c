"""Encoder-decoders against T5ForConditionalGeneration of transformers and the layers of torch.nn.Transformer, on wide weights."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from llm_core.models.encoder_decoder import EncoderDecoder
from llm_core.models.interface import Memory
from llm_core.models.relative_positions import distance_buckets
from tests.models.encoder_decoder_references import (
    CONTEXT,
    FORMS,
    PRECISIONS,
    SOURCE,
    T5_FORMS,
    TARGET,
    Of2017,
    V,
    forms,
    logits_of,
    ours,
    padding_of,
    summed_loss,
    t5,
    t5_gradients,
    weights_of_2017,
)


@pytest.fixture
def source() -> Tensor:
    return torch.randint(V, (2, SOURCE), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def target() -> Tensor:
    return torch.randint(V, (2, TARGET + 1), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("form", T5_FORMS)
@PRECISIONS
def test_logits_and_gradients_equal_t5(
    source: Tensor, target: Tensor, form: str, dtype: torch.dtype, tolerance: float
) -> None:
    model = ours(form, dtype)
    theirs = t5(model)
    inputs, targets, padding = target[:, :-1], target[:, 1:], padding_of("right")
    mine = logits_of(model, source, inputs, padding)
    expected = theirs(input_ids=source, attention_mask=(~padding).long(), decoder_input_ids=inputs).logits
    torch.testing.assert_close(mine, expected, atol=tolerance, rtol=0)
    summed_loss(mine, targets).backward()
    summed_loss(expected, targets).backward()
    for own, other in t5_gradients(model, theirs).values():
        torch.testing.assert_close(own, other, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("form", ["t5", "t5-v1.1"])
@PRECISIONS
def test_decoding_with_caches_equals_t5(
    source: Tensor, target: Tensor, form: str, dtype: torch.dtype, tolerance: float
) -> None:
    model = ours(form, dtype)
    theirs, padding, cache = t5(model), padding_of("left"), None
    with torch.no_grad():
        memory = model.encode(source, padding_BS=padding)
        encoded = theirs.encoder(input_ids=source, attention_mask=(~padding).long())
        torch.testing.assert_close(
            memory.hidden_BSD[~padding], encoded.last_hidden_state[~padding], atol=tolerance, rtol=0
        )
        state = model.initial_state(2, CONTEXT, memory=memory)
        for piece in target.split([100, 1, 1, 30, 9], dim=1):
            output = model(piece, state=state)
            expected = theirs(
                encoder_outputs=encoded,
                attention_mask=(~padding).long(),
                decoder_input_ids=piece,
                past_key_values=cache,
                use_cache=True,
            )
            state, cache = output.state, expected.past_key_values
            torch.testing.assert_close(model.logits(output.hidden_BTD), expected.logits, atol=tolerance, rtol=0)


@pytest.mark.parametrize("side", ["none", "left", "right"])
@PRECISIONS
def test_logits_and_gradients_equal_torch_s_transformer(
    source: Tensor, target: Tensor, side: str, dtype: torch.dtype, tolerance: float
) -> None:
    model = ours("transformer-2017", dtype)
    theirs = Of2017(model)
    padding = None if side == "none" else padding_of(side)
    mine = logits_of(model, source, target[:, :-1], padding)
    expected = theirs(source, padding, target[:, :-1])
    torch.testing.assert_close(mine, expected, atol=tolerance, rtol=0)
    summed_loss(mine, target[:, 1:]).backward()
    summed_loss(expected, target[:, 1:]).backward()
    torch.testing.assert_close(model.embed_tokens.weight.grad, theirs.embedding.grad, atol=tolerance, rtol=tolerance)
    for side, layer in theirs.own:
        own = weights_of_2017(model, side, layer, lambda parameter: parameter.grad)
        for name, parameter in getattr(theirs, side)[layer].named_parameters():
            torch.testing.assert_close(own[name], parameter.grad, atol=tolerance, rtol=tolerance)


def _without_bias(side: str) -> Callable[[EncoderDecoder], None]:
    def change(model: EncoderDecoder) -> None:
        model.get_submodule(side).relative_bias.weight.data.zero_()

    return change


def _exact_distances_only(model: EncoderDecoder) -> None:
    for stack in (model.encoder, model.decoder):
        table = stack.relative_bias.buckets.values
        table.copy_(torch.arange(len(table)).clamp(max=int(table.max())))


def _one_sided_encoder(model: EncoderDecoder) -> None:
    model.encoder.relative_bias.num_buckets_a_side = 0


def _with(name: str, value: object) -> Callable[[EncoderDecoder], None]:
    def change(model: EncoderDecoder) -> None:
        setattr(model, name, value)

    return change


def _in_layers(change: Callable[[nn.Module], None]) -> Callable[[EncoderDecoder], None]:
    return lambda model: [change(block) for stack in (model.encoder, model.decoder) for block in stack.layers]


def _without_norm(name: str) -> Callable[[EncoderDecoder], None]:
    return _in_layers(lambda block: getattr(block, name) and setattr(block, name, nn.Identity()))


def _scaled(factor: float) -> Callable[[nn.Module], None]:
    return lambda block: [
        setattr(part, "scale", factor * part.scale) for part in (block.self_attn, block.cross_attn) if part
    ]


def _without_source(model: EncoderDecoder) -> None:
    for block in model.decoder.layers:
        block.cross_attn.o_proj.weight.data.zero_()


def _without_biases(model: EncoderDecoder) -> None:
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.data.zero_()


def _without_nonlinearity(block: nn.Module) -> None:
    block.mlp.forward = lambda x, mlp=block.mlp: mlp.down_proj(mlp.up_proj(x))


def _centred(block: nn.Module) -> None:
    block.mlp_norm.forward = lambda x, norm=block.mlp_norm: nn.functional.layer_norm(x, x.shape[-1:], norm.weight)


def _not_centred(block: nn.Module) -> None:
    block.mlp_norm.forward = lambda x, norm=block.mlp_norm: nn.functional.rms_norm(x, x.shape[-1:], norm.weight)


MECHANISMS: dict[str, tuple[str, Callable[[EncoderDecoder], None]]] = {
    "bias of distances in the encoder": ("t5", _without_bias("encoder")),
    "bias of distances in the decoder": ("t5", _without_bias("decoder")),
    "rough buckets for far tokens": ("t5", _exact_distances_only),
    "both sides told apart": ("t5", _one_sided_encoder),
    "scores left as they are": ("t5", _in_layers(_scaled(0.35))),
    "scaled output": ("t5", _with("output_scale", 1.0)),
    "norm before self-attention": ("t5", _without_norm("self_attn_norm")),
    "norm before cross-attention": ("t5", _without_norm("cross_attn_norm")),
    "norm before the feed-forward": ("t5", _without_norm("mlp_norm")),
    "last norm of the encoder": ("t5", lambda model: setattr(model.encoder, "norm", nn.Identity())),
    "last norm of the decoder": ("t5", lambda model: setattr(model.decoder, "norm", nn.Identity())),
    "mean left in the stream": ("t5", _in_layers(_centred)),
    "cross-attention": ("t5", _without_source),
    "ReLU": ("t5", _in_layers(_without_nonlinearity)),
    "gate": ("t5-v1.1", _in_layers(_without_nonlinearity)),
    "own output matrix": ("t5-v1.1", lambda model: setattr(model, "lm_head", None)),
    "sinusoids": ("transformer-2017", lambda model: model.sinusoids.table.values.zero_()),
    "scaled embeddings": ("transformer-2017", _with("embedding_scale", 1.0)),
    "scaled scores": ("transformer-2017", _in_layers(_scaled(2.8))),
    "biases": ("transformer-2017", _without_biases),
    "norm after the sum": ("transformer-2017", _in_layers(lambda block: setattr(block, "norms_after", False))),
    "mean taken off": ("transformer-2017", _in_layers(_not_centred)),
}


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_missing_mechanism_would_be_seen(source: Tensor, target: Tensor, mechanism: str) -> None:
    """Each parity above would fail by far more than its tolerance if one part were left out."""
    form, change = MECHANISMS[mechanism]
    model = ours(form)
    before = logits_of(model, source, target[:, :TARGET])
    change(model)
    assert (before - logits_of(model, source, target[:, :TARGET])).abs().max() > 0.01


@forms
def test_masks_would_be_missed(source: Tensor, target: Tensor, form: str) -> None:
    model, padding = ours(form), padding_of("right")
    target = target[:, :TARGET]
    padded = logits_of(model, source, target, padding)
    assert (padded - logits_of(model, source, target))[1].abs().max() > 0.01
    torch.testing.assert_close(padded[1], logits_of(model, source[1:, : SOURCE - 13], target[1:])[0], atol=1e-9, rtol=0)
    # Only the encoder's own mask, or only the mask over the source, would show as well.
    memory = model.encode(source, padding_BS=padding)
    open_memory = Memory(memory.hidden_BSD, None)
    assert (model.logits(model(target, memory=open_memory).hidden_BTD) - padded)[1].abs().max() > 0.01
    open_encoder = Memory(model.encode(source).hidden_BSD, padding)
    assert (model.logits(model(target, memory=open_encoder).hidden_BTD) - padded)[1].abs().max() > 0.01
    future = target.clone()
    future[:, -1] = (future[:, -1] + 1) % V
    torch.testing.assert_close(padded[:, :-1], logits_of(model, source, future, padding)[:, :-1], atol=1e-12, rtol=0)


@given(st.sampled_from([4, 8, 12, 32, 64]), st.integers(33, 700), st.booleans())
@settings(max_examples=40, deadline=None)
def test_buckets_are_those_of_t5(num_buckets: int, farthest: int, both_ways: bool) -> None:
    from transformers.models.t5.modeling_t5 import T5Attention

    behind = torch.arange(-2 * farthest, 1)
    a_side = num_buckets // 2 if both_ways else num_buckets
    expected = T5Attention._relative_position_bucket(behind, both_ways, num_buckets, farthest)
    assert torch.equal(distance_buckets(a_side, farthest)[(-behind).clamp(max=farthest)], expected)


def test_fixed_tables_stay_exact_when_a_model_is_moved_and_cast(source: Tensor, target: Tensor) -> None:
    for form in ("t5", "transformer-2017"):
        model = ours(form, torch.float32)
        before = logits_of(model, source, target[:, :TARGET])
        with torch.device("meta"):
            hollow = EncoderDecoder(model.config, V, CONTEXT)
        filled = copy.deepcopy(hollow.to_empty(device="cpu")).eval()
        filled.load_state_dict(model.state_dict())
        filled.to(torch.bfloat16).to(torch.float32).load_state_dict(model.state_dict())
        assert torch.equal(logits_of(filled, source, target[:, :TARGET]), before)
        assert not any("table" in name or "buckets" in name for name in model.state_dict())


def test_dropout_acts_in_training_only(source: Tensor, target: Tensor) -> None:
    for form in FORMS:
        model = ours(form, torch.float32, dropout=0.5)
        target = target[:, :TARGET]
        assert torch.equal(logits_of(model, source, target), logits_of(model, source, target))
        model.train()
        assert not torch.equal(logits_of(model, source, target), logits_of(model, source, target))


@pytest.mark.parametrize("form", FORMS)
def test_training_drops_the_very_activations_that_the_reference_drops(
    source: Tensor, target: Tensor, form: str
) -> None:
    """Random numbers are drawn in the same order, so one seed gives the same masks; torch lays several rows out otherwise."""
    model, dropout = ours(form, dropout=0.3), 0.3
    source, target = source[:1], target[:1, :TARGET]
    theirs = t5(model) if form != "transformer-2017" else Of2017(model)
    for module in theirs.modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout
        elif isinstance(getattr(module, "dropout", None), float):
            module.dropout = dropout
    model.train()
    theirs.train()
    torch.manual_seed(7)
    mine = logits_of(model, source, target)
    torch.manual_seed(7)
    if form == "transformer-2017":
        expected = theirs(source, None, target)
    else:
        expected = theirs(input_ids=source, decoder_input_ids=target).logits
    torch.testing.assert_close(mine, expected, atol=1e-9, rtol=0)
