"""Exact attention of a model that was trained with fused kernels, recomputed from what a tap receives.

A forward pass hands over the very queries and keys that the kernel got, after norm and rotation; softmax(scale · Q Kᵀ) in float32 is then
what the model did. Attention is where it looks, not why. Not here: what a head's pattern means (`head_scores.py`).

Axes: L layers, H heads, T positions, B = 1 row, E head width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from llm_core.models.interface import LanguageModel
from llm_core.models.tap import RecordedAttention, RecordingTap


def attention_weights(
    model: LanguageModel,
    tokens: Sequence[int],
    *,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
) -> npt.NDArray[np.float32]:
    """Weights [L, H, T, T]: row = the token that looks, column = the token looked at. Each row sums to 1.

    Args:
        tokens: one text, at most the context long.
        layers, heads: which to compute; all when None.
    """
    tap = RecordingTap()
    tokens_1T = torch.tensor([list(tokens)], dtype=torch.int64, device=model.device)
    was_training = model.training
    model.eval()  # dropout would make rows that do not sum to 1
    try:
        with torch.inference_mode():
            model(tokens_1T, tap=tap)
    finally:
        model.train(was_training)
    chosen = sorted(tap.attentions) if layers is None else list(layers)
    maps = [weights_of(tap.attentions[layer])[0] for layer in chosen]
    stacked = torch.stack(maps)
    if heads is not None:
        stacked = stacked[:, list(heads)]
    return stacked.cpu().numpy()


def weights_of(recorded: RecordedAttention) -> Tensor:
    """softmax(scale · q kᵀ) over the keys allowed, float32 (B, H, T, S)."""
    q_BHTE, k_BKSE = recorded.q_BHTE.float(), recorded.k_BKSE.float()
    shared = q_BHTE.shape[1] // k_BKSE.shape[1]
    k_BHSE = k_BKSE.repeat_interleave(shared, dim=1)
    scores_BHTS = recorded.scale * q_BHTE @ k_BHSE.transpose(-1, -2)
    if recorded.mask is not None:
        scores_BHTS = scores_BHTS.masked_fill(~recorded.mask, float("-inf"))
    return scores_BHTS.softmax(-1)
