"""ONNX graphs in onnxruntime against the network: any batch and length, states carried, each family, again and again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from llm_core.config.model import GRUConfig, LSTMConfig, MinGRUConfig, RecurrentConfig, RNNConfig
from llm_core.models.onnx_export import export_onnx
from llm_core.models.rnn import RecurrentModel
from llm_core.models.state import RecurrentState

onnxruntime = pytest.importorskip("onnxruntime")
V = 23
CONFIGS = {
    "rnn tanh": RNNConfig(num_layers=2, hidden_size=12),
    "rnn relu": RNNConfig(num_layers=1, hidden_size=12, nonlinearity="relu"),
    "rnn sigmoid": RNNConfig(num_layers=2, hidden_size=12, nonlinearity="sigmoid"),
    "gru": GRUConfig(num_layers=2, hidden_size=12, embedding_size=7),
    "lstm": LSTMConfig(num_layers=3, hidden_size=12),
    "mingru": MinGRUConfig(num_layers=3, hidden_size=12, embedding_size=7),
    "mingru tied": MinGRUConfig(num_layers=1, hidden_size=12, tie_embeddings=True),
    "lstm tied, dropout": LSTMConfig(
        num_layers=1, hidden_size=12, tie_embeddings=True, dropout=0.5, weight_drop=0.5, locked_dropout=0.5
    ),
}


def wide(config: RecurrentConfig, seed: int) -> RecurrentModel:
    model = RecurrentModel(config, V, 64)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.empty_like(parameter).normal_(0.0, 0.25, generator=generator))
    return model.eval()


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", CONFIGS)
def test_onnxruntime_computes_the_same(name: str, seed: int, tmp_path: Path) -> None:
    model = wide(CONFIGS[name], seed)
    export_onnx(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for batch_size, length in ((1, 1), (3, 7), (2, 50)):
        tokens = torch.randint(V, (batch_size, length), generator=torch.Generator().manual_seed(length))
        state = model.initial_state(batch_size, 0)
        for piece in tokens.split(max(1, length // 2), dim=1):
            given = {"tokens": piece.numpy(), "hidden": state.hidden_LBU.numpy()}
            if state.cell_LBU is not None:
                given["cell"] = state.cell_LBU.numpy()
            logits, *states = session.run(None, given)
            with torch.no_grad():
                output = model(piece, state=state)
                expected = model.logits(output.hidden_BTD).numpy()
            assert isinstance(output.state, RecurrentState)
            state = output.state
            np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5)
            np.testing.assert_allclose(states[0], state.hidden_LBU.numpy(), rtol=0, atol=1e-5)
            if state.cell_LBU is not None:
                np.testing.assert_allclose(states[1], state.cell_LBU.numpy(), rtol=0, atol=1e-5)
