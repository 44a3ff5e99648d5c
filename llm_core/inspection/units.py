"""Hidden units and gates of a recurrent network over a text.

Axes: L layers, T positions, U units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from llm_core.config.errors import UserError
from llm_core.models.interface import LanguageModel
from llm_core.models.tap import RecordingTap

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class RecurrentUnits:
    """What every unit holds after each token."""

    states_LTU: Array
    """Hidden state; for an LSTM tanh of the cell, which is what the output gate lets through."""
    gates: dict[str, Array]
    """Gates as [L, T, U] by their usual letters; empty for a plain RNN."""
    order_LU: npt.NDArray[np.int64]
    """Units of each layer, the most varied over this text first."""


def recurrent_units(model: LanguageModel, tokens: Sequence[int]) -> RecurrentUnits:
    """States and gates from one pass over the text; raises UserError for a model that is not recurrent."""
    if not model.is_recurrent:
        raise UserError(
            "Only a recurrent network carries hidden units from token to token", remedy="Look at its attention"
        )
    tap = RecordingTap()
    tokens_1T = torch.tensor([list(tokens)], dtype=torch.int64, device=model.device)
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            model(tokens_1T, tap=tap)
    finally:
        model.train(was_training)
    layers = [tap.gate_values[layer] for layer in sorted(tap.gate_values)]
    states = [values["cell"].tanh() if "cell" in values else values["state"] for values in layers]
    states_LTU = torch.stack([state[0] for state in states]).float().cpu().numpy()
    gates = {
        name: torch.stack([values[name][0] for values in layers]).float().cpu().numpy()
        for name in layers[0]
        if name not in ("state", "cell")
    }
    order_LU = np.argsort(-states_LTU.var(axis=1), axis=-1, kind="stable")
    return RecurrentUnits(states_LTU, gates, order_LU)
