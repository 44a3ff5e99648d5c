"""Hidden units and gates of a recurrent network over a text.

Not here: what a unit stands for; a unit that follows brackets or line ends is found by looking.

Axes: L layers, T positions, U units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from llm_core.config.errors import UserError
from llm_core.inspection.recording import record
from llm_core.models.interface import LanguageModel

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class RecurrentUnits:
    """What every unit holds after each token."""

    states_LTU: Array
    """Hidden state; for an LSTM tanh of the cell, which is what the output gate lets through."""
    gates: dict[str, Array]
    """Gates as [L, T, U] by their usual letters: LSTM i, f, g, o; GRU r, z, n; minimal GRU z, n; none for a plain RNN."""
    order_LU: npt.NDArray[np.int64]
    """Units of each layer, the most varied over this text first."""


def recurrent_units(model: LanguageModel, tokens: Sequence[int]) -> RecurrentUnits:
    """States and gates from one pass over the text. Raises UserError for an empty text or a model that is not recurrent."""
    if not model.is_recurrent:
        raise UserError(
            "Only a recurrent network carries hidden units from token to token", remedy="Look at its attention"
        )
    recorded = record(model, tokens).gate_values
    layers = [recorded[layer] for layer in range(len(recorded))]
    stacked = {name: torch.stack([values[name][0] for values in layers]).float().cpu().numpy() for name in layers[0]}
    hidden_LTU, cell_LTU = stacked.pop("state"), stacked.pop("cell", None)
    states_LTU = hidden_LTU if cell_LTU is None else np.tanh(cell_LTU)
    order_LU = np.argsort(-states_LTU.var(axis=1), axis=-1, kind="stable")
    return RecurrentUnits(states_LTU, stacked, order_LU)
