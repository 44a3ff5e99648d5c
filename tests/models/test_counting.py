"""Closed forms against the modules themselves: parameters and floating-point operations of every family; published sizes.

Not here: memory (`test_counting_memory.py`).
"""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from llm_core.config.encoder import encoder_presets
from llm_core.config.encoder_decoder import EncoderDecoderConfig, encoder_decoder_form, encoder_decoder_forms
from llm_core.config.model import (
    GRUConfig,
    LSTMConfig,
    MinGRUConfig,
    ModelConfig,
    NgramConfig,
    RNNConfig,
    TransformerConfig,
)
from llm_core.config.presets import presets
from llm_core.models.counting import (
    RowShape,
    count_parameters,
    forward_flops_per_token,
    inference_memory_bytes,
    training_flops_per_token,
    whole_row,
)
from llm_core.models.encoder_decoder import EncoderDecoder
from llm_core.models.interface import LanguageModel
from llm_core.models.registry import build_model
from llm_core.objectives.train_step import TrainStep


@st.composite
def recurrent_configs(draw: st.DrawFn) -> ModelConfig:
    width, tied = draw(st.integers(2, 24)), draw(st.booleans())
    shape = {
        "num_layers": draw(st.integers(1, 3)),
        "hidden_size": width,
        "embedding_size": 0 if tied else draw(st.integers(0, 12)),
        "tie_embeddings": tied,
    }
    family = draw(st.sampled_from([RNNConfig, GRUConfig, MinGRUConfig, LSTMConfig]))
    if family is RNNConfig:
        shape["nonlinearity"] = draw(st.sampled_from(["tanh", "relu", "sigmoid"]))
    return family(**shape)


@st.composite
def transformer_configs(draw: st.DrawFn) -> ModelConfig:
    heads, kv_heads = draw(st.sampled_from([(1, 1), (4, 1), (4, 2), (4, 0), (6, 3)]))
    return TransformerConfig(
        num_layers=draw(st.integers(1, 3)),
        num_heads=heads,
        num_kv_heads=kv_heads,
        hidden_size=2 * heads * draw(st.integers(1, 4)),
        tie_embeddings=draw(st.booleans()),
        feed_forward_size=draw(st.sampled_from([None, 0, 1, 40])),
        size_per_head=draw(st.sampled_from([0, 6])),
        positions=draw(st.sampled_from(["rope", "learned"])),
        norm=draw(st.sampled_from(["rms", "layer"])),
        activation=draw(st.sampled_from(["swiglu", "gelu"])),
        qk_norm=draw(st.booleans()),
        biases=draw(st.booleans()),
        window=draw(st.sampled_from([0, 3])),
    )


def numbers(model: LanguageModel, *words: str) -> int:
    """Parameters whose name holds one of the words."""
    return sum(parameter.numel() for name, parameter in model.named_parameters() if any(word in name for word in words))


