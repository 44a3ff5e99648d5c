"""The recurrent families against torch.nn, and their gates against the kernels' own output."""

from __future__ import annotations

import pytest
import torch

from llm_core.config.model import GRUConfig, LSTMConfig, RNNConfig
from llm_core.models.rnn import RecurrentModel
from llm_core.models.tap import RecordingTap

V, U = 13, 8
CONFIGS = {
    "tanh": RNNConfig(num_layers=2, hidden_size=U),
    "relu": RNNConfig(num_layers=2, hidden_size=U, nonlinearity="relu"),
    "sigmoid": RNNConfig(num_layers=2, hidden_size=U, nonlinearity="sigmoid"),
    "gru": GRUConfig(num_layers=2, hidden_size=U),
    "lstm": LSTMConfig(num_layers=2, hidden_size=U),
}


def build(name: str) -> RecurrentModel:
    torch.manual_seed(2)
    return RecurrentModel(CONFIGS[name], V, 32).double().eval()


@pytest.mark.parametrize("name", ["tanh", "relu", "gru", "lstm"])
def test_equal_to_torch_with_the_state_carried(name: str) -> None:
    model = build(name)
    kind = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM}.get(name, torch.nn.RNN)
    extra = {"nonlinearity": name} if kind is torch.nn.RNN else {}
    theirs = kind(U, U, num_layers=2, batch_first=True, **extra).double()
    theirs.load_state_dict(
        {
            f"{part[:-1]}{index}": tensor
            for index, layer in enumerate(model.layers)
            for part, tensor in layer.state_dict().items()
        }
    )
    tokens = torch.randint(V, (3, 15))
    state, their_state = None, None
    for piece in tokens.split(5, dim=1):
        output = model(piece, state=state)
        state = output.state
        expected, their_state = theirs(model.embed_tokens(piece), their_state)
        torch.testing.assert_close(output.hidden_BTD, expected, atol=1e-6, rtol=0)


def test_sigmoid_follows_the_formula() -> None:
    model = build("sigmoid")
    tokens = torch.randint(V, (1, 6))
    layer = model.layers[0]
    hidden = torch.zeros(U, dtype=torch.float64)
    tap = RecordingTap()
    model(tokens, tap=tap)
    for step, token in enumerate(tokens[0]):
        x = model.embed_tokens.weight[token]
        hidden = torch.sigmoid(
            layer.weight_hh_l0 @ hidden + layer.weight_ih_l0 @ x + layer.bias_ih_l0 + layer.bias_hh_l0
        )
        torch.testing.assert_close(tap.hiddens[0][0, step], hidden.detach(), atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", CONFIGS)
def test_replayed_gates_end_in_the_kernels_output(name: str) -> None:
    model = build(name)
    warm = model(torch.randint(V, (2, 4))).state
    tap = RecordingTap()
    output = model(torch.randint(V, (2, 9)), state=warm, tap=tap)
    for layer in range(2):
        torch.testing.assert_close(tap.gate_values[layer]["state"], tap.hiddens[layer], atol=1e-9, rtol=0)
    names = {"gru": {"state", "r", "z", "n"}, "lstm": {"state", "cell", "i", "f", "g", "o"}}.get(name, {"state"})
    assert set(tap.gate_values[0]) == names
    if name == "lstm":
        torch.testing.assert_close(
            tap.gate_values[1]["cell"][:, -1], output.state.cell_LBU[1].detach(), atol=1e-9, rtol=0
        )
