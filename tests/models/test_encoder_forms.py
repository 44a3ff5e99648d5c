"""What makes an encoder: each part of BERT, RoBERTa and ModernBERT is shown to matter; sizes, first loss, refusals."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from llm_core.config.encoder import EncoderConfig, encoder_presets
from llm_core.config.errors import UserError
from llm_core.models.counting import RowShape, count_parameters, forward_flops_per_token, training_flops_per_token
from llm_core.models.encoder import Encoder
from llm_core.models.encoder_layers import make_layer_norm
from llm_core.models.interface import Memory
from llm_core.models.layers import LayerInputs
from tests.models.test_encoder import CONTEXT, T, V, forms, logits_of, ours


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randint(2, V, (2, T), generator=torch.Generator().manual_seed(1))


def _set(**values: object) -> Callable[[Encoder], None]:
    def change(model: Encoder) -> None:
        model.config = model.config.model_copy(update=values)

    return change


def _zero(word: str) -> Callable[[Encoder], None]:
    def change(model: Encoder) -> None:
        for name, parameter in model.named_parameters():
            if word in name:
                parameter.zero_()

    return change


def _without(path: str) -> Callable[[Encoder], None]:
    """The module at a path, in every layer for a path that begins with a star, does nothing."""

    def change(model: Encoder) -> None:
        owners: list[torch.nn.Module] = [model]
        first, _, last = path.rpartition(".")
        if first == "*":
            owners = list(model.layers)
        elif first:
            owners = [model.get_submodule(first)]
        for owner in owners:
            setattr(owner, last, torch.nn.Identity())

    return change


def _local_base_as_global(model: Encoder) -> None:
    model.local_rotary = model.rotary


def _without_rotation(model: Encoder) -> None:
    for rotary in (model.rotary, model.local_rotary):
        rotary.cosine_TE, rotary.sine_TE = torch.ones_like(rotary.cosine_TE), torch.zeros_like(rotary.sine_TE)


def _norm_before_the_first_attention(model: Encoder) -> None:
    model.layers[0].attention_norm = make_layer_norm(model.config).double()


def _norms_at_the_other_place(model: Encoder) -> None:
    for block in model.layers:
        block.is_pre_norm = not block.is_pre_norm


def _without_gates(model: Encoder) -> None:
    for block in model.layers:
        block.mlp.up_proj.register_forward_hook(lambda _module, _inputs, output: torch.ones_like(output))


def _activation_in_tanh_form(model: Encoder) -> None:
    for block in model.layers:
        block.mlp.forward = lambda x, mlp=block.mlp: mlp.down_proj(
            torch.nn.functional.gelu(mlp.up_proj(x), approximate="tanh")
        )


def _head_without_activation(model: Encoder) -> None:
    head = model.head
    head.forward = lambda hidden, weight: torch.nn.functional.linear(head.norm(head.dense(hidden)), weight, head.bias)


def _causal(model: Encoder) -> None:
    inputs = model._layer_inputs

    def causal(*arguments: object, **named: object) -> LayerInputs:
        return dataclasses.replace(inputs(*arguments, **named), mask=None, is_causal=True)

    model._layer_inputs = causal


def _larger_epsilon(model: Encoder) -> None:
    for module in model.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-5


MECHANISMS: dict[str, tuple[str, Callable[[Encoder], None], float]] = {
    "bert, looking to both sides": ("bert", _causal, 0.1),
    "bert, learned positions": ("bert", _zero("embed_positions"), 0.1),
    "bert, token type": ("bert", _zero("embed_types"), 0.1),
    "bert, norm after the embeddings": ("bert", _without("embed_norm"), 0.1),
    "bert, norm after attention": ("bert", _without("*.attention_norm"), 0.1),
    "bert, norm after feed-forward": ("bert", _without("*.feed_forward_norm"), 0.1),
    "bert, norms after the sum": ("bert", _norms_at_the_other_place, 0.1),
    "bert, biases of products": ("bert", _zero("proj.bias"), 0.1),
    "bert, biases of norms": ("bert", _zero("norm.bias"), 0.1),
    "bert, exact form of GELU": ("bert", _activation_in_tanh_form, 5e-4),
    "bert, epsilon": ("bert", _larger_epsilon, 5e-5),
    "bert, product in the head": ("bert", _without("head.dense"), 0.1),
    "bert, bias in the head's product": ("bert", _zero("head.dense.bias"), 0.1),
    "bert, activation in the head": ("bert", _head_without_activation, 0.1),
    "bert, norm in the head": ("bert", _without("head.norm"), 0.1),
    "bert, bias of the scores": ("bert", _zero("head.bias"), 0.1),
    "roberta, first position": ("roberta", _set(position_offset=0), 0.1),
    "roberta, first position at 1": ("roberta", _set(position_offset=1), 0.1),
    "modernbert, looking to both sides": ("modernbert", _causal, 0.1),
    "modernbert, window": ("modernbert", _set(window=0), 0.1),
    "modernbert, window to the token": ("modernbert", _set(window=18), 0.1),
    "modernbert, which layers are global": ("modernbert", _set(global_every=2), 0.1),
    "modernbert, rotation": ("modernbert", _without_rotation, 0.1),
    "modernbert, local base": ("modernbert", _local_base_as_global, 0.1),
    "modernbert, norm after the embeddings": ("modernbert", _without("embed_norm"), 0.1),
    "modernbert, no norm before the first attention": ("modernbert", _norm_before_the_first_attention, 0.1),
    "modernbert, norm before attention": ("modernbert", _without("*.attention_norm"), 0.1),
    "modernbert, norm before feed-forward": ("modernbert", _without("*.feed_forward_norm"), 0.1),
    "modernbert, final norm": ("modernbert", _without("norm"), 0.1),
    "modernbert, gates": ("modernbert", _without_gates, 0.1),
    "modernbert, product in the head": ("modernbert", _without("head.dense"), 0.1),
    "modernbert, norm in the head": ("modernbert", _without("head.norm"), 0.1),
    "modernbert, bias of the scores": ("modernbert", _zero("head.bias"), 0.1),
}


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_missing_mechanism_would_be_seen(tokens: torch.Tensor, mechanism: str) -> None:
    """Each parity above would fail by far more than its tolerance if one part were left out."""
    form, change, least = MECHANISMS[mechanism]
    model = ours(form)
    with torch.no_grad():
        before = logits_of(model, tokens)
        change(model)
        assert (before - logits_of(model, tokens)).abs().max() > least


@forms
def test_every_position_depends_on_the_last_token_and_padding_on_nothing(tokens: torch.Tensor, form: str) -> None:
    model = ours(form)
    other = tokens.clone()
    other[:, -1] = tokens[:, -1] % (V - 2) + 2
    moved = (logits_of(model, tokens) - logits_of(model, other)).abs().amax(-1)
    assert (moved > 1e-3).all()
    padding = torch.zeros_like(tokens, dtype=torch.bool)
    padding[:, -1] = True
    hidden = logits_of(model, tokens, padding_BT=padding)
    assert torch.equal(hidden[:, :-1], logits_of(model, other, padding_BT=padding)[:, :-1])
    assert (hidden - logits_of(model, tokens))[:, :-1].abs().max() > 0.01


@pytest.mark.parametrize("name", encoder_presets())
def test_the_first_loss_is_chance_at_the_presets_own_width(name: str) -> None:
    torch.manual_seed(0)
    vocabulary = 2_000
    config = encoder_presets()[name].model_copy(update={"num_layers": 2, "dropout": 0.0})
    model = Encoder(config, vocabulary, 64)
    tokens = torch.randint(vocabulary, (4, 64))
    loss = torch.nn.functional.cross_entropy(logits_of(model, tokens).flatten(0, 1), tokens.flatten())
    assert abs(loss.item() - math.log(vocabulary)) < 0.05


@st.composite
def encoder_configs(draw: st.DrawFn) -> EncoderConfig:
    heads = draw(st.sampled_from([1, 2, 3]))
    return EncoderConfig(
        num_layers=draw(st.integers(1, 4)),
        num_heads=heads,
        hidden_size=2 * heads * draw(st.integers(1, 4)),
        feed_forward_size=draw(st.sampled_from([None, 1, 13])),
        norm_placement=draw(st.sampled_from(["pre", "post"])),
        positions=draw(st.sampled_from(["rope", "learned"])),
        position_offset=draw(st.integers(0, 3)),
        token_types=draw(st.integers(0, 2)),
        activation=draw(st.sampled_from(["geglu", "gelu"])),
        biases=draw(st.booleans()),
        window=draw(st.sampled_from([0, 1, 6])),
        global_every=draw(st.integers(1, 3)),
    )


@given(encoder_configs(), st.integers(1, 20), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_the_closed_form_counts_the_module(config: EncoderConfig, vocabulary: int, context: int) -> None:
    model = Encoder(config, vocabulary, context)
    count = count_parameters(config, vocabulary, context)

    def numbers(*words: str) -> int:
        return sum(
            parameter.numel() for name, parameter in model.named_parameters() if any(word in name for word in words)
        )

    assert count.total == numbers("")
    assert count.embedding == numbers("embed_tokens", "embed_positions", "embed_types")
    assert count.attention == numbers("self_attn")
    assert count.feed_forward == numbers("mlp")
    assert count.head == numbers("head.")
    assert torch.isfinite(logits_of(model, torch.zeros(2, context, dtype=torch.int64))).all()


def test_the_published_sizes_are_met() -> None:
    """Without the head that fills in; BERT and RoBERTa with a pooler, a product with bias that no masked model needs."""
    pooler = 768 * 768 + 768
    bert = count_parameters(encoder_presets()["bert"], 30_522, 512)
    assert bert.total - bert.head + pooler == 109_482_240
    assert bert.total == 109_514_298
    roberta = count_parameters(encoder_presets()["roberta"], 50_265, 512)
    assert roberta.total - roberta.head + pooler == 124_645_632
    modernbert = count_parameters(encoder_presets()["modernbert"], 50_368, 8_192)
    assert modernbert.total - modernbert.head == 149_014_272
    assert modernbert.total == 149_655_232
    for name, vocabulary, context, total in (
        ("bert", 30_522, 512, bert.total),
        ("roberta", 50_265, 512, roberta.total),
        ("modernbert", 50_368, 8_192, modernbert.total),
    ):
        with torch.device("meta"):
            model = Encoder(encoder_presets()[name], vocabulary, context)
        assert sum(parameter.numel() for parameter in model.parameters()) == total


@forms
@pytest.mark.parametrize("places", [T, 20])
def test_flops_equal_those_that_torch_counts(tokens: torch.Tensor, form: str, places: int) -> None:
    """With the plain attention no kernel is fused, so its counter sees each product; it counts what a window leaves out as well."""
    model = ours(form, window=0)
    with FlopCounterMode(display=False) as counted, sdpa_kernel(SDPBackend.MATH):
        model.logits(model(tokens).hidden_BTD[:, :places])
    # Two rows of T tokens; seen as one token the cost of a row comes without a rest.
    row = RowShape(1, read=T, scored=places)
    assert counted.get_total_flops() == 2 * forward_flops_per_token(model.config, V, T, row=row)


def test_local_layers_cost_what_they_look_at() -> None:
    config = EncoderConfig(num_layers=5, num_heads=2, hidden_size=8, window=16)
    everywhere = config.model_copy(update={"window": 0})
    # Layers 1, 2 and 4 are local: 17 places instead of 130, each 4 operations for each of 8 numbers.
    row = RowShape(1, read=T, scored=20)
    spared = forward_flops_per_token(everywhere, V, T, row=row) - forward_flops_per_token(config, V, T, row=row)
    assert spared == T * 3 * 4 * 8 * (T - 17)
    assert training_flops_per_token(config, V, T, row=row) == 3 * forward_flops_per_token(config, V, T, row=row)


@forms
def test_an_encoder_does_not_write(tokens: torch.Tensor, form: str) -> None:
    model = ours(form)
    assert not model.is_recurrent
    with pytest.raises(UserError, match="does not write"):
        model.initial_state(1, 8)
    with pytest.raises(UserError, match="longer than the model's context"):
        model(torch.zeros(1, CONTEXT + 1, dtype=torch.int64))
    memory = model.encode(tokens)
    assert torch.equal(memory.hidden_BSD, model(tokens).hidden_BTD)
    assert model(tokens).state is None
    with pytest.raises(UserError, match="no source text"):
        model(tokens, memory=Memory(memory.hidden_BSD, None))


@forms
def test_dropout_acts_in_training_only(tokens: torch.Tensor, form: str) -> None:
    model = ours(form, torch.float32, dropout=0.5)
    assert torch.equal(logits_of(model, tokens), logits_of(model, tokens))
    model.train()
    assert not torch.equal(logits_of(model, tokens), logits_of(model, tokens))


def test_shapes_that_cannot_be_are_refused_in_words() -> None:
    with pytest.raises(ValueError, match="cannot be cut into 5 heads"):
        EncoderConfig(num_heads=5, hidden_size=32)
    with pytest.raises(ValueError, match="cannot be rotated in pairs"):
        EncoderConfig(num_heads=4, hidden_size=12)
    assert EncoderConfig(num_heads=4, hidden_size=12, positions="learned").head_size == 3
