"""An n-gram model as a TextModel: it writes, scores and is looked at like any other.

Not here: probabilities (`llm_core.models.ngram`).

Axes: V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from llm_core.generation.likelihood import Losses, Tokens, check_scorable
from llm_core.generation.text_model import Session
from llm_core.models.ngram import NgramModel
from llm_core.text.tokenizer_interface import TextTokenizer

# Text is scored in pieces of this many tokens, so that memory does not grow with it.
_PIECE_TOKENS = 1_000_000


class NgramTextModel:
    """Counts with their tokenizer. It looks at the last `order - 1` tokens and lets nothing else go, so it is never cut."""

    begins_text = False

    def __init__(self, model: NgramModel, tokenizer: TextTokenizer) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.vocabulary_size = model.vocabulary_size
        self.context_length = max(model.order - 1, 1)

    def start(self, max_tokens: int | None = None) -> Session:
        return _NgramSession(self.model)

    def target_nats(self, tokens: Tokens, *, stride: int | None = None) -> Iterator[Losses]:
        """-ln p of every token after the first; there are no windows, so a stride changes nothing."""
        check_scorable(tokens)
        before = self.model.order  # enough to know the context of a piece's first token
        for start in range(1, len(tokens), _PIECE_TOKENS):
            reach = max(0, start - before)
            piece = np.asarray(tokens[reach : start + _PIECE_TOKENS], dtype=np.int64)
            yield -_logarithms(self.model.target_probabilities(piece)[start - reach - 1 :])


class _NgramSession:
    """The last tokens of a text."""

    truncated = False
    is_full = False

    def __init__(self, model: NgramModel) -> None:
        self._model = model
        self._last: list[int] = []

    def read(self, tokens: Sequence[int]) -> Tensor:
        assert tokens, "a session reads at least one token"
        # One more than is looked at, so that the beginning of the text is not mistaken for that of a document.
        self._last = [*self._last, *tokens][-self._model.order :]
        return torch.from_numpy(_logarithms(self._model.next_token_probabilities(self._last)))


def _logarithms(probabilities: Losses) -> Losses:
    """Where counts leave nothing for what was never seen, -inf and no warning."""
    with np.errstate(divide="ignore"):
        return np.log(probabilities)
