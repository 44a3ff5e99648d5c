"""Every head of a model at a glance and one layer exactly, layer by layer so that memory holds one layer's maps at a time.

Not here: drawing (`llm_core.figures.attention`), what the scores mean (`head_scores.py`).

Axes: L layers, H heads, T tokens that look, S tokens looked at; in a thumbnail at most `THUMBNAIL_TOKENS` of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from llm_core.config.errors import UserError
from llm_core.inspection.attention import visible_places, weights_of
from llm_core.inspection.head_scores import HeadScore, behaviours_of, head_scores
from llm_core.inspection.recording import RecordedPart, record_part
from llm_core.models.interface import LanguageModel

THUMBNAIL_TOKENS = 48

Weights = npt.NDArray[np.float32]


@dataclass(frozen=True)
class AttentionOverview:
    """What one text shows of all heads of one kind."""

    recorded: RecordedPart
    thumbnails_LHTS: Weights
    """The maps, each brought to at most `THUMBNAIL_TOKENS` places a side."""
    layer_HTS: Weights
    """The chosen layer's maps exactly."""
    visible_TS: npt.NDArray[np.bool_]
    """Where the chosen layer may look at all."""
    scores: dict[str, HeadScore]
    """Measures of all heads, [L, H] each."""


def attention_overview(
    model: LanguageModel,
    tokens: Sequence[int],
    layer: int,
    *,
    source: Sequence[int] | None = None,
    part: str | None = None,
) -> AttentionOverview:
    """All heads small, those of `layer` exactly; arguments and errors as in `attention_weights`."""
    recorded = record_part(model, tokens, source=source, part=part)
    if not 0 <= layer < len(recorded.layers):
        raise UserError("There is no such layer", value=layer, limit=f"0 to {len(recorded.layers) - 1}")
    behaviours = behaviours_of(recorded.part, recorded.rows, recorded.columns)
    thumbnails: list[Weights] = []
    scores: list[dict[str, HeadScore]] = []
    chosen_HTS: Weights | None = None
    for index, of_layer in enumerate(recorded.layers):
        with torch.inference_mode():
            heads, rows = range(of_layer.q_BHTE.shape[1]), range(len(recorded.rows))
            weights_HTS: Weights = weights_of(of_layer, heads, rows)[0].cpu().numpy()
        thumbnails.append(pooled(weights_HTS, THUMBNAIL_TOKENS))
        scores.append(head_scores(weights_HTS[None], behaviours, visible_places(of_layer)))
        if index == layer:
            chosen_HTS = weights_HTS
    assert chosen_HTS is not None
    joined = {
        name: HeadScore(
            np.concatenate([of_layer[name].values_LH for of_layer in scores]),
            np.concatenate([of_layer[name].chance_L for of_layer in scores]),
            score.sentence,
        )
        for name, score in scores[0].items()
    }
    visible_TS = visible_places(recorded.layers[layer])
    return AttentionOverview(recorded, np.stack(thumbnails), chosen_HTS, visible_TS, joined)


def pooled(weights: Weights, longest: int) -> Weights:
    """The last two axes brought to at most `longest` by taking the largest of each block: a mean would hide stripes."""
    return _pooled_axis(_pooled_axis(weights, -1, longest), -2, longest)


def _pooled_axis(weights: Weights, axis: int, longest: int) -> Weights:
    length = weights.shape[axis]
    if length <= longest:
        return weights
    block = -(-length // longest)
    return np.maximum.reduceat(weights, np.arange(0, length, block), axis=axis)
