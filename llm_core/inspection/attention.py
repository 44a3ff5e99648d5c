"""Exact attention of a model that was trained with fused kernels, recomputed from what a tap receives.

A forward pass hands over the very queries and keys that the kernel got, after norm and rotation; softmax(scale · Q Kᵀ + bias) in float32
is then what the model did. Attention is where it looks, not why. Not here: what a head's pattern means (`head_scores.py`).

Axes: L layers, H heads, T positions, R chosen rows, B = 1 row of tokens, E head width, K key-value heads, S positions looked at.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from llm_core.config.errors import UserError
from llm_core.inspection.recording import record_part
from llm_core.models.interface import LanguageModel
from llm_core.models.tap import RecordedAttention


def attention_weights(
    model: LanguageModel,
    tokens: Sequence[int],
    *,
    source: Sequence[int] | None = None,
    part: str | None = None,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    rows: Sequence[int] | None = None,
) -> npt.NDArray[np.float32]:
    """Weights [L, H, R, S]: row = the token that looks, column = the token looked at. Each row sums to 1.

    All layers, heads and rows of a long text are many numbers (4 · L · H · T · S bytes); ask for what is shown.

    Args:
        tokens: one text, at most the context long; of an encoder-decoder what the decoder reads, its start token first.
        source: what the encoder of an encoder-decoder reads.
        part: which attention of an encoder-decoder: "encoder", "decoder" or "cross", which is taken when None.
        layers, heads, rows: which to compute, in this order; all when None.

    Raises:
        UserError: a recurrent model, an empty or too long text, a part, layer, head or row that there is not.
    """
    recorded = record_part(model, tokens, source=source, part=part)
    chosen_layers = _chosen("layer", layers, len(recorded.layers))
    chosen_heads = _chosen("head", heads, recorded.layers[0].q_BHTE.shape[1])
    chosen_rows = _chosen("row", rows, len(recorded.rows))
    with torch.inference_mode():
        maps = [weights_of(recorded.layers[layer], chosen_heads, chosen_rows)[0] for layer in chosen_layers]
        return torch.stack(maps).cpu().numpy()


def weights_of(recorded: RecordedAttention, heads: Sequence[int], rows: Sequence[int]) -> Tensor:
    """softmax(scale · q kᵀ + bias) over the keys allowed, float32 (B, H, R, S), for the given heads and queries."""
    heads_sharing = recorded.q_BHTE.shape[1] // recorded.k_BKSE.shape[1]
    q_BHRE = recorded.q_BHTE[:, list(heads)][:, :, list(rows)].float()
    k_BHSE = recorded.k_BKSE[:, [head // heads_sharing for head in heads]].float()
    scores_BHRS = recorded.scale * q_BHRE @ k_BHSE.transpose(-1, -2)
    if recorded.bias is not None:
        scores_BHRS = scores_BHRS + recorded.bias[:, list(heads)][:, :, list(rows)].float()
    if recorded.mask is not None:
        scores_BHRS = scores_BHRS.masked_fill(~recorded.mask[..., list(rows), :], float("-inf"))
    return scores_BHRS.softmax(-1)


def visible_places(recorded: RecordedAttention) -> npt.NDArray[np.bool_]:
    """Where a token may look at all, [T, S] of the first row: what lies before it, a window, everything."""
    shape = (recorded.q_BHTE.shape[2], recorded.k_BKSE.shape[2])
    if recorded.mask is None:
        return np.ones(shape, dtype=bool)
    return recorded.mask[0, 0].expand(shape).cpu().numpy()


def _chosen(kind: str, wanted: Sequence[int] | None, count: int) -> list[int]:
    for index in wanted or ():
        if not 0 <= index < count:
            raise UserError(f"There is no such {kind}", value=index, limit=f"0 to {count - 1}")
    return list(range(count)) if wanted is None else list(wanted)
