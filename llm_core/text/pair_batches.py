"""Batches of pairs for sequence-to-sequence training, with a position that can be stored and resumed exactly.

A text of pairs is cut into `source, end, target, end` again and again (`tokens.py`); `TokenPairs` finds the pairs in such a
stretch and `PairBatches` draws from them. Not here: making arrays of a batch (`llm_core.objectives.sequence_to_sequence`),
bringing pairs in (`pairs.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from llm_core.config.errors import UserError
from llm_core.text.batches import TokenVector, check_kind, generator_from_json, generator_to_json
from llm_core.text.token_set import TokenMeta

_TOKENS_AT_ONCE = 2**22
_KIND = "pairs"


class Pair(NamedTuple):
    """One pair in tokens, without the end token that follows either side."""

    source: list[int]
    target: list[int]


class TokenPairs:
    """The pairs of one split, in their order.

    Args:
        tokens: the split (a memory map or an array), one-dimensional; read through once to find where the pairs are.
        end_of_text: the id that ends a source and a target.
        context_length: what a source, or a target, may be long together with its end token; the rest is cut off.

    Raises:
        UserError: the tokens are no pairs, there are none, or the context has no room for a token beside the end.
    """

    def __init__(self, tokens: TokenVector, end_of_text: int | None, context_length: int) -> None:
        if context_length < 2:
            raise UserError(
                "The context is too short for a token and its end", value=context_length, limit="at least 2 tokens"
            )
        ends = _places(tokens, end_of_text)
        if len(ends) == 0 or len(ends) % 2 or ends[-1] != len(tokens) - 1:
            raise UserError(
                "This text has no pairs of source and target",
                value=f"{len(tokens):,} tokens with {len(ends):,} ends",
                limit="two ends for each pair, one after the source and one after the target",
                remedy="Import a table with an answer column, or choose another objective",
            )
        self._tokens = tokens
        self._longest = context_length - 1
        # Side 2i is the source of pair i and side 2i + 1 its target; side s lies between ends s - 1 and s.
        self._ends_S = ends
        lengths_S = np.diff(ends, prepend=-1) - 1
        is_cut_P2 = lengths_S.reshape(-1, 2) > self._longest
        self.num_cut = int(is_cut_P2.any(axis=1).sum())
        """How many pairs have a side that is longer than the context and loses its last tokens."""
        self.num_targets = int(np.minimum(lengths_S[1::2], self._longest).sum()) + len(self)
        """Tokens of all targets after cutting, with their ends: what one epoch is scored on."""

    def __len__(self) -> int:
        return len(self._ends_S) // 2

    def __getitem__(self, index: int) -> Pair:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return Pair(self._side(2 * index), self._side(2 * index + 1))

    def starts(self, indices: Sequence[int]) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Where in the split the sources of these pairs begin."""
        return np.array([int(self._ends_S[2 * index - 1]) + 1 if index else 0 for index in indices], dtype=np.int64)

    def __iter__(self) -> Iterator[Pair]:
        return (self[index] for index in range(len(self)))

    def _side(self, side: int) -> list[int]:
        start = int(self._ends_S[side - 1]) + 1 if side else 0
        return self._tokens[start : min(int(self._ends_S[side]), start + self._longest)].tolist()


class PairBatches:
    """Pairs in random order, each once an epoch; a batch that reaches the end of one goes on with the next.

    Args:
        tokens, end_of_text, context_length: as for `TokenPairs`; the training split.
        batch_size: pairs in a batch.
        seed: of numpy's PCG64; the same seed gives the same batches on every platform.

    Raises:
        UserError: as `TokenPairs`.
    """

    def __init__(
        self, tokens: TokenVector, end_of_text: int | None, batch_size: int, context_length: int, seed: int
    ) -> None:
        self.pairs = TokenPairs(tokens, end_of_text, context_length)
        self._batch_size = batch_size
        self._generator = np.random.Generator(np.random.PCG64(seed))
        self._tokens_seen = 0
        self._pairs_seen = 0
        self.starts_B = np.zeros(0, dtype=np.int64)
        """Where in the split the pairs of the last batch begin."""
        self._begin_epoch()

    def next(self) -> list[Pair]:
        """The next `batch_size` pairs."""
        chosen: list[int] = []
        while len(chosen) < self._batch_size:
            if self._position == len(self.pairs):
                self._begin_epoch()
            upto = min(self._position + self._batch_size - len(chosen), len(self.pairs))
            chosen += self._order_P[self._position : upto].tolist()
            self._position = upto
        batch = [self.pairs[index] for index in chosen]
        self.starts_B = self.pairs.starts(chosen)
        self._pairs_seen += len(batch)
        self._tokens_seen += sum(len(pair.target) + 1 for pair in batch)
        return batch

    def _begin_epoch(self) -> None:
        # The order is drawn again from this state on resume, so that no list of pairs has to be stored.
        self._drawn_from = generator_to_json(self._generator)
        self._order_P = self._generator.permutation(len(self.pairs))
        self._position = 0

    @property
    def tokens_seen(self) -> int:
        """Targets handed out so far, the end after each included."""
        return self._tokens_seen

    @property
    def epoch(self) -> float:
        """Pairs handed out per pair of the split."""
        return self._pairs_seen / len(self.pairs)

    def state_dict(self) -> dict[str, Any]:
        """The generator as it was before this epoch's order was drawn, the place in that order, and counts."""
        return {
            "kind": _KIND,
            "pairs": len(self.pairs),
            "generator": self._drawn_from,
            "position": self._position,
            "pairs_seen": self._pairs_seen,
            "tokens_seen": self._tokens_seen,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where the state was taken; UserError for the position of another text or reader."""
        check_kind(state, _KIND)
        if state["pairs"] != len(self.pairs):
            raise UserError(
                "The stored position belongs to another text",
                value=f"{len(self.pairs):,} pairs",
                limit=f"{state['pairs']:,} pairs",
                remedy="Resume with the text and validation share of the run",
            )
        generator_from_json(self._generator, state["generator"])
        self._begin_epoch()
        self._position = int(state["position"])
        self._pairs_seen = int(state["pairs_seen"])
        self._tokens_seen = int(state["tokens_seen"])


def require_pairs(meta: TokenMeta) -> None:
    """Raise UserError unless the text was brought in as pairs: a text of two documents has two ends as well."""
    if not meta.is_pairs:
        raise no_pairs(meta.dataset_name)


def no_pairs(dataset_name: str) -> UserError:
    """What to say where pairs are needed and there are none."""
    return UserError(
        "This text has no pairs of source and target, which this objective learns from",
        value=dataset_name,
        limit="a table imported with an answer column, or the built-in text “Reversed words”",
        remedy="Choose such a text, or another objective",
    )


def torn_pairs() -> UserError:
    """What to say where documents are to be kept apart in a text of pairs."""
    return UserError(
        "A pair would be torn apart: its source and its answer are documents of their own to the model",
        value="objective.within_documents = true",
        remedy="Switch “Keep documents apart” off for a text of pairs",
    )


def _places(tokens: TokenVector, token_id: int | None) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Where a token stands, read in stretches so that a large file is never in memory as a whole."""
    if token_id is None:
        return np.zeros(0, dtype=np.int64)
    found = [
        np.flatnonzero(tokens[start : start + _TOKENS_AT_ONCE] == token_id) + start
        for start in range(0, len(tokens), _TOKENS_AT_ONCE)
    ]
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)
