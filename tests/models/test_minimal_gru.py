"""The minimal GRU: its scan against its loop, against a formula written out, over long texts; its gates; half precision."""

from __future__ import annotations

import math

import pytest
import torch

from llm_core.config.model import MinGRUConfig
from llm_core.models.linear_scan import linear_scan, scan_loop, scan_parallel
from llm_core.models.registry import build_model
from llm_core.models.rnn import RecurrentModel
from llm_core.models.tap import RecordingTap
from llm_core.objectives.train_step import TrainStep

V, U = 13, 8


def build(**settings: object) -> RecurrentModel:
    torch.manual_seed(2)
    return RecurrentModel(MinGRUConfig(hidden_size=U, num_layers=2, **settings), V, 32).double().eval()


def recurrence(length: int, low: float, high: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(length)
    decay = torch.empty(2, length, 3, dtype=torch.float64).uniform_(low, high, generator=generator)
    written = torch.randn(2, length, 3, dtype=torch.float64, generator=generator)
    return decay, written, torch.randn(2, 3, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("length", [1, 2, 3, 8, 13, 100, 2048])
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.0, 1e-6), (1 - 1e-6, 1.0)], ids=["any", "forgets", "keeps"])
def test_the_parallel_scan_equals_the_loop(length: int, low: float, high: float) -> None:
    decay, written, initial = recurrence(length, low, high)
    looped = scan_loop(decay, written, initial)
    assert torch.isfinite(looped).all()
    torch.testing.assert_close(scan_parallel(decay, written, initial), looped, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("scan", [scan_loop, scan_parallel])
def test_a_long_text_loses_nothing_in_single_precision(scan: object) -> None:
    """2,048 steps, where the product of all decays is 0 to float32: each state is as exact as if nothing stood before it."""
    decay, written, initial = recurrence(2048, 0.0, 1.0)
    exact = scan_loop(decay, written, initial)
    found = scan(decay.float(), written.float(), initial.float())
    torch.testing.assert_close(found.double(), exact, atol=1e-5, rtol=1e-5)


def test_its_gradients_are_those_of_the_formula() -> None:
    arguments = [tensor.requires_grad_() for tensor in recurrence(6, 0.0, 1.0)]
    assert torch.autograd.gradcheck(linear_scan, arguments)
    looped = torch.autograd.grad(linear_scan(*arguments).square().sum(), arguments)
    # The same through autograd itself, step by step.
    decay, written, state = arguments
    states = []
    for step in range(6):
        state = decay[:, step] * state + written[:, step]
        states.append(state)
    expected = torch.autograd.grad(torch.stack(states, 1).square().sum(), arguments)
    for found, gradient in zip(looped, expected, strict=True):
        torch.testing.assert_close(found, gradient, atol=1e-10, rtol=1e-10)


def test_layers_follow_the_formula_with_the_state_carried() -> None:
    model = build()
    tokens = torch.randint(V, (3, 15))
    states = [torch.zeros(3, U, dtype=torch.float64) for _ in range(2)]
    state = None
    for piece in tokens.split(5, dim=1):
        output = model(piece, state=state)
        state = output.state
        for step in range(5):
            x = model.embed_tokens(piece[:, step])
            for index, layer in enumerate(model.layers):
                gate, content = (x @ layer.weight_ih_l0.T + layer.bias_ih_l0).chunk(2, -1)
                z = 1 / (1 + torch.exp(-gate))
                states[index] = x = (1 - z) * states[index] + z * content
            torch.testing.assert_close(output.hidden_BTD[:, step], x, atol=1e-10, rtol=0)
    torch.testing.assert_close(state.hidden_LBU, torch.stack(states), atol=1e-10, rtol=0)


def test_a_text_of_2048_tokens_is_read_at_once_as_token_by_token() -> None:
    model = build().float()
    tokens = torch.randint(V, (1, 2048))
    with torch.no_grad():
        whole = model.logits(model(tokens).hidden_BTD)
        state, logits = None, []
        for token in tokens.split(1, dim=1):
            output = model(token, state=state)
            state = output.state
            logits.append(model.logits(output.hidden_BTD))
    torch.testing.assert_close(torch.cat(logits, dim=1), whole, atol=1e-5, rtol=0)


def test_what_is_looked_at_is_what_the_layer_computes() -> None:
    model = build()
    warm = model(torch.randint(V, (2, 4))).state
    tap = RecordingTap()
    model(torch.randint(V, (2, 9)), state=warm, tap=tap)
    for layer in range(2):
        assert set(tap.gate_values[layer]) == {"state", "z", "n"}
        torch.testing.assert_close(tap.gate_values[layer]["state"], tap.hiddens[layer], atol=1e-9, rtol=0)
        assert ((tap.gate_values[layer]["z"] > 0) & (tap.gate_values[layer]["z"] < 1)).all()


def test_half_precision_keeps_the_state_in_full() -> None:
    model = build().float()
    tokens = torch.randint(V, (2, 200))
    exact = model.logits(model(tokens).hidden_BTD)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(tokens)
        near = model.logits(output.hidden_BTD)
    assert output.state.hidden_LBU.dtype == torch.float32
    torch.testing.assert_close(near.float(), exact, atol=0.05, rtol=0.05)


def test_the_first_loss_is_that_of_chance() -> None:
    torch.manual_seed(1)
    step = TrainStep(build_model(MinGRUConfig(num_layers=3, hidden_size=256), 500, 64))
    tokens = torch.randint(500, (4, 65))
    loss_sum, count, _ = step(tokens[:, :-1], tokens[:, 1:])
    assert loss_sum.item() / int(count) == pytest.approx(math.log(500), abs=0.05)
