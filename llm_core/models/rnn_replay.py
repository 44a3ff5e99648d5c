"""Gates and states of a recurrent layer at every step, worked out again from its weights.

torch's fused kernels return only the outputs and the last state; looking inside needs every gate. The formulas are those of
torch.nn.RNN, GRU and LSTM and of the minimal GRU, and the replayed state equals the layer's output (a test holds it to 1e-9).
Not for training: it runs step by step.

Axes: B batch, T positions, D input width, U units, G gates · U.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llm_core.config.recurrent import GRUConfig, LSTMConfig, MinGRUConfig, RecurrentConfig


def replay_gates(
    config: RecurrentConfig,
    layer: nn.Module,
    x_BTD: Tensor,
    hidden_BU: Tensor,
    cell_BU: Tensor | None,
) -> dict[str, Tensor]:
    """Each gate over time as (B, T, U): "state" always; LSTM "i", "f", "g", "o", "cell"; GRU "r", "z", "n"; minimal GRU "z", "n"."""
    weights = dict(layer.named_parameters())
    projected_BTG = F.linear(x_BTD, weights["weight_ih_l0"], weights["bias_ih_l0"])
    steps: list[dict[str, Tensor]] = []
    for projected_BG in projected_BTG.unbind(1):
        step = _step(config, weights, projected_BG, hidden_BU, cell_BU)
        hidden_BU, cell_BU = step["state"], step.get("cell")
        steps.append(step)
    return {name: torch.stack([step[name] for step in steps], dim=1) for name in steps[0]}


def _step(
    config: RecurrentConfig,
    weights: Mapping[str, Tensor],
    projected_BG: Tensor,
    hidden_BU: Tensor,
    cell_BU: Tensor | None,
) -> dict[str, Tensor]:
    if isinstance(config, MinGRUConfig):
        return _minimal_gru_step(projected_BG, hidden_BU)
    recurrent_BG = F.linear(hidden_BU, weights["weight_hh_l0"], weights["bias_hh_l0"])
    if isinstance(config, LSTMConfig):
        assert cell_BU is not None
        return _lstm_step(projected_BG + recurrent_BG, cell_BU)
    if isinstance(config, GRUConfig):
        return _gru_step(projected_BG, recurrent_BG, hidden_BU)
    return {"state": _NONLINEARITIES[config.nonlinearity](projected_BG + recurrent_BG)}


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


def _minimal_gru_step(projected_BG: Tensor, hidden_BU: Tensor) -> dict[str, Tensor]:
    gate, n = projected_BG.chunk(2, dim=-1)
    z = gate.sigmoid()
    return {"z": z, "n": n, "state": (1 - z) * hidden_BU + z * n}


_NONLINEARITIES = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid}
