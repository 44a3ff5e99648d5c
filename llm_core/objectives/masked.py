"""The masked objective: hide tokens of a text, and score what an encoder fills in (Devlin et al. 2019).

`hide` chooses anew each time it is called, from the generator handed in: a run that restores the generator's state goes on with
the very masks it would have drawn. Shapes depend on the settings and the length alone, never on the text.
Not here: batches of text, special tokens of a tokenizer, gradients. The loss is no code length and has no bits per byte.

Axes: B batch, T positions, M places to fill in per row, N ordinary tokens.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from llm_core.config.errors import UserError
from llm_core.config.masking import MaskingConfig
from llm_core.models.interface import LanguageModel
from llm_core.objectives.causal import summed_cross_entropy
from llm_core.objectives.interface import NO_TARGET, StepOutput

_TO_MASK, _TO_RANDOM = 0.8, 0.1


class MaskingVocabulary(NamedTuple):
    """What hiding needs to know of a tokenizer."""

    mask_token: int
    ordinary_N: NDArray[np.int64]
    """Ids of all tokens that may be hidden, and that a random replacement is drawn from: all but the special ones."""


class MaskedBatch(NamedTuple):
    """Rows with tokens hidden, and what was there."""

    inputs_BT: NDArray[np.int64]
    positions_BM: NDArray[np.int64]
    """Where the targets stand, ascending; empty places come last and point at some other position of the row."""
    targets_BM: NDArray[np.int64]
    """The tokens that were there; NO_TARGET in empty places."""


def places_per_row(length: int, rate: float) -> int:
    """M: how many tokens of a row are hidden at most; the share asked for, at least one."""
    return max(1, round(rate * length))


def hide(
    tokens_BT: NDArray[np.int64],
    config: MaskingConfig,
    vocabulary: MaskingVocabulary,
    generator: np.random.Generator,
    *,
    word_starts_BT: NDArray[np.bool_] | None = None,
) -> MaskedBatch:
    """Choose tokens of each row and hide them: 80 % behind the mask token, 10 % behind a random one, 10 % left as they are.

    Each row gets its share of its ordinary tokens, at least one; special tokens and padding are never chosen. With whole words, words
    are taken in random order as long as they fit into the share, so a row may stay a little below it. A word longer than all
    places of a row together counts as several.

    Args:
        word_starts_BT: True at the first token of each word; a word ends before the next start or special token.

    Raises:
        UserError: whole words are asked for and nobody says where they start.
    """
    if config.whole_words and word_starts_BT is None:
        raise UserError(
            "Hiding whole words needs to know where words start", remedy="Switch whole words off for this tokenizer"
        )
    places = places_per_row(tokens_BT.shape[1], config.rate)
    is_ordinary_BT = np.isin(tokens_BT, vocabulary.ordinary_N)
    starts_BT = word_starts_BT if config.whole_words and word_starts_BT is not None else np.ones_like(is_ordinary_BT)
    chosen_BT = _choose(is_ordinary_BT, starts_BT, config.rate, places, generator)
    # Stable, so that chosen positions come first and in the order of the text.
    positions_BM = np.argsort(~chosen_BT, axis=1, kind="stable")[:, :places]
    is_target_BM = np.take_along_axis(chosen_BT, positions_BM, axis=1)
    originals_BM = np.take_along_axis(tokens_BT, positions_BM, axis=1)
    inputs_BT = tokens_BT.copy()
    replaced_BM = np.where(is_target_BM, _replace(originals_BM, vocabulary, generator), originals_BM)
    np.put_along_axis(inputs_BT, positions_BM, replaced_BM, axis=1)
    return MaskedBatch(inputs_BT, positions_BM, np.where(is_target_BM, originals_BM, NO_TARGET))


def _replace(
    originals_BM: NDArray[np.int64], vocabulary: MaskingVocabulary, generator: np.random.Generator
) -> NDArray[np.int64]:
    fate_BM = generator.random(originals_BM.shape)
    random_BM = vocabulary.ordinary_N[generator.integers(len(vocabulary.ordinary_N), size=originals_BM.shape)]
    changed_BM = np.where(fate_BM < _TO_MASK, vocabulary.mask_token, random_BM)
    return np.where(fate_BM < _TO_MASK + _TO_RANDOM, changed_BM, originals_BM)


def _choose(
    is_ordinary_BT: NDArray[np.bool_],
    starts_BT: NDArray[np.bool_],
    rate: float,
    places: int,
    generator: np.random.Generator,
) -> NDArray[np.bool_]:
    """Which positions are hidden, (B, T)."""
    head_BT, sizes_BT = _words(is_ordinary_BT, starts_BT, places)
    order_BT = np.argsort(generator.random(is_ordinary_BT.shape), axis=1)
    taken_BT = _take_in_order(np.take_along_axis(sizes_BT, order_BT, axis=1), is_ordinary_BT.sum(axis=1), rate)
    is_taken_BT = np.empty_like(taken_BT)
    np.put_along_axis(is_taken_BT, order_BT, taken_BT, axis=1)
    return np.take_along_axis(is_taken_BT, head_BT, axis=1) & is_ordinary_BT


def _words(
    is_ordinary_BT: NDArray[np.bool_], starts_BT: NDArray[np.bool_], places: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each token the position of its word's first; and at that position the word's size, elsewhere 0."""
    counting_T = np.arange(is_ordinary_BT.shape[1])
    after_special_BT = np.pad(~is_ordinary_BT, ((0, 0), (1, 0)), constant_values=True)[:, :-1]
    is_head_BT = starts_BT | ~is_ordinary_BT | after_special_BT
    head_BT = np.maximum.accumulate(np.where(is_head_BT, counting_T, 0), axis=1)
    head_BT = counting_T - (counting_T - head_BT) % places
    places_of_heads_BT = head_BT + np.arange(len(head_BT))[:, None] * len(counting_T)
    sizes = np.bincount(places_of_heads_BT[is_ordinary_BT], minlength=head_BT.size)
    return head_BT, sizes.reshape(head_BT.shape)


