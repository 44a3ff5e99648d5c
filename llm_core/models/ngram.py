"""n-gram model: interpolated modified Kneser-Ney smoothing (Chen and Goodman 1999) exactly as KenLM defines it.

Counted, not trained: one pass over the text for each order, vectorised over all tokens. An n-gram is a number: the number of its first
n-1 tokens times the vocabulary plus its last token, so that looking up a whole text is a binary search for each order.
Not here: sampling and sums over a text (`llm_core.generation`).

Axes: N tokens of a text, V vocabulary, G distinct n-grams of one order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llm_core.config.errors import UserError
from llm_core.config.ngram import LONGEST_ORDER

# KenLM's --discount_fallback: what is taken off counts of 1, 2 and 3 or more where the formula has no answer.
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class OrderTable:
    """The n-grams of one order that were seen, sorted by key.

    A key is `context · base + token`, the context being the number of the first n-1 tokens among the n-grams of that order.
    """

    keys_G: Integers
    discounted_G: Floats
    """(a - D(a)) / S(context): what the n-gram keeps for itself."""
    backoff: Floats
    """For each (n-1)-gram as context: the share that is left to the shorter context; 1 where nothing ever followed."""
    discounts: tuple[float, float, float]
    used_fallback: bool
    """The counts of counts allowed no discount, so KenLM's fallback was taken."""


@dataclass(frozen=True)
class NgramModel:
    """Probabilities of the next token from the last `order - 1` tokens.

    Args:
        orders: one table an order, the unigrams first.
        end_of_text: the token after which a new document begins; None when the text is one document.
    """

    vocabulary_size: int
    end_of_text: int | None
    orders: tuple[OrderTable, ...]

    @property
    def order(self) -> int:
        """Tokens looked at, the predicted one among them."""
        return len(self.orders)

    @property
    def num_ngrams(self) -> int:
        """Distinct n-grams of all orders: what the model keeps."""
        return sum(len(table.keys_G) for table in self.orders)

    def target_probabilities(self, tokens: npt.NDArray[np.integer]) -> Floats:
        """p(token | what stands before it in its document) for each token after the first (N-1), float64."""
        stream, distance = _marked(tokens, self.vocabulary_size, self.end_of_text)
        base = self.vocabulary_size + 1
        unigrams = self.orders[0]
        ids = _lookup(unigrams.keys_G, stream)
        probabilities = unigrams.backoff[0] / self.vocabulary_size + _kept(unigrams, ids)
        for order, table in enumerate(self.orders[1:], start=2):
            contexts = np.concatenate(([-1], ids[:-1]))
            contexts[distance < order - 1] = -1
            known = contexts >= 0
            ids = np.full(len(stream), -1, dtype=np.int64)
            ids[known] = _lookup(table.keys_G, contexts[known] * base + stream[known])
            weights = np.ones(len(stream))
            weights[known] = table.backoff[contexts[known]]
            probabilities = weights * probabilities + _kept(table, ids)
        return probabilities[distance > 0][1:]

    def next_token_probabilities(self, context: Sequence[int]) -> Floats:
        """p(· | context) over the whole vocabulary (V), float64. An empty context is the beginning of a document."""
        base = self.vocabulary_size + 1
        stream, distance = _marked(np.asarray(context, dtype=np.int64), self.vocabulary_size, self.end_of_text)
        if self.end_of_text is not None and len(context) and context[-1] == self.end_of_text:
            stream, distance = np.append(stream, self.vocabulary_size), np.append(distance, 0)
        longest = int(min(self.order - 1, distance[-1] + 1))
        unigrams = self.orders[0]
        probabilities_V = np.full(self.vocabulary_size, unigrams.backoff[0] / self.vocabulary_size)
        self._add(probabilities_V, unigrams.keys_G, unigrams.discounted_G)
        for length in range(1, longest + 1):
            number = self._number_of(stream[len(stream) - length :])
            if number < 0:
                break  # an unseen context ends all longer ones
            table = self.orders[length]
            first, last = np.searchsorted(table.keys_G, [number * base, (number + 1) * base])
            probabilities_V *= table.backoff[number]
            self._add(probabilities_V, table.keys_G[first:last] - number * base, table.discounted_G[first:last])
        return probabilities_V

    def _number_of(self, tokens: Integers) -> int:
        """The number of an n-gram among those of its order; -1 for one that was never seen."""
        number = np.zeros(1, dtype=np.int64)
        for table, token in zip(self.orders, tokens, strict=False):
            number = _lookup(table.keys_G, number * (self.vocabulary_size + 1) + token)
            if number[0] < 0:
                return -1
        return int(number[0])

    def _add(self, probabilities_V: Floats, tokens: Integers, kept: Floats) -> None:
        predicted = tokens < self.vocabulary_size  # the beginning of a document is a context, never a prediction
        probabilities_V[tokens[predicted]] += kept[predicted]


