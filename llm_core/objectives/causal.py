"""The causal objective: each token is predicted from the ones before it.

Sums in float32, whatever the activations are; who wants a mean divides by the number of targets once, at the end.

Axes: any leading shape, V vocabulary last.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def summed_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Sum over all targets of -ln softmax(logits)[target], a scalar (float32; float64 for float64 logits)."""
    logits = logits.flatten(0, -2)
    if logits.dtype.itemsize < 4:
        logits = logits.float()
    return F.cross_entropy(logits, targets.flatten(), reduction="sum")


def cross_entropy_per_target(logits: Tensor, targets: Tensor) -> Tensor:
    """-ln softmax(logits)[target] for each target, in the targets' shape (float32; float64 for float64 logits)."""
    flat = logits.flatten(0, -2)
    if flat.dtype.itemsize < 4:
        flat = flat.float()
    return F.cross_entropy(flat, targets.flatten(), reduction="none").view(targets.shape)
