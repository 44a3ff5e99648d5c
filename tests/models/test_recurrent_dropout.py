"""What training switches off in recurrent networks: for how long, how much, from which random stream, and that 0 is nothing."""

from __future__ import annotations

import pytest
import torch

from llm_core.config.model import GRUConfig, LSTMConfig, MinGRUConfig, ModelConfig, RNNConfig
from llm_core.models.recurrent_dropout import draw_masks
from llm_core.models.rnn import RecurrentModel
from llm_core.models.tap import RecordingTap

V, U = 13, 16
FAMILIES: dict[str, type[RNNConfig] | type[GRUConfig] | type[LSTMConfig] | type[MinGRUConfig]] = {
    "rnn": RNNConfig,
    "gru": GRUConfig,
    "lstm": LSTMConfig,
    "mingru": MinGRUConfig,
}
families = pytest.mark.parametrize("family", FAMILIES)
with_matrix = pytest.mark.parametrize("family", ["rnn", "gru", "lstm", "sigmoid"])


def config_of(family: str, **settings: object) -> ModelConfig:
    if family == "sigmoid":
        return RNNConfig(num_layers=2, hidden_size=U, nonlinearity="sigmoid", **settings)
    return FAMILIES[family](num_layers=2, hidden_size=U, **settings)


def build(family: str, **settings: object) -> RecurrentModel:
    torch.manual_seed(2)
    return RecurrentModel(config_of(family, **settings), V, 32).double().train()


def is_off(x_BTU: torch.Tensor) -> torch.Tensor:
    return x_BTU == 0


@families
def test_a_locked_mask_stays_over_the_row_and_differs_between_rows(family: str) -> None:
    model = build(family, locked_dropout=0.5)
    tokens = torch.randint(V, (4, 12))
    tap = RecordingTap()
    output = model(tokens, tap=tap)
    # At the inputs and at the output; between layers the same call is made, which the count of masks below holds.
    for stream in (tap.hiddens[-1], output.hidden_BTD):
        off = is_off(stream)
        assert (off == off[:, :1]).all()
        assert 0 < off[:, 0].double().mean() < 1
        assert not (off[0, 0] == off[1, 0]).all()
    first, second = model(tokens).hidden_BTD, model(tokens).hidden_BTD
    assert not torch.equal(is_off(first), is_off(second)), "a new mask for each forward pass"


def test_there_is_a_mask_at_the_inputs_between_layers_and_at_the_output() -> None:
    layers = build("lstm").layers
    masks = draw_masks(layers, [5, U, U], 3, locked_dropout=0.25, weight_drop=0.0)
    assert [tuple(mask.shape) for mask in masks.units_B1D] == [(3, 1, 5), (3, 1, U), (3, 1, U)]
    many = draw_masks(layers, [U], 20_000, locked_dropout=0.25, weight_drop=0.0).units_B1D[0]
    assert set(many.unique().tolist()) == {0.0, 1 / 0.75}
    assert many.mean().item() == pytest.approx(1.0, abs=0.01), "the expectation stays"


def test_weight_drop_keeps_the_expectation_of_the_matrix() -> None:
    model = build("gru")
    matrix = model.layers[0].weight_hh_l0
    drawn = [draw_masks(model.layers, [], 1, locked_dropout=0, weight_drop=0.4).matrices_GU[0] for _ in range(4000)]
    off = torch.stack([is_off(found).double() for found in drawn])
    assert off.mean().item() == pytest.approx(0.4, abs=0.01)
    # Each number is off with standard error 0.008, so its mean lies within 5 of those, 0.065 of itself.
    torch.testing.assert_close(torch.stack(drawn).mean(0), matrix, atol=0, rtol=0.07)


