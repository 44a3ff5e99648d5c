"""Encoder-decoders as they start: sizes in closed form, the first loss, one batch learned by heart, settings that cannot be."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from llm_core.config.encoder_decoder import EncoderDecoderConfig, encoder_decoder_form, encoder_decoder_forms
from llm_core.config.errors import NotFound
from llm_core.models.counting import count_parameters
from llm_core.models.encoder_decoder import EncoderDecoder
from tests.models.encoder_decoder_references import (
    FORMS,
    V,
    forms,
    logits_of,
    summed_loss,
)

T5_BASE = {"num_layers": 12, "num_heads": 12, "hidden_size": 768, "feed_forward_size": 3072}


@pytest.mark.parametrize(
    ("config", "vocabulary", "total"),
    [
        (encoder_decoder_form("t5").config, 32_128, 60_506_624),
        (EncoderDecoderConfig(**T5_BASE, activation="relu", tie_embeddings=True), 32_128, 222_903_552),
        (encoder_decoder_form("t5-v1.1").config, 32_128, 76_961_152),
        (EncoderDecoderConfig(**{**T5_BASE, "feed_forward_size": 2048}), 32_128, 247_577_856),
        # The layers of torch.nn.Transformer have 44,140,544, of which its two additional last norms are 2,048.
        (encoder_decoder_form("transformer-2017").config, 37_000, 44_138_496 + 37_000 * 512),
    ],
    ids=["T5 small", "T5 base", "T5 v1.1 small", "T5 v1.1 base", "Transformer base"],
)
def test_published_models_have_their_published_size(config: EncoderDecoderConfig, vocabulary: int, total: int) -> None:
    assert count_parameters(config, vocabulary, 8).total == total


@st.composite
def configs(draw: st.DrawFn) -> EncoderDecoderConfig:
    heads = draw(st.sampled_from([1, 2, 3]))
    return EncoderDecoderConfig(
        num_layers=draw(st.integers(1, 3)),
        num_decoder_layers=draw(st.integers(0, 2)),
        num_heads=heads,
        hidden_size=2 * heads * draw(st.integers(1, 4)),
        feed_forward_size=draw(st.sampled_from([0, 1, 40])),
        size_per_head=draw(st.sampled_from([0, 6])),
        tie_embeddings=draw(st.booleans()),
        positions=draw(st.sampled_from(["relative", "sinusoidal"])),
        position_buckets=draw(st.sampled_from([4, 32])),
        norm=draw(st.sampled_from(["rms", "layer"])),
        norm_placement=draw(st.sampled_from(["before", "after"])),
        activation=draw(st.sampled_from(["geglu", "relu"])),
        biases=draw(st.booleans()),
    )


@given(configs(), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_every_part_is_counted_exactly(config: EncoderDecoderConfig, vocabulary: int) -> None:
    with torch.device("meta"):
        model = EncoderDecoder(config, vocabulary, 8)
    count = count_parameters(config, vocabulary, 8)
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}

    def numbers(*words: str) -> int:
        return sum(size for name, size in sizes.items() if any(word in name for word in words))

    assert count.total == sum(sizes.values())
    assert count.embedding == numbers("embed_tokens")
    assert count.head == numbers("lm_head")
    assert count.attention == numbers("attn.", "relative_bias")
    assert count.feed_forward == numbers("mlp.")
    assert count.norm == numbers("norm")


@forms
def test_the_first_loss_is_chance_at_the_published_width(form: str) -> None:
    torch.manual_seed(0)
    config = encoder_decoder_form(form).config.model_copy(update={"num_layers": 2, "dropout": 0.0})
    model = EncoderDecoder(config, 500, 64)
    tokens = torch.randint(500, (16, 129))
    with torch.no_grad():
        loss = summed_loss(logits_of(model, tokens[:, :64], tokens[:, 64:-1]), tokens[:, 65:])
    assert abs(loss.item() - math.log(500)) < 0.05


@forms
def test_one_batch_is_learned_by_heart(form: str) -> None:
    torch.manual_seed(0)
    model = EncoderDecoder(encoder_decoder_form(form).small, V, 16)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3, betas=(0.9, 0.98))
    tokens = torch.randint(V, (2, 25))
    loss = torch.tensor(torch.inf)
    for _step in range(400):
        loss = summed_loss(logits_of(model, tokens[:, :16], tokens[:, 16:-1]), tokens[:, 17:])
        if loss.item() < 0.01:
            break
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    assert loss.item() < 0.01


@forms
def test_half_precision_is_near_the_exact_result(form: str) -> None:
    model = EncoderDecoder(encoder_decoder_form(form).small, V, 40).eval()
    tokens = torch.randint(V, (2, 80), generator=torch.Generator().manual_seed(1))
    padding = torch.arange(40)[None] >= torch.tensor([[40], [30]])
    exact = logits_of(model, tokens[:, :40], tokens[:, 40:], padding)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        near = logits_of(model, tokens[:, :40], tokens[:, 40:], padding)
    torch.testing.assert_close(near.float(), exact, atol=0.05, rtol=0.05)
    near.float().square().mean().backward()
    assert all(parameter.grad.dtype == torch.float32 for parameter in model.parameters())


def test_names_and_sizes_that_cannot_be_are_refused() -> None:
    assert list(encoder_decoder_forms()) == list(FORMS)
    with pytest.raises(NotFound, match="encoder-decoder of this name"):
        encoder_decoder_form("t6")
    for values, words in (
        ({"hidden_size": 30}, "cannot be cut into 4 heads"),
        ({"hidden_size": 33, "num_heads": 3, "positions": "sinusoidal"}, "pairs of sine and cosine"),
        ({"position_buckets": 6}, "multiple of 4"),
        ({"position_distance": 16}, "within the exact buckets"),
    ):
        with pytest.raises(ValueError, match=words):
            EncoderDecoderConfig(**values)
