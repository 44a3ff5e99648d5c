"""How weights start: small enough that the first loss is that of pure chance, ln V.

With a logit matrix of standard deviation 0.02 the first loss exceeds ln V by more the wider the model is (measured: 0.033 nats
at width 128, 0.308 at 1,024), because the final norm gives the head vectors of length √width. Hence `embedding_std`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def embedding_std(width: int) -> float:
    """Standard deviation of the matrix that makes logits: 0.02, less for models wider than 156."""
    return min(0.02, 0.25 / math.sqrt(width))


def initialise(parameter: Tensor, std: float) -> None:
    """Draw from a normal distribution of mean 0, in place."""
    with torch.no_grad():
        parameter.normal_(mean=0.0, std=std)
