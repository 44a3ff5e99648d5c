"""TrainStep: sums that add up, states that carry, a graph that a compiler sees whole."""

from __future__ import annotations

import pytest
import torch

from llm_core.config.model import GRUConfig, LSTMConfig, ModelConfig, RNNConfig, TransformerConfig
from llm_core.models.registry import build_model
from llm_core.objectives.train_step import TrainStep

V = 13
FAMILIES: dict[str, ModelConfig] = {
    "rnn": RNNConfig(num_layers=2, hidden_size=8),
    "gru": GRUConfig(num_layers=2, hidden_size=8),
    "lstm": LSTMConfig(num_layers=2, hidden_size=8),
    "transformer": TransformerConfig(num_layers=2, num_heads=2, hidden_size=16),
}
families = pytest.mark.parametrize("config", FAMILIES.values(), ids=FAMILIES.keys())


def step_of(config: ModelConfig, dtype: torch.dtype = torch.float64) -> TrainStep:
    torch.manual_seed(0)
    return TrainStep(build_model(config, V, 12).to(dtype))


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randint(V, (4, 13), generator=torch.Generator().manual_seed(2))


def gradients(step: TrainStep) -> dict[str, torch.Tensor]:
    return {name: parameter.grad.clone() for name, parameter in step.named_parameters() if parameter.grad is not None}


@families
def test_accumulated_pieces_equal_one_large_batch(config: ModelConfig, tokens: torch.Tensor) -> None:
    step = step_of(config)
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    whole, count, _ = step(inputs, targets)
    assert count == 48
    (whole / count).backward()
    expected = gradients(step)
    step.zero_grad()
    total = 0.0
    for rows in ([0], [1, 2, 3]):  # unequal pieces, so that a mean of means would differ
        piece, piece_count, _ = step(inputs[rows], targets[rows])
        assert piece_count == 12 * len(rows)
        (piece / count).backward()
        total += piece.item()
    assert total == pytest.approx(whole.item(), abs=1e-6)
    for name, gradient in gradients(step).items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_a_carried_detached_state_gives_the_losses_of_one_long_pass(kind: str, tokens: torch.Tensor) -> None:
    step = step_of(FAMILIES[kind])
    whole = step(tokens[:, :-1], tokens[:, 1:]).loss_sum
    state, total = None, 0.0
    for start in (0, 4, 8):
        output = step(tokens[:, start : start + 4], tokens[:, start + 1 : start + 5], state)
        output.loss_sum.backward()  # would fail in the second piece if the graph of the first were still attached
        state, total = output.state.detach(), total + output.loss_sum.item()
        assert not state.hidden_LBU.requires_grad
    assert total == pytest.approx(whole.item(), abs=1e-9)
    assert state.lengths_B.tolist() == [12] * 4


@families
def test_the_loss_is_float32_under_bfloat16(config: ModelConfig, tokens: torch.Tensor) -> None:
    step = step_of(config, torch.float32)
    exact = step(tokens[:, :-1], tokens[:, 1:]).loss_sum
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = step(tokens[:, :-1], tokens[:, 1:])
    assert output.loss_sum.dtype == torch.float32
    torch.testing.assert_close(output.loss_sum, exact, atol=0.0, rtol=5e-3)
    output.loss_sum.backward()
    assert all(parameter.grad.dtype == torch.float32 for parameter in step.parameters())


@pytest.mark.parametrize("packed", [False, True])
def test_a_compiler_sees_one_whole_graph(packed: bool, tokens: torch.Tensor) -> None:
    """`fullgraph` raises at the first thing that cannot be traced, such as a branch on the values of a tensor."""
    step = step_of(FAMILIES["transformer"], torch.float32)
    torch.compiler.reset()
    if packed:
        documents = (torch.arange(12)[None] // 5).expand(4, -1)
        compiled = torch.compile(step.model, backend="aot_eager", fullgraph=True, dynamic=False)
        found = compiled(tokens[:, :-1], documents_BT=documents).hidden_BTD
        expected = step.model(tokens[:, :-1], documents_BT=documents).hidden_BTD
    else:
        compiled = torch.compile(step, backend="aot_eager", fullgraph=True, dynamic=False)
        found = compiled(tokens[:, :-1], tokens[:, 1:]).loss_sum
        expected = step(tokens[:, :-1], tokens[:, 1:]).loss_sum
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-5)
    found.sum().backward()
