"""What a head does, as numbers beside what chance would give for the same text.

Definitions as in TransformerLens and Olsson et al. 2022. A score alone misleads on short texts, so each comes with the chance level: the
score of a head that spreads its attention evenly over everything it may see, computed for these very tokens. And a score misleads on
texts of one fixed period, where a head that always looks equally far back passes for an induction head.

Axes: L layers, H heads, T positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Weights = npt.NDArray[np.float32]
Targets = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class HeadScore:
    """Average weight each head puts on the places that a behaviour would look at, over the tokens that have such places."""

    values_LH: npt.NDArray[np.float32]
    chance: float
    sentence: str


def head_scores(weights_LHTT: Weights, tokens: Sequence[int]) -> dict[str, HeadScore]:
    """All behaviours that this text can show; one that it cannot (nothing repeats, say) is left out."""
    length = len(tokens)
    even_TT = np.tril(np.ones((length, length), dtype=np.float32)) / np.arange(1, length + 1, dtype=np.float32)[:, None]
    scores: dict[str, HeadScore] = {}
    for name, (targets_TT, sentence) in behaviours(tokens).items():
        rows_T = targets_TT.any(axis=1)
        if not rows_T.any():
            continue
        # Weight on each target, averaged over the rows that have one, without a product as large as the maps themselves.
        share_TT = targets_TT / np.float32(rows_T.sum())
        values_LH = np.einsum("lhts,ts->lh", weights_LHTT, share_TT).astype(np.float32)
        scores[name] = HeadScore(values_LH, float((even_TT * share_TT).sum()), sentence)
    return scores


def behaviours(tokens: Sequence[int]) -> dict[str, tuple[Targets, str]]:
    """Where each behaviour would look: a boolean [T, T] for each, and its words."""
    ids = np.asarray(tokens)
    same_TT = np.tril(ids[:, None] == ids[None, :], k=-1)
    after_same_TT = np.zeros_like(same_TT)
    after_same_TT[:, 1:] = same_TT[:, :-1]
    first_TT = np.zeros_like(same_TT)
    first_TT[1:, 0] = True
    return {
        "previous": (np.eye(len(ids), k=-1, dtype=bool), "looks at the token before"),
        "duplicate": (same_TT, "looks at the same token earlier"),
        "induction": (after_same_TT, "looks at what followed the same token earlier"),
        "first": (first_TT, "looks at the first token"),
        "self": (np.eye(len(ids), dtype=bool), "looks at itself"),
    }
