"""How large an n-gram model can become, and what counting it takes, in closed form. Free of torch.

How many different n-grams a text has is known only once it is counted; before, there is a bound: no more than sequences of tokens can be
made, and no more than the text has places. Characters stay far below it (tinyshakespeare, order 5: 204,762 of at most 2,522,706), words
come near (WikiText-2, order 5: 5,846,908 of 8,387,791).
Not here: counting itself (`ngram.py`), the other families.
"""

from __future__ import annotations

from llm_core.config.ngram import NgramConfig
from llm_core.config.run import RunConfig
from llm_core.models.counting_base import FamilyCounting, MemoryEstimate, ParameterCount, RowShape

# A key and a share for each n-gram, and for each context what is left to the shorter one (`ngram.OrderTable`), 8 bytes each.
_BYTES_PER_NGRAM = 24
# While counting, for each n-gram its key, the numbers of its context and its suffix, its count; for each token of the text the stream, the
# distances, the keys and what sorting them needs. Measured at orders 3 to 7 on tinyshakespeare and WikiText-2: 94 to 97 bytes a token.
_COUNTING_BYTES_PER_NGRAM, _COUNTING_BYTES_PER_TOKEN = 32, 96


class NgramCounting(FamilyCounting):
    """Bounds of an n-gram model. It multiplies no matrices, so it has no FLOPs by the convention here; it looks up and sorts."""

    def __init__(self, config: NgramConfig) -> None:
        self._order = config.order

    def whole_row(self, context_length: int) -> RowShape:
        return RowShape(context_length, read=context_length, scored=context_length)

    def parameters(self, vocabulary_size: int, context_length: int, train_tokens: int | None) -> ParameterCount:
        """Without the length of the text the bound is what the vocabulary allows, which for words means nothing."""
        return ParameterCount(ngrams=self._most_ngrams(vocabulary_size, train_tokens), is_upper_bound=True)

    def forward_flops(self, vocabulary_size: int, row: RowShape) -> int:
        return 0

    def state_values(self, context_length: int) -> int:
        """The last tokens, which is next to nothing."""
        return self._order - 1

    def weights_bytes(self, vocabulary_size: int, context_length: int, train_tokens: int | None) -> int:
        return _BYTES_PER_NGRAM * self._most_ngrams(vocabulary_size, train_tokens)

    def training_memory(
        self, run: RunConfig, vocabulary_size: int, row: RowShape, train_tokens: int | None
    ) -> MemoryEstimate:
        """Tables as weights, arrays of the counting as activations."""
        most = self._most_ngrams(vocabulary_size, train_tokens)
        return MemoryEstimate(
            weights_bytes=_BYTES_PER_NGRAM * most,
            activations_bytes=_COUNTING_BYTES_PER_NGRAM * most + _COUNTING_BYTES_PER_TOKEN * (train_tokens or 0),
        )

    def _most_ngrams(self, vocabulary_size: int, train_tokens: int | None) -> int:
        """The mark at the beginning of a document is one more token, but predicts none: every n-gram ends at a token of the text."""
        single = vocabulary_size + 1
        longer = (single**length for length in range(2, self._order + 1))
        return single + sum(most if train_tokens is None else min(most, train_tokens) for most in longer)