@given(recurrent_configs() | transformer_configs(), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_every_part_is_counted_exactly(config: ModelConfig, vocabulary: int) -> None:
    with torch.device("meta"):
        model = build_model(config, vocabulary, 8)
    count = count_parameters(config, vocabulary, 8)
    assert count.total == sum(parameter.numel() for parameter in model.parameters())
    assert count.embedding == numbers(model, "embed_tokens", "embed_positions")
    assert count.head == numbers(model, "lm_head")
    assert count.attention == numbers(model, "_proj.") - numbers(model, "mlp")
    assert count.feed_forward == numbers(model, "mlp")
    assert count.norm == numbers(model, "norm")
    assert count.recurrent == numbers(model, "_l0")


def test_the_default_form_has_the_known_size() -> None:
    assert count_parameters(presets()["shakespeare-cpu"].config.model, 65, 64).total == 812_544


GPT2 = {"positions": "learned", "norm": "layer", "activation": "gelu", "qk_norm": False, "biases": True}
LLAMA = {"qk_norm": False, "tie_embeddings": False}
PUBLISHED: dict[str, tuple[int, int, int, dict[str, object]]] = {
    "GPT-2": (124_439_808, 50_257, 1024, {"num_layers": 12, "num_heads": 12, "hidden_size": 768, **GPT2}),
    "GPT-2 XL": (1_557_611_200, 50_257, 1024, {"num_layers": 48, "num_heads": 25, "hidden_size": 1600, **GPT2}),
    "Llama 7B": (
        6_738_415_616,
        32_000,
        2048,
        {"num_layers": 32, "num_heads": 32, "hidden_size": 4096, "feed_forward_size": 11_008, **LLAMA},
    ),
    "Qwen3 0.6B": (
        596_049_920,
        151_936,
        40_960,
        {
            "num_layers": 28,
            "num_heads": 16,
            "num_kv_heads": 8,
            "hidden_size": 1024,
            "size_per_head": 128,
            "feed_forward_size": 3072,
        },
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_models_have_their_published_size(name: str) -> None:
    total, vocabulary, context, values = PUBLISHED[name]
    assert count_parameters(TransformerConfig.model_validate(values), vocabulary, context).total == total


NETWORKS = [name for name, preset in presets().items() if preset.config.model.kind != "ngram"]


@pytest.mark.parametrize("name", NETWORKS)
def test_presets_are_counted_at_their_own_size(name: str) -> None:
    config = presets()[name].config
    with torch.device("meta"):
        model = build_model(config.model, 50_000, config.data.context_length)
    assert count_parameters(config.model, 50_000, config.data.context_length).total == sum(
        p.numel() for p in model.parameters()
    )


FLOP_FORMS: dict[str, ModelConfig] = {
    "rnn": RNNConfig(num_layers=2, hidden_size=8, embedding_size=6),
    "rnn-sigmoid": RNNConfig(num_layers=1, hidden_size=8, nonlinearity="sigmoid"),
    "gru": GRUConfig(num_layers=2, hidden_size=8),
    "mingru": MinGRUConfig(num_layers=2, hidden_size=8, embedding_size=6),
    "lstm": LSTMConfig(num_layers=2, hidden_size=8, tie_embeddings=True),
    "transformer": TransformerConfig(num_layers=2, num_heads=4, hidden_size=16),
    "transformer-grouped": TransformerConfig(num_layers=1, num_heads=4, num_kv_heads=2, hidden_size=16),
    "transformer-gpt2": TransformerConfig(
        num_layers=2,
        num_heads=2,
        hidden_size=16,
        activation="gelu",
        norm="layer",
        positions="learned",
        biases=True,
        qk_norm=False,
    ),
    "transformer-attention-only": TransformerConfig(num_layers=2, num_heads=2, hidden_size=16, feed_forward_size=0),
}


@pytest.mark.parametrize("config", FLOP_FORMS.values(), ids=FLOP_FORMS.keys())
def test_flops_equal_those_that_torch_counts(config: ModelConfig) -> None:
    """In float64 torch has no fused recurrent kernel, and with the plain attention no fused one: its counter sees each product."""
    vocabulary, rows, length = 11, 3, 12
    step = TrainStep(build_model(config, vocabulary, length).double())
    tokens = torch.zeros(rows, length, dtype=torch.int64)
    with FlopCounterMode(display=False) as forward, sdpa_kernel(SDPBackend.MATH):
        loss_sum = step(tokens, tokens).loss_sum
    assert forward.get_total_flops() == rows * length * forward_flops_per_token(config, vocabulary, length)
    with FlopCounterMode(display=False) as backward:
        loss_sum.backward()
    training = forward.get_total_flops() + backward.get_total_flops()
    # The first step of a recurrent backward is left to the tolerance.
    assert training == pytest.approx(rows * length * training_flops_per_token(config, vocabulary, length), rel=0.15)


def test_published_encoders_and_encoder_decoders_have_their_published_size() -> None:
    bert = count_parameters(encoder_presets()["bert"], 30_522, 512)
    assert bert.total - bert.head + 768 * 768 + 768 == 109_482_240  # without the head, with the pooler
    modernbert = count_parameters(encoder_presets()["modernbert"], 50_368, 8_192)
    assert modernbert.total - modernbert.head == 149_014_272
    assert count_parameters(encoder_decoder_form("t5").config, 32_128, 512).total == 60_506_624


@pytest.mark.parametrize("form", encoder_decoder_forms())
@pytest.mark.parametrize(("source", "target"), [(12, 7), (5, 12)])
def test_flops_of_an_encoder_decoder_equal_those_that_torch_counts(form: str, source: int, target: int) -> None:
    rows, vocabulary = 3, 11
    config = encoder_decoder_form(form).small.model_copy(update={"num_decoder_layers": 3})
    model = EncoderDecoder(config, vocabulary, 12)
    sources = torch.zeros(rows, source, dtype=torch.int64)
    targets = torch.zeros(rows, target, dtype=torch.int64)
    with FlopCounterMode(display=False) as counted, sdpa_kernel(SDPBackend.MATH):
        model.logits(model(targets, memory=model.encode(sources)).hidden_BTD)
    row = RowShape(1, read=source, scored=target, written=target)
    assert counted.get_total_flops() == rows * forward_flops_per_token(config, vocabulary, 12, row=row)


def test_ngrams_are_bounded_and_nothing_else_is() -> None:
    from llm_core.models.ngram import fit_ngrams

    tokens = torch.randint(5, (200,), generator=torch.Generator().manual_seed(0)).numpy()
    for order in (1, 2, 3, 5):
        bound = count_parameters(NgramConfig(order=order), 5, 8, train_tokens=200)
        assert bound.is_upper_bound
        assert fit_ngrams(tokens, order, 5).num_ngrams <= bound.total
        assert bound.total <= count_parameters(NgramConfig(order=order), 5, 8).total
    assert count_parameters(NgramConfig(order=2), 5, 8).total == 6 + 36
    assert not count_parameters(MinGRUConfig(), 5, 8).is_upper_bound
    assert training_flops_per_token(NgramConfig(), 5, 8) == 0


def test_inference_takes_the_weights_and_what_is_remembered() -> None:
    """A state of two rows against the tensors that the models themselves make."""
    for config in (*FLOP_FORMS.values(), encoder_decoder_form("t5").small):
        model = build_model(config, 11, 12) if not isinstance(config, EncoderDecoderConfig) else None
        if model is None:
            model = EncoderDecoder(config, 11, 12)
            state = model.initial_state(2, 12, memory=model.encode(torch.zeros(2, 12, dtype=torch.int64)))
            tensors = [state.target.keys_LBKSE[..., :-1, :], state.target.values_LBKSE[..., :-1, :]]
            tensors += [state.keys_LBHSE, state.values_LBHSE]
        elif model.is_recurrent:
            state = model.initial_state(2, 0)
            tensors = [state.hidden_LBU, *([] if state.cell_LBU is None else [state.cell_LBU])]
        else:
            state = model.initial_state(2, 12)
            tensors = [state.keys_LBKSE[..., :-1, :], state.values_LBKSE[..., :-1, :]]  # without the place for padding
        expected = sum(tensor.numel() for tensor in [*model.parameters(), *tensors])
        assert inference_memory_bytes(config, 11, 12, batch_size=2) == 4 * expected
    encoder = encoder_presets()["bert-small"]
    assert inference_memory_bytes(encoder, 11, 12, batch_size=2) == 4 * count_parameters(encoder, 11, 12).total


def test_a_row_says_what_is_scored() -> None:
    encoder = encoder_presets()["modernbert-small"]
    whole, few = whole_row(encoder, 64), RowShape(64, read=64, scored=10)
    spared = forward_flops_per_token(encoder, 500, 64, row=whole) - forward_flops_per_token(encoder, 500, 64, row=few)
    # 54 places of 64 are not scored: a product of 128 by 128 and one of 128 by 500 each.
    assert spared == 54 * 2 * 128 * (128 + 500) // 64


def test_counting_needs_no_torch() -> None:
    """Pages and the command line count without it."""
    code = "import sys, llm_core.models.counting, llm_core.models.families, llm_core.objectives.row_shape; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
