"""One layer of the minimal GRU (Feng et al. 2024): z_t = σ(W_z x_t + b_z), h_t = (1 - z_t) h_{t-1} + z_t (W_h x_t + b_h).

Neither gate nor content sees the old state, so all of them are one product, and what is left is the recurrence of `linear_scan.py`.
The call is that of torch's recurrent layers, and so are the names of the weights, so that the model around it needs no word about it.
Not here: that model (`rnn.py`), its gates over time (`rnn_replay.py`).

Axes: B batch, T positions, D input width, U units.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llm_core.models.linear_scan import linear_scan


class MinimalGRU(nn.Module):
    """Rows of the matrix: the gate z, then the content."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.weight_ih_l0 = nn.Parameter(torch.empty(2 * hidden_size, input_size))
        self.bias_ih_l0 = nn.Parameter(torch.empty(2 * hidden_size))

    def forward(self, x_BTD: Tensor, hidden_1BU: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (B, T, U) and the last state (1, B, U), in the state's own type: a sum over many steps is not for half precision."""
        projected = F.linear(x_BTD, self.weight_ih_l0, self.bias_ih_l0).to(hidden_1BU.dtype)
        gate_BTU, content_BTU = projected.chunk(2, dim=-1)
        # 1 - σ(x) as σ(-x), which keeps its digits where the gate is wide open.
        states_BTU = linear_scan(torch.sigmoid(-gate_BTU), torch.sigmoid(gate_BTU) * content_BTU, hidden_1BU[0])
        return states_BTU, states_BTU[:, -1][None]
