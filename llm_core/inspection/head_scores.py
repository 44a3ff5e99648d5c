"""What a head does, as numbers beside what chance would give for the same text.

Definitions as in TransformerLens and Olsson et al. 2022. A score alone misleads on short texts, so each comes with the chance level: the
score of a head that spreads its attention evenly over everything it may see, computed for these very tokens. And a score misleads on
texts of one fixed period, where a head that always looks equally far back passes for an induction head.

Axes: L layers, H heads, T tokens that look, S tokens looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llm_core.models.tap import Part

Weights = npt.NDArray[np.float32]
Places = npt.NDArray[np.bool_]
Behaviours = dict[str, tuple[Places, str]]
"""By name: where a head would look, [T, S], and the words for it."""


@dataclass(frozen=True)
class HeadScore:
    """Average weight each head puts on the places that a behaviour would look at, over the tokens that have such places."""

    values_LH: npt.NDArray[np.float32]
    chance_L: npt.NDArray[np.float32]
    """Layers differ where some of them look through a window."""
    sentence: str


def head_scores(weights_LHTS: Weights, behaviours: Behaviours, visible_TS: Places) -> dict[str, HeadScore]:
    """All behaviours that this text can show; one that it cannot (nothing repeats, say) is left out.

    Args:
        visible_TS: where these layers may look at all.
    """
    even_TS = visible_TS / visible_TS.sum(axis=1, keepdims=True, dtype=np.float32)
    scores: dict[str, HeadScore] = {}
    for name, (targets_TS, sentence) in behaviours.items():
        rows_T = targets_TS.any(axis=1)
        if not rows_T.any():
            continue
        # Weight on each target, averaged over the rows that have one, without a product as large as the maps themselves.
        share_TS = targets_TS / np.float32(rows_T.sum())
        values_LH = np.einsum("lhts,ts->lh", weights_LHTS, share_TS).astype(np.float32)
        chance_L = np.full(len(values_LH), (even_TS * share_TS).sum(), dtype=np.float32)
        scores[name] = HeadScore(values_LH, chance_L, sentence)
    return scores


def behaviours_of(part: Part, rows: Sequence[int], columns: Sequence[int]) -> Behaviours:
    """What heads of this kind are known to do, and where that would be in these tokens."""
    rows_T, columns_S = np.asarray(rows), np.asarray(columns)
    same_TS = rows_T[:, None] == columns_S[None, :]
    if part == "decoder":
        return _looking_back(same_TS)
    return _looking_around(same_TS) if part == "encoder" else _looking_across(rows_T, columns_S)


def _looking_back(same_TT: Places) -> Behaviours:
    earlier_TT = np.tril(same_TT, k=-1)
    after_earlier_TT = np.zeros_like(earlier_TT)
    after_earlier_TT[:, 1:] = earlier_TT[:, :-1]
    # After a doubled token what followed the first is the token itself, and every head that looks at itself would seem to do this.
    after_earlier_TT = np.tril(after_earlier_TT, k=-1)
    return {
        "previous": (_diagonal(same_TT, -1), "looks at the token before"),
        "duplicate": (earlier_TT, "looks at the same token earlier"),
        "induction": (after_earlier_TT, "looks at what followed the same token earlier"),
        "first": (_column(same_TT, 0, but_row=0), "looks at the first token"),
        "self": (_diagonal(same_TT, 0), "looks at itself"),
    }


def _looking_around(same_TT: Places) -> Behaviours:
    last = len(same_TT) - 1
    return {
        "previous": (_diagonal(same_TT, -1), "looks at the token before"),
        "next": (_diagonal(same_TT, 1), "looks at the token after"),
        "duplicate": (same_TT & ~_diagonal(same_TT, 0), "looks at the same token elsewhere"),
        "first": (_column(same_TT, 0, but_row=0), "looks at the first token"),
        "last": (_column(same_TT, last, but_row=last), "looks at the last token"),
        "self": (_diagonal(same_TT, 0), "looks at itself"),
    }


def _looking_across(rows_T: npt.NDArray[np.int64], columns_S: npt.NDArray[np.int64]) -> Behaviours:
    same_TS = rows_T[:, None] == columns_S[None, :]
    written_TS = np.zeros_like(same_TS)
    written_TS[:-1] = same_TS[1:]
    return {
        "written": (written_TS, "looks at the token that it writes next"),
        "read": (same_TS, "looks at the token that was just written"),
        "place": (_diagonal(same_TS, 0), "looks at the same place in the source"),
        "first": (_column(same_TS, 0), "looks at the first token of the source"),
        "last": (_column(same_TS, len(columns_S) - 1), "looks at the end of the source"),
    }


def _diagonal(like_TS: Places, offset: int) -> Places:
    return np.eye(*like_TS.shape, k=offset, dtype=bool)


def _column(like_TS: Places, column: int, but_row: int | None = None) -> Places:
    places_TS = np.zeros_like(like_TS)
    places_TS[:, column] = True
    if but_row is not None:
        places_TS[but_row] = False
    return places_TS
