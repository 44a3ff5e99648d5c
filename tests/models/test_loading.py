"""Weights out to a file and back, and the refusal of every file that does not fit."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from llm_core.config.data import DataConfig
from llm_core.config.errors import UserError
from llm_core.config.model import GRUConfig, LSTMConfig, ModelConfig, RNNConfig, TransformerConfig
from llm_core.config.run import RunConfig
from llm_core.models.loading import WEIGHTS_FILE, load_checkpoint_model, load_weights, save_weights
from llm_core.models.registry import build_model
from llm_core.text.tokenizers import ByteTokenizer

FAMILIES: dict[str, ModelConfig] = {
    "rnn": RNNConfig(num_layers=2, hidden_size=6),
    "rnn-sigmoid": RNNConfig(hidden_size=6, nonlinearity="sigmoid"),
    "gru": GRUConfig(num_layers=2, hidden_size=6, tie_embeddings=True),
    "lstm": LSTMConfig(num_layers=2, hidden_size=6, embedding_size=4),
    "transformer": TransformerConfig(num_layers=2, num_heads=2, hidden_size=8),
    "transformer-untied": TransformerConfig(num_layers=1, num_heads=2, hidden_size=8, tie_embeddings=False),
}
SMALL = FAMILIES["transformer"]


@pytest.mark.parametrize("config", FAMILIES.values(), ids=FAMILIES.keys())
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_checkpoint_comes_back_as_the_same_model(config: ModelConfig, dtype: torch.dtype, tmp_path: Path) -> None:
    tokenizer = ByteTokenizer()
    run = RunConfig(model=config, data=DataConfig(context_length=16))
    model = build_model(config, tokenizer.vocabulary_size, 16).eval()
    save_weights(model, tmp_path / WEIGHTS_FILE)
    (tmp_path / "config.json").write_text(run.model_dump_json())
    (tmp_path / "tokenizer.json").write_text(tokenizer.to_json())
    before = torch.get_rng_state()
    loaded = load_checkpoint_model(tmp_path, dtype=dtype)
    assert torch.equal(torch.get_rng_state(), before), "loading draws no random numbers"
    assert loaded.config == run
    assert not loaded.model.training
    assert loaded.model.dtype == dtype
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    tokens = torch.arange(8)[None]
    expected = model.to(dtype)(tokens).hidden_BTD
    assert torch.equal(loaded.model(tokens).hidden_BTD, expected)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / WEIGHTS_FILE
    save_weights(build_model(SMALL, 7, 16), path)
    return path


def change(path: Path, **tensors: torch.Tensor | None) -> None:
    held = load_file(path)
    for name, tensor in tensors.items():
        name = name.replace("__", ".")
        if tensor is None:
            del held[name]
        else:
            held[name] = tensor
    save_file(held, path)


def test_a_missing_tensor_is_named(weights: Path) -> None:
    change(weights, norm__weight=None)
    with pytest.raises(UserError, match=r"lacks a tensor.*norm\.weight"):
        load_weights(build_model(SMALL, 7, 16), weights)


def test_an_unknown_tensor_is_named(weights: Path) -> None:
    change(weights, lm_head__bias=torch.zeros(7))
    with pytest.raises(UserError, match=r"no place for.*lm_head\.bias"):
        load_weights(build_model(SMALL, 7, 16), weights)


def test_a_wrong_shape_is_named_and_nothing_is_changed(weights: Path) -> None:
    change(weights, norm__weight=torch.zeros(9))
    model = build_model(SMALL, 7, 16)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(UserError, match=r"norm\.weight has another shape.*\(9,\).*\(8,\)"):
        load_weights(model, weights)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("content", ["pickle", "empty", "cut", "json"])
def test_what_is_no_safetensors_file_is_refused(weights: Path, content: str) -> None:
    held = weights.read_bytes()
    bad = {
        "pickle": pickle.dumps({"norm.weight": [1.0]}),
        "empty": b"",
        "cut": held[: len(held) // 2],
        "json": json.dumps({"a": 1}).encode(),
    }
    weights.write_bytes(bad[content])
    with pytest.raises(UserError, match="cannot be read"):
        load_weights(build_model(SMALL, 7, 16), weights)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        load_weights(build_model(SMALL, 7, 16), tmp_path / "model.safetensors")
