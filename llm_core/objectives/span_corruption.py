"""Span corruption: gaps are cut into a text, and an encoder-decoder writes what stood there (Raffel et al. 2020).

The source is the text with each gap replaced by a token of its own, a sentinel; the target names the sentinels one after the other, each
followed by what it stands for; an end token closes both. How many tokens and gaps there are follows from the length of the text
alone, so every batch has the same shapes. `corrupt` draws anew at each call from the generator handed in: a run that restores the
generator's state goes on with the very gaps it would have drawn.
Not here: the loss (`sequence_to_sequence.py`), batches of text, how many tokens of a tokenizer are sentinels.

Axes: B batch, L tokens of a text, S source, T target, N items, K pieces.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llm_core.config.errors import UserError
from llm_core.config.span_corruption import SpanCorruptionConfig

Tokens = NDArray[np.int64]


class SpanVocabulary(NamedTuple):
    """What corruption needs to know of a vocabulary."""

    size: int
    """All ids, sentinels included: sentinel i has the id size - 1 - i."""
    end_token: int


class SpanLengths(NamedTuple):
    """The numbers that all rows of one length share, in tokens."""

    text: int
    hidden: int
    spans: int
    source: int
    target: int


class SpanBatch(NamedTuple):
    """Texts with gaps, and what fills them."""

    source_BS: Tokens
    targets_BT: Tokens


def span_lengths(text_length: int, config: SpanCorruptionConfig) -> SpanLengths:
    """What becomes of a text of so many tokens. T5's rule: a text of 568 gives a source of 512 and a target of 114.

    Raises:
        UserError: a text of fewer than two tokens, or one with more gaps than there are sentinels.
    """
    if text_length < 2:
        raise UserError("A text is too short to hide a part of it", value=f"{text_length} tokens", limit="2 tokens")
    hidden = min(max(round(text_length * config.density), 1), text_length - 1)
    # Each gap needs a hidden token, and one in sight before it.
    spans = min(max(round(hidden / config.mean_span), 1), hidden, text_length - hidden)
    if spans > config.num_sentinels:
        raise UserError(
            "The text has more gaps than there are marks for them",
            value=f"{spans} gaps",
            limit=f"{config.num_sentinels} marks",
            remedy="Shorten the text, lengthen the gaps, or set more marks",
        )
    return SpanLengths(text_length, hidden, spans, source=text_length - hidden + spans + 1, target=hidden + spans + 1)


def corrupt(
    texts_BL: Tokens, config: SpanCorruptionConfig, vocabulary: SpanVocabulary, generator: np.random.Generator
) -> SpanBatch:
    """Cut gaps into each row.

    Raises:
        UserError: a row too short or with too many gaps, or a text that holds sentinels already.
    """
    lengths = span_lengths(texts_BL.shape[1], config)
    first_sentinel = vocabulary.size - 1
    if texts_BL.max(initial=0) > first_sentinel - config.num_sentinels:
        raise UserError(
            "The text holds tokens that mark gaps",
            value=int(texts_BL.max()),
            limit=f"ids below {vocabulary.size - config.num_sentinels}",
            remedy=f"Make room for {config.num_sentinels} marks at the top of the vocabulary",
        )
    is_hidden_BL = choose_spans(len(texts_BL), lengths, generator)
    return SpanBatch(
        _with_sentinels(texts_BL, is_hidden_BL, lengths.source, first_sentinel, vocabulary.end_token),
        _with_sentinels(texts_BL, ~is_hidden_BL, lengths.target, first_sentinel, vocabulary.end_token),
    )


def choose_spans(num_rows: int, lengths: SpanLengths, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Which tokens of each row are hidden, (B, L): every way to cut is as likely as any other. Rows start in sight and end hidden."""
    in_sight_BK = _random_pieces(num_rows, lengths.text - lengths.hidden, lengths.spans, generator)
    hidden_BK = _random_pieces(num_rows, lengths.hidden, lengths.spans, generator)
    ends_B2K = np.stack([in_sight_BK, hidden_BK], axis=2).reshape(num_rows, -1).cumsum(axis=1)
    changes_BL = np.zeros((num_rows, lengths.text), dtype=np.int64)
    np.put_along_axis(changes_BL, ends_B2K[:, :-1], 1, axis=1)
    return changes_BL.cumsum(axis=1) % 2 == 1


def _random_pieces(num_rows: int, num_items: int, num_pieces: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Lengths (B, K) of pieces, none empty, that N items are cut into at random places."""
    is_start_N = np.arange(num_items) < num_pieces
    starts_BN = np.broadcast_to(is_start_N, (num_rows, num_items)).copy()
    # The first item starts the first piece; where the others start is shuffled.
    starts_BN[:, 1:] = generator.permuted(starts_BN[:, 1:], axis=1)
    places_BK = np.nonzero(starts_BN)[1].reshape(num_rows, num_pieces)
    return np.diff(places_BK, append=num_items, axis=1)


def _with_sentinels(
    texts_BL: Tokens, is_replaced_BL: NDArray[np.bool_], length: int, first_sentinel: int, end_token: int
) -> Tokens:
    """Each stretch marked in a row replaced by the next sentinel, and the end; all rows come out `length` long."""
    is_first_BL = is_replaced_BL & ~np.pad(is_replaced_BL, ((0, 0), (1, 0)))[:, :-1]
    sentinels_BL = first_sentinel + 1 - is_first_BL.cumsum(axis=1)
    tokens_BL = np.where(is_first_BL, sentinels_BL, texts_BL)
    kept = tokens_BL[is_first_BL | ~is_replaced_BL].reshape(len(texts_BL), length - 1)
    return np.pad(kept, ((0, 0), (0, 1)), constant_values=end_token)