@with_matrix
def test_weight_drop_thins_the_recurrent_matrix_alone_for_the_whole_pass(family: str) -> None:
    model = build(family, weight_drop=0.5)
    tokens = torch.randint(V, (3, 9))
    seed = torch.get_rng_state()
    found = model(tokens).hidden_BTD
    torch.set_rng_state(seed)
    thinned = [torch.nn.functional.dropout(layer.weight_hh_l0, 0.5) for layer in model.layers]
    assert all(is_off(matrix).any() for matrix in thinned)
    with torch.no_grad():
        for layer, matrix in zip(model.layers, thinned, strict=True):
            layer.weight_hh_l0.copy_(matrix)
    torch.testing.assert_close(found, model.eval()(tokens).hidden_BTD, atol=1e-12, rtol=0)


@with_matrix
def test_weights_that_were_off_get_no_gradient_and_the_others_do(family: str) -> None:
    model = build(family, weight_drop=0.5, locked_dropout=0.3)
    state = torch.get_rng_state()
    model(torch.randint(V, (3, 9))).hidden_BTD.square().sum().backward()
    torch.set_rng_state(state)
    torch.randint(V, (3, 9))
    masks = draw_masks(model.layers, [U, U, U], 3, locked_dropout=0.3, weight_drop=0.5)
    for layer, matrix in zip(model.layers, masks.matrices_GU, strict=True):
        assert (layer.weight_hh_l0.grad[is_off(matrix)] == 0).all()
        assert (layer.weight_hh_l0.grad != 0).any()
    assert all(parameter.grad is not None for name, parameter in model.named_parameters() if "lm_head" not in name)


@families
def test_evaluation_switches_nothing_off_and_draws_nothing(family: str) -> None:
    more = {} if family == "mingru" else {"weight_drop": 0.5}
    plain, dropping = build(family).eval(), build(family, locked_dropout=0.5, **more).eval()
    tokens = torch.randint(V, (3, 9))
    before = torch.get_rng_state()
    assert torch.equal(plain(tokens).hidden_BTD, dropping(tokens).hidden_BTD)
    assert torch.equal(torch.get_rng_state(), before)


@families
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_zero_draws_nothing_and_changes_nothing(family: str, dropout: float) -> None:
    """In training too: only torch's own dropout draws, so runs of before these settings stay what they were."""
    model = build(family, dropout=dropout)
    tokens = torch.randint(V, (3, 9))
    torch.manual_seed(5)
    found = model(tokens).hidden_BTD
    after = torch.get_rng_state()
    torch.manual_seed(5)
    x = model.dropout(model.embed_tokens(tokens))
    state = model.initial_state(3, 0)
    for index, layer in enumerate(model.layers):
        hidden = state.hidden_LBU[index : index + 1]
        x = layer(x, hidden if state.cell_LBU is None else (hidden, state.cell_LBU[index : index + 1]))[0]
        x = model.dropout(x)
    assert torch.equal(found, x)
    assert torch.equal(torch.get_rng_state(), after)


@families
def test_rows_of_unequal_length_keep_one_mask(family: str) -> None:
    """They are read in several pieces, and the masks are those of the whole pass."""
    more = {} if family == "mingru" else {"weight_drop": 0.5}
    model = build(family, locked_dropout=0.5, **more)
    tokens = torch.randint(V, (3, 9))
    padding = torch.zeros(3, 9, dtype=torch.bool)
    padding[1, 5:] = True
    padding[2, :2] = True
    torch.manual_seed(7)
    whole = model(tokens).hidden_BTD
    torch.manual_seed(7)
    padded = model(tokens, padding_BT=padding).hidden_BTD
    torch.testing.assert_close(padded[0], whole[0], atol=1e-12, rtol=0)
    torch.testing.assert_close(padded[1, :5], whole[1, :5], atol=1e-12, rtol=0)
    torch.manual_seed(7)
    together = model(tokens, documents_BT=torch.tensor([[0] * 9, [0] * 4 + [1] * 5, [0] * 9])).hidden_BTD
    torch.testing.assert_close(together[[0, 2]], whole[[0, 2]], atol=1e-12, rtol=0)
    off = is_off(together)
    assert (off == off[:, :1]).all()
