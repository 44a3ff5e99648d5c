"""Sequence to sequence: an encoder-decoder reads a source and is scored on every token of the target.

The decoder gets the true target one place late, after a start token (teacher forcing). Padding comes after the text: the source's is
hidden by a mask, and the target's needs none, because nothing real stands after it. The loss is that of a target given its source, no
code length, and has no bits per byte.
Not here: where pairs come from (`span_corruption.py` makes some), gradients, writing without the true target.

Axes: B batch, S source positions, T target positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from llm_core.config.errors import UserError
from llm_core.models.interface import LanguageModel
from llm_core.objectives.causal import summed_cross_entropy
from llm_core.objectives.interface import NO_TARGET, StepOutput

Tokens = NDArray[np.int64]


class SequenceBatch(NamedTuple):
    """Pairs side by side, all sources and all targets brought to one length."""

    source_BS: Tokens
    source_padding_BS: NDArray[np.bool_]
    """True where there is no source token."""
    inputs_BT: Tokens
    """What the decoder reads: the start token, then the target without its last token."""
    targets_BT: Tokens
    """What it is scored on; NO_TARGET where there is none."""

    @property
    def num_targets(self) -> int:
        """How many real target tokens the batch has."""
        return int((self.targets_BT != NO_TARGET).sum())


def pad_pairs(
    pairs: Sequence[tuple[Sequence[int], Sequence[int]]],
    *,
    start_token: int,
    end_token: int | None = None,
    source_length: int | None = None,
    target_length: int | None = None,
) -> SequenceBatch:
    """Pairs (source, target) as arrays.

    Args:
        start_token: what the decoder reads first; it fills the places of padding too, as in T5.
        end_token: put after each source and each target, and a target itself; nothing is when None.
        source_length, target_length: bring every batch to these lengths, so that shapes stay the same; None takes the longest.

    Raises:
        UserError: no pairs, an empty source or target without an end token, or one longer than its length.
    """
    if not pairs:
        raise UserError("There are no pairs to learn from", value="0 pairs", remedy="Give at least one")
    ending = [] if end_token is None else [end_token]
    source_BS, source_padding_BS = _padded(
        "source", [[*source, *ending] for source, _ in pairs], source_length, start_token
    )
    target_BT, target_padding_BT = _padded(
        "target", [[*target, *ending] for _, target in pairs], target_length, start_token
    )
    targets_BT = np.where(target_padding_BT, NO_TARGET, target_BT)
    return SequenceBatch(source_BS, source_padding_BS, decoder_inputs(targets_BT, start_token), targets_BT)


def decoder_inputs(targets_BT: Tokens, start_token: int) -> Tokens:
    """The targets one place later, after the start token, which also fills what is not there."""
    late_BT = np.pad(targets_BT[:, :-1], ((0, 0), (1, 0)), constant_values=start_token)
    return np.where(late_BT == NO_TARGET, start_token, late_BT)


def _padded(
    which: str, rows: Sequence[Sequence[int]], length: int | None, filler: int
) -> tuple[Tokens, NDArray[np.bool_]]:
    """Rows (B, length) filled up at their ends, and True where they are."""
    lengths_B = np.array([len(row) for row in rows])
    if lengths_B.min() == 0:
        raise UserError(f"A {which} is empty", value=f"pair {lengths_B.argmin() + 1}", remedy="Leave the pair out")
    if length is None:
        length = int(lengths_B.max())
    if lengths_B.max() > length:
        raise UserError(
            f"A {which} is too long",
            value=f"{lengths_B.max()} tokens in pair {lengths_B.argmax() + 1}",
            limit=f"{length} tokens",
            remedy="Cut the text, leave the pair out, or train a model with a longer context",
        )
    tokens_BL = np.full((len(rows), length), filler, dtype=np.int64)
    for row, tokens in enumerate(rows):
        tokens_BL[row, : len(tokens)] = tokens
    return tokens_BL, np.arange(length) >= lengths_B[:, None]


class SequenceToSequenceStep(nn.Module):
    """An encoder-decoder with its objective on top: the one module that is compiled or wrapped, as `TrainStep` is."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        source_BS: Tensor,
        inputs_BT: Tensor,
        targets_BT: Tensor,
        *,
        source_padding_BS: Tensor | None = None,
    ) -> StepOutput:
        """Sum of -ln p(target) over the real targets. A sum, never a mean: means of means weigh tokens unequally."""
        logits_BTV = self.logits(source_BS, inputs_BT, source_padding_BS=source_padding_BS)
        return StepOutput(summed_cross_entropy(logits_BTV, targets_BT), (targets_BT != NO_TARGET).sum())

    def logits(self, source_BS: Tensor, inputs_BT: Tensor, *, source_padding_BS: Tensor | None = None) -> Tensor:
        """Scores (B, T, V) of each target token, given the true ones before it."""
        memory = self.model.encode(source_BS, padding_BS=source_padding_BS)
        return self.model.logits(self.model(inputs_BT, memory=memory).hidden_BTD)
