"""What training switches off in a recurrent network for a whole forward pass: units of a row, numbers of the recurrent matrix.

Locked dropout draws one mask for each row and keeps it at every step of time, so that what a unit holds is not wiped out at random on
the way (Gal and Ghahramani 2016); it stands at the inputs, between layers and at the output. Weight drop (DropConnect) does the same to
the matrix that carries the state on (Merity et al. 2018). Both are drawn from torch's generator and nowhere else, in a fixed order.
Not here: plain dropout, which is torch's own module (`rnn.py`).

Axes: B batch, T positions, D width of what is masked, U units, G gates · U.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RECURRENT_MATRIX = "weight_hh_l0"


@dataclass(frozen=True)
class ForwardMasks:
    """The random choices of one forward pass. Empty tuples where nothing is switched off."""

    units_B1D: tuple[Tensor, ...] = ()
    """0 or 1 / (1 - share): one mask before each layer and one after the last."""
    matrices_GU: tuple[Tensor, ...] = ()
    """The recurrent matrix of each layer with numbers switched off."""

    def lock(self, place: int, x_BTD: Tensor) -> Tensor:
        """The stream before layer `place`, its units switched off for the whole row."""
        return x_BTD * self.units_B1D[place].to(x_BTD.dtype) if self.units_B1D else x_BTD

    def run(
        self, index: int, layer: nn.Module, x_BTD: Tensor, state: Tensor | tuple[Tensor, Tensor]
    ) -> tuple[Tensor, ...]:
        """A layer's outputs and last state, with its thinned matrix where there is one."""
        if not self.matrices_GU:
            return layer(x_BTD, state)
        return torch.func.functional_call(layer, {RECURRENT_MATRIX: self.matrices_GU[index]}, (x_BTD, state))

    def select(self, rows: Tensor) -> ForwardMasks:
        """The masks of the given rows; the matrices are everybody's."""
        return ForwardMasks(tuple(mask.index_select(0, rows) for mask in self.units_B1D), self.matrices_GU)


def draw_masks(
    layers: nn.ModuleList, widths: Sequence[int], batch_size: int, *, locked_dropout: float, weight_drop: float
) -> ForwardMasks:
    """Masks for one forward pass in training; nothing is drawn for a share of 0.

    Args:
        widths: of the stream before each layer and after the last.
    """
    weight = next(layers.parameters())
    units: tuple[Tensor, ...] = ()
    if locked_dropout > 0:
        kept = 1 - locked_dropout
        units = tuple(weight.new_empty(batch_size, 1, width).bernoulli_(kept).div_(kept) for width in widths)
    matrices: tuple[Tensor, ...] = ()
    if weight_drop > 0:
        matrices = tuple(F.dropout(layer.get_parameter(RECURRENT_MATRIX), weight_drop) for layer in layers)
    return ForwardMasks(units, matrices)