def _take_in_order(sizes_BT: NDArray[np.int64], ordinary_B: NDArray[np.int64], rate: float) -> NDArray[np.bool_]:
    """Which words of a shuffled row are taken: one after the other, those that no longer fit being passed over.

    Each round takes whole words up to the first that does not fit; since the room only shrinks, words larger than what is left
    can be dropped for good, and the rounds give what going word by word would give.
    """
    room_B = np.maximum(1, np.rint(rate * ordinary_B).astype(np.int64))
    is_word_BT = sizes_BT > 0
    # Where no word of a short row fits into its share, the first one is taken: it fits into the row's places.
    fits_B = (is_word_BT & (sizes_BT <= room_B[:, None])).any(axis=1)
    first_B = sizes_BT[np.arange(len(sizes_BT)), is_word_BT.argmax(axis=1)]
    room_B = np.where(fits_B, room_B, first_B)
    taken_BT = np.zeros_like(is_word_BT)
    while True:
        open_BT = is_word_BT & ~taken_BT & (sizes_BT <= room_B[:, None])
        if not open_BT.any():
            return taken_BT
        new_BT = open_BT & (np.cumsum(np.where(open_BT, sizes_BT, 0), axis=1) <= room_B[:, None])
        taken_BT |= new_BT
        room_B = room_B - np.where(new_BT, sizes_BT, 0).sum(axis=1)


class MaskedStep(nn.Module):
    """An encoder with the masked objective on top: the one module that is compiled or wrapped, as `TrainStep` is."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        inputs_BT: Tensor,
        positions_BM: Tensor,
        targets_BM: Tensor,
        *,
        documents_BT: Tensor | None = None,
        padding_BT: Tensor | None = None,
    ) -> StepOutput:
        """Sum of -ln p(target) over all targets. A sum, never a mean."""
        logits_BMV = self.logits(inputs_BT, positions_BM, documents_BT=documents_BT, padding_BT=padding_BT)
        return StepOutput(summed_cross_entropy(logits_BMV, targets_BM), (targets_BM != NO_TARGET).sum())

    def logits(
        self,
        inputs_BT: Tensor,
        positions_BM: Tensor,
        *,
        documents_BT: Tensor | None = None,
        padding_BT: Tensor | None = None,
    ) -> Tensor:
        """Scores (B, M, V) at the hidden positions alone, the head being the costly part."""
        hidden_BTD = self.model(inputs_BT, documents_BT=documents_BT, padding_BT=padding_BT).hidden_BTD
        hidden_BMD = hidden_BTD.gather(1, positions_BM[..., None].expand(-1, -1, hidden_BTD.shape[-1]))
        return self.model.logits(hidden_BMD)
