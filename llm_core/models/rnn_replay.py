"""Gates and states of a recurrent layer at every step, worked out again from its weights.

torch's fused kernels return only the outputs and the last state; looking inside needs every gate. The formulas are those of
torch.nn.RNN, GRU and LSTM, and the replayed state equals the kernel's output (a test holds it to 1e-6).
Not for training: it runs step by step.

Axes: B batch, T positions, D input width, U units, G gates · U.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llm_core.config.model import GRUConfig, LSTMConfig, RNNConfig


def replay_gates(
    config: RNNConfig | GRUConfig | LSTMConfig,
    layer: nn.Module,
    x_BTD: Tensor,
    hidden_BU: Tensor,
    cell_BU: Tensor | None,
) -> dict[str, Tensor]:
    """Each gate over time as (B, T, U): "state" always; LSTM "i", "f", "g", "o", "cell"; GRU "r", "z", "n"."""
    weights = dict(layer.named_parameters())
    projected_BTG = F.linear(x_BTD, weights["weight_ih_l0"], weights["bias_ih_l0"])
    steps: list[dict[str, Tensor]] = []
    for projected_BG in projected_BTG.unbind(1):
        recurrent_BG = F.linear(hidden_BU, weights["weight_hh_l0"], weights["bias_hh_l0"])
        if isinstance(config, LSTMConfig):
            assert cell_BU is not None
            step = _lstm_step(projected_BG + recurrent_BG, cell_BU)
            cell_BU = step["cell"]
        elif isinstance(config, GRUConfig):
            step = _gru_step(projected_BG, recurrent_BG, hidden_BU)
        else:
            step = {"state": _NONLINEARITIES[config.nonlinearity](projected_BG + recurrent_BG)}
        hidden_BU = step["state"]
        steps.append(step)
    return {name: torch.stack([step[name] for step in steps], dim=1) for name in steps[0]}


def _lstm_step(gates_BG: Tensor, cell_BU: Tensor) -> dict[str, Tensor]:
    i, f, g, o = gates_BG.chunk(4, dim=-1)
    i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
    cell_BU = f * cell_BU + i * g
    return {"i": i, "f": f, "g": g, "o": o, "cell": cell_BU, "state": o * cell_BU.tanh()}


def _gru_step(projected_BG: Tensor, recurrent_BG: Tensor, hidden_BU: Tensor) -> dict[str, Tensor]:
    x_r, x_z, x_n = projected_BG.chunk(3, dim=-1)
    h_r, h_z, h_n = recurrent_BG.chunk(3, dim=-1)
    r, z = (x_r + h_r).sigmoid(), (x_z + h_z).sigmoid()
    n = (x_n + r * h_n).tanh()
    return {"r": r, "z": z, "n": n, "state": (1 - z) * n + z * hidden_BU}


_NONLINEARITIES = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid}
