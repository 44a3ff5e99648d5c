"""Closed forms against the modules themselves: parameters, floating-point operations, memory kept for the backward pass."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from llm_core.config.model import GRUConfig, LSTMConfig, ModelConfig, RNNConfig, TransformerConfig
from llm_core.config.presets import presets
from llm_core.models.counting import (
    count_parameters,
    forward_flops_per_token,
    training_flops_per_token,
)
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
    family = draw(st.sampled_from([RNNConfig, GRUConfig, LSTMConfig]))
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


@pytest.mark.parametrize("name", presets())
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


def test_counting_needs_no_torch() -> None:
    """Pages and the command line count without it."""
    code = "import sys, llm_core.models.counting, llm_core.models.families; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
