"""The causal loss against its definition."""

from __future__ import annotations

import math

import pytest
import torch

from llm_core.objectives.causal import cross_entropy_per_target, summed_cross_entropy

V = 7


@pytest.fixture
def logits() -> torch.Tensor:
    return 3 * torch.randn(2, 5, V, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def targets() -> torch.Tensor:
    return torch.randint(V, (2, 5), generator=torch.Generator().manual_seed(1))


def test_each_target_costs_minus_the_log_of_its_probability(logits: torch.Tensor, targets: torch.Tensor) -> None:
    losses = cross_entropy_per_target(logits, targets)
    for row in range(2):
        for position in range(5):
            scores = [math.exp(score) for score in logits[row, position].tolist()]
            expected = -math.log(scores[targets[row, position]] / sum(scores))
            assert losses[row, position].item() == pytest.approx(expected, abs=1e-12)
    torch.testing.assert_close(summed_cross_entropy(logits, targets), losses.sum(), atol=1e-12, rtol=0)


def test_the_gradient_is_softmax_minus_the_target(logits: torch.Tensor, targets: torch.Tensor) -> None:
    logits.requires_grad_()
    summed_cross_entropy(logits, targets).backward()
    expected = logits.softmax(-1) - torch.nn.functional.one_hot(targets, V)
    torch.testing.assert_close(logits.grad, expected.detach(), atol=1e-12, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_short_floats_are_summed_in_float32(logits: torch.Tensor, targets: torch.Tensor, dtype: torch.dtype) -> None:
    short = logits.to(dtype)
    expected = cross_entropy_per_target(short.double(), targets)
    for found in (summed_cross_entropy(short, targets), cross_entropy_per_target(short, targets).sum()):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), expected.sum(), atol=1e-5, rtol=0)


def test_chosen_positions_may_be_taken_alone(logits: torch.Tensor, targets: torch.Tensor) -> None:
    chosen = torch.tensor([[True, False, False, True, True], [False] * 5])
    alone = summed_cross_entropy(logits[chosen], targets[chosen])
    torch.testing.assert_close(alone, cross_entropy_per_target(logits, targets)[chosen].sum(), atol=1e-12, rtol=0)
