"""Every head of a model at a glance and one layer exactly, layer by layer so that memory holds one layer's maps at a time.

Not here: drawing (`llm_core.figures.attention`), what the scores mean (`head_scores.py`).

Axes: L layers, H heads, T tokens, S ≤ T places of a thumbnail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from llm_core.config.errors import UserError
from llm_core.inspection.attention import weights_of
from llm_core.inspection.head_scores import HeadScore, head_scores
from llm_core.inspection.recording import record
from llm_core.models.interface import LanguageModel

THUMBNAIL_TOKENS = 48

Weights = npt.NDArray[np.float32]


@dataclass(frozen=True)
class AttentionOverview:
    """What one text shows of all heads."""

    thumbnails_LHSS: Weights
    """The maps, each brought to at most `THUMBNAIL_TOKENS` places a side."""
    layer_HTT: Weights
    """The chosen layer's maps exactly."""
    scores: dict[str, HeadScore]
    """Measures of all heads, [L, H] each."""


def attention_overview(model: LanguageModel, tokens: Sequence[int], layer: int) -> AttentionOverview:
    """All heads small, those of `layer` exactly. Raises UserError for a recurrent model or a layer that there is not."""
    if model.is_recurrent:
        raise UserError("A recurrent network has no attention", remedy="Look at its influence map and its units")
    recorded = record(model, tokens).attentions
    if not 0 <= layer < len(recorded):
        raise UserError("There is no such layer", value=layer, limit=f"0 to {len(recorded) - 1}")
    thumbnails: list[Weights] = []
    scores: list[dict[str, HeadScore]] = []
    chosen_HTT: Weights | None = None
    for index in range(len(recorded)):
        heads = range(recorded[index].q_BHTE.shape[1])
        with torch.inference_mode():
            weights_HTT: Weights = weights_of(recorded[index], heads, range(len(tokens)))[0].cpu().numpy()
        thumbnails.append(pooled(weights_HTT, THUMBNAIL_TOKENS))
        scores.append(head_scores(weights_HTT[None], tokens))
        if index == layer:
            chosen_HTT = weights_HTT
    assert chosen_HTT is not None
    joined = {
        name: replace(score, values_LH=np.concatenate([of_layer[name].values_LH for of_layer in scores]))
        for name, score in scores[0].items()
    }
    return AttentionOverview(np.stack(thumbnails), chosen_HTT, joined)


def pooled(weights: Weights, longest: int) -> Weights:
    """The last two axes brought to at most `longest` by taking the largest of each block: a mean would hide stripes."""
    length = weights.shape[-1]
    if length <= longest:
        return weights
    block = -(-length // longest)
    padding = -length % block
    padded = np.pad(weights, [(0, 0)] * (weights.ndim - 2) + [(0, padding), (0, padding)])
    side = padded.shape[-1] // block
    return padded.reshape(*weights.shape[:-2], side, block, side, block).max(axis=(-3, -1))
