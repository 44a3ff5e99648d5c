"""The recurrent families against torch.nn, and their gates against the kernels' own output."""

from __future__ import annotations

import pytest
import torch

from llm_core.config.errors import UserError
from llm_core.config.model import GRUConfig, LSTMConfig, MinGRUConfig, RNNConfig
from llm_core.models.interface import Memory
from llm_core.models.rnn import RecurrentModel
from llm_core.models.tap import RecordingTap

V, U = 13, 8
CONFIGS = {
    "tanh": RNNConfig(num_layers=2, hidden_size=U),
    "relu": RNNConfig(num_layers=2, hidden_size=U, nonlinearity="relu"),
    "sigmoid": RNNConfig(num_layers=2, hidden_size=U, nonlinearity="sigmoid"),
    "gru": GRUConfig(num_layers=2, hidden_size=U),
    "lstm": LSTMConfig(num_layers=2, hidden_size=U),
    "mingru": MinGRUConfig(num_layers=2, hidden_size=U),
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
    names = {
        "gru": {"state", "r", "z", "n"},
        "lstm": {"state", "cell", "i", "f", "g", "o"},
        "mingru": {"state", "z", "n"},
    }.get(name, {"state"})
    assert set(tap.gate_values[0]) == names
    if name == "lstm":
        torch.testing.assert_close(
            tap.gate_values[1]["cell"][:, -1], output.state.cell_LBU[1].detach(), atol=1e-9, rtol=0
        )


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("side", ["left", "right", "scattered"])
def test_rows_of_unequal_length_read_as_if_alone(name: str, side: str) -> None:
    model = build(name)
    tokens, more = torch.randint(V, (4, 10)), torch.randint(V, (4, 3))
    padding = torch.zeros(4, 10, dtype=torch.bool)
    padding[1, {"left": [0, 1, 2, 3], "right": [6, 7, 8, 9], "scattered": [0, 3, 4, 9]}[side]] = True
    padding[2, 0 if side == "left" else 9] = True
    padding[3] = True
    warm = model(torch.randint(V, (4, 5))).state
    together = model(tokens, padding_BT=padding, state=warm)
    after = model(more, state=together.state)
    assert after.state.lengths_B.tolist() == [18, 14, 17, 8]
    for row in range(4):
        alone_state, real = warm.select(torch.tensor([row])), ~padding[row]
        if real.any():
            alone = model(tokens[row, real][None], state=alone_state)
            alone_state = alone.state
            torch.testing.assert_close(together.hidden_BTD[row, real], alone.hidden_BTD[0], atol=1e-12, rtol=0)
        expected = model(more[row : row + 1], state=alone_state).hidden_BTD[0]
        torch.testing.assert_close(after.hidden_BTD[row], expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", CONFIGS)
def test_documents_in_one_row_read_as_if_alone(name: str) -> None:
    model = build(name)
    tokens = torch.randint(V, (3, 10))
    documents = torch.tensor([[0] * 4 + [1] * 6, [7] * 10, [2] + [3] * 3 + [2] * 5 + [9]])
    whole = model(tokens, documents_BT=documents)
    for row, ends in enumerate(([4, 10], [10], [1, 4, 9, 10])):
        for start, end in zip([0, *ends], ends, strict=False):
            alone = model(tokens[row : row + 1, start:end])
            torch.testing.assert_close(whole.hidden_BTD[row, start:end], alone.hidden_BTD[0], atol=1e-12, rtol=0)
        torch.testing.assert_close(whole.state.hidden_LBU[:, row], alone.state.hidden_LBU[:, 0], atol=1e-12, rtol=0)
    assert whole.state.lengths_B.tolist() == [6, 10, 1]
    warm = model(torch.randint(V, (3, 4))).state
    gone_on = model(tokens, documents_BT=documents, state=warm).hidden_BTD
    expected = model(tokens[:, :1], state=warm).hidden_BTD
    torch.testing.assert_close(gone_on[:, :1], expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(gone_on[0, 4:], whole.hidden_BTD[0, 4:], atol=1e-12, rtol=0)


def test_gradients_pass_through_padded_rows() -> None:
    model = build("lstm")
    tokens = torch.randint(V, (2, 5))
    padding = torch.tensor([[False] * 5, [False, False, True, True, True]])
    model(tokens, padding_BT=padding).hidden_BTD[~padding].sum().backward()
    together = [parameter.grad.clone() for parameter in model.layers.parameters()]
    model.zero_grad()
    (model(tokens[:1]).hidden_BTD.sum() + model(tokens[1:, :2]).hidden_BTD.sum()).backward()
    for found, parameter in zip(together, model.layers.parameters(), strict=True):
        torch.testing.assert_close(found, parameter.grad, atol=1e-12, rtol=0)


def test_an_lstm_starts_with_open_forget_gates() -> None:
    model = build("lstm")
    for layer in model.layers:
        assert torch.equal(layer.bias_ih_l0[U : 2 * U], torch.ones(U, dtype=torch.float64))


def test_a_recurrent_network_has_no_longest_text() -> None:
    model = build("gru")
    assert model(torch.randint(V, (1, 100))).hidden_BTD.shape == (1, 100, U)


def test_what_needs_another_family_is_refused() -> None:
    model = build("lstm")
    zeros = torch.zeros(1, 4, dtype=torch.int64)
    with pytest.raises(UserError, match="fill their rows"):
        model(zeros, documents_BT=zeros, padding_BT=zeros.bool())
    with pytest.raises(UserError, match="no source text"):
        model(zeros, memory=Memory(torch.zeros(1, 2, U), None))
    with pytest.raises(UserError, match="only its last state"):
        model(zeros).state.truncate(torch.tensor([2]))
