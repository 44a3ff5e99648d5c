"""h_t = a_t · h_{t-1} + b_t for all t, number by number: the recurrence of every network whose gates see the input alone.

Two forms with the same result. The loop takes T small steps and touches each number once; the parallel form takes log₂ T rounds over
the whole text, each joining every place with one before it. Neither divides by a product of decays, so nothing vanishes or overflows
where a plain cumulative product would (T = 2,048 is tested). Measured on two cores, forward and backward: at 32 rows of 64 steps and
256 units the loop takes 2.7 ms and the parallel form 6.5, at 4 rows of 2,048 steps and 512 units 34 ms and 107, because memory is
what limits a CPU. A GPU waits for its launches instead, so there the parallel form is used.
Not here: what a and b are (`minimal_gru.py`).

Axes: B batch, T positions, U units.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def scan_loop(decay_BTU: Tensor, written_BTU: Tensor, initial_BU: Tensor, *, from_end: bool = False) -> Tensor:
    """All states (B, T, U), one step after the other, from the last place to the first with `from_end`."""
    states_BTU = torch.empty_like(written_BTU)
    steps = list(zip(decay_BTU.unbind(1), written_BTU.unbind(1), states_BTU.unbind(1), strict=True))
    state_BU = initial_BU
    for decay_BU, written_BU, out_BU in reversed(steps) if from_end else steps:
        state_BU = torch.addcmul(written_BU, decay_BU, state_BU, out=out_BU)
    return states_BTU


def scan_parallel(decay_BTU: Tensor, written_BTU: Tensor, initial_BU: Tensor, *, from_end: bool = False) -> Tensor:
    """All states (B, T, U) in log₂ T rounds (Hillis and Steele 1986): each joins every place with the one `reach` before it."""
    if from_end:
        return scan_parallel(decay_BTU.flip(1), written_BTU.flip(1), initial_BU).flip(1)
    decay_BTU, states_BTU = decay_BTU.clone(), written_BTU.clone()
    states_BTU[:, :1].addcmul_(decay_BTU[:, :1], initial_BU[:, None])
    reach = 1
    while reach < decay_BTU.shape[1]:
        # The right sides are complete before anything is written: a place must not see what this round made of another.
        joined_BSU = torch.addcmul(states_BTU[:, reach:], decay_BTU[:, reach:], states_BTU[:, :-reach])
        decay_BTU[:, reach:] = decay_BTU[:, reach:] * decay_BTU[:, :-reach]
        states_BTU[:, reach:] = joined_BSU
        reach *= 2
    return states_BTU


def linear_scan(decay_BTU: Tensor, written_BTU: Tensor, initial_BU: Tensor) -> Tensor:
    """All states (B, T, U), differentiable in all three arguments, in the form that is quicker on their device."""
    states: Tensor = _LinearScan.apply(decay_BTU, written_BTU, initial_BU)
    return states


def _scan(decay_BTU: Tensor, written_BTU: Tensor, initial_BU: Tensor, *, from_end: bool = False) -> Tensor:
    form = scan_parallel if decay_BTU.is_cuda else scan_loop
    return form(decay_BTU, written_BTU, initial_BU, from_end=from_end)


class _LinearScan(torch.autograd.Function):
    """The scan with its own backward pass: the gradients of all states are a scan from the end, g_t = ∂h_t + a_{t+1} · g_{t+1}.

    Letting autograd follow the steps or rounds instead would keep a tensor of each.
    """

    @staticmethod
    def forward(decay_BTU: Tensor, written_BTU: Tensor, initial_BU: Tensor) -> Tensor:
        return _scan(decay_BTU, written_BTU, initial_BU)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        decay_BTU, _, initial_BU = inputs
        ctx.save_for_backward(decay_BTU, initial_BU, output)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        decay_BTU, initial_BU, states_BTU = ctx.saved_tensors
        own_BTU = grad_outputs[0]
        earlier_BSU = _scan(decay_BTU[:, 1:], own_BTU[:, :-1], own_BTU[:, -1], from_end=True)
        gradient_BTU = torch.cat((earlier_BSU, own_BTU[:, -1:]), dim=1)
        of_decay_BTU = torch.empty_like(decay_BTU)
        torch.mul(gradient_BTU[:, 0], initial_BU, out=of_decay_BTU[:, 0])
        torch.mul(gradient_BTU[:, 1:], states_BTU[:, :-1], out=of_decay_BTU[:, 1:])
        return of_decay_BTU, gradient_BTU, decay_BTU[:, 0] * gradient_BTU[:, 0]