def fit_ngrams(
    tokens: npt.NDArray[np.integer], order: int, vocabulary_size: int, end_of_text: int | None = None
) -> NgramModel:
    """Count a text.

    Args:
        tokens: the text; each document but perhaps the last is closed by `end_of_text`, which is predicted like any token.
        order: tokens looked at, 1 to 8.

    Raises:
        UserError: an order out of bounds, an empty text, a vocabulary too large for the keys.
    """
    if not 1 <= order <= LONGEST_ORDER:
        raise UserError("The order of an n-gram model is out of bounds", value=order, limit=f"1 to {LONGEST_ORDER}")
    if not len(tokens):
        raise UserError("There is no token to count", remedy="Give a text with at least one token")
    base = vocabulary_size + 1
    if len(tokens) * base >= 2**63:
        raise UserError("The text is too long to be counted with this vocabulary", value=f"{len(tokens):,} tokens")
    stream, distance = _marked(tokens, vocabulary_size, end_of_text)
    keys = [np.arange(base)]
    ids = stream
    parts: list[tuple[Integers, Integers, Integers]] = []  # numbers of context and suffix, raw count
    for length in range(2, order + 1):
        places = np.flatnonzero(distance >= length - 1)
        unique, first, inverse, counts = np.unique(
            ids[places - 1] * base + stream[places], return_index=True, return_inverse=True, return_counts=True
        )
        shown = places[first]
        parts.append((ids[shown - 1], ids[shown], counts))
        keys.append(unique)
        ids = np.full(len(stream), -1, dtype=np.int64)
        ids[places] = inverse
    return NgramModel(vocabulary_size, end_of_text, _tables(keys, parts, stream, vocabulary_size))


def _tables(
    keys: list[Integers], parts: list[tuple[Integers, Integers, Integers]], stream: Integers, start: int
) -> tuple[OrderTable, ...]:
    """Adjusted counts and from them the smoothed tables, order by order."""
    raw = [np.bincount(stream, minlength=start + 1), *(counts for _, _, counts in parts)]
    begins = [np.arange(start + 1) == start]  # n-grams that begin a document
    for contexts, _, _ in parts:
        begins.append(begins[-1][contexts])
    tables: list[OrderTable] = []
    for index, unique in enumerate(keys):
        adjusted = raw[index]
        if index + 1 < len(keys):
            # Shorter n-grams count the different tokens before them; the beginning of a document has none, so its raw count stays.
            left_extensions = np.bincount(parts[index][1], minlength=len(unique))
            adjusted = np.where(begins[index], raw[index], left_extensions)
        if index == 0:
            adjusted[start] = 0
            contexts, num_contexts = np.zeros(len(unique), dtype=np.int64), 1
        else:
            contexts, num_contexts = parts[index - 1][0], len(keys[index - 1])
        tables.append(_smooth(unique, adjusted, contexts, num_contexts))
    return tuple(tables)


def _smooth(keys_G: Integers, adjusted_G: Integers, contexts_G: Integers, num_contexts: int) -> OrderTable:
    discounts, used_fallback = discounts_of(adjusted_G)
    steps_G = np.minimum(adjusted_G, 3)
    taken_G = np.array([0.0, *discounts])[steps_G]
    sums = np.bincount(contexts_G, weights=adjusted_G, minlength=num_contexts)
    left = np.bincount(contexts_G, weights=taken_G, minlength=num_contexts)
    seen = sums > 0
    backoff = np.ones(num_contexts)
    backoff[seen] = left[seen] / sums[seen]
    discounted_G = (adjusted_G - taken_G) / np.maximum(sums[contexts_G], 1)
    return OrderTable(keys_G, discounted_G, backoff, discounts, used_fallback)


def discounts_of(adjusted: Integers) -> tuple[tuple[float, float, float], bool]:
    """What is taken off counts of 1, 2, and 3 or more, from the counts of counts; and whether the fallback was needed.

    D_k = k - (k + 1) · Y · t_{k+1} / t_k with Y = t_1 / (t_1 + 2 t_2); the fallback where one is undefined or outside [0, k].
    """
    t = np.bincount(np.minimum(adjusted, 5), minlength=6).tolist()
    if not (t[1] and t[2] and t[3]):
        return FALLBACK_DISCOUNTS, True
    y = t[1] / (t[1] + 2 * t[2])
    found = [k - (k + 1) * y * t[k + 1] / t[k] for k in (1, 2, 3)]
    if any(not 0 <= discount <= k for k, discount in enumerate(found, start=1)):
        return FALLBACK_DISCOUNTS, True
    return (found[0], found[1], found[2]), False


def _marked(
    tokens: npt.NDArray[np.integer], vocabulary_size: int, end_of_text: int | None
) -> tuple[Integers, Integers]:
    """The stream with a mark (id V) before each document, and each place's distance from the last mark."""
    plain = np.asarray(tokens, dtype=np.int64)
    starts = np.zeros(1, dtype=np.int64)
    if end_of_text is not None:
        after = np.flatnonzero(plain == end_of_text) + 1
        starts = np.concatenate((starts, after[after < len(plain)]))
    stream = np.insert(plain, starts, vocabulary_size)
    places = np.arange(len(stream))
    last_mark = np.maximum.accumulate(np.where(stream == vocabulary_size, places, 0))
    return stream, places - last_mark


def _lookup(keys_G: Integers, wanted: Integers) -> Integers:
    """Place of each wanted key; -1 where it is not there."""
    if not len(keys_G):  # a text shorter than the order
        return np.full(len(wanted), -1, dtype=np.int64)
    found = np.minimum(np.searchsorted(keys_G, wanted), len(keys_G) - 1)
    return np.where(keys_G[found] == wanted, found, -1)


def _kept(table: OrderTable, ids: Integers) -> Floats:
    """The n-grams' own shares; 0 for those never seen (-1)."""
    return np.append(table.discounted_G, 0.0)[ids]
