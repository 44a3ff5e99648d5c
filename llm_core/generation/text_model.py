"""TextModel: what writing, scoring and pages need of any language model, neural or counted.

A session reads tokens and answers with the logits of the next one; whether it keeps a cache, a recurrent state or nothing is its
own business. Not here: how a token is chosen (`sampling.py`), the loop that writes (`decoding.py`), sums over a text
(`likelihood.py`).

Axes: T tokens, D model width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from llm_core.config.errors import UserError
from llm_core.generation.likelihood import Losses, Tokens, target_losses
from llm_core.models.interface import LanguageModel, State
from llm_core.text.tokenizers import TextTokenizer

# A recurrent network reads a long prompt in pieces of this many tokens, so that memory does not grow with the prompt.
_RECURRENT_PIECE_TOKENS = 1_024


class Session(Protocol):
    """One text being read, token by token."""

    truncated: bool
    """True once older tokens had to be let go because the context was full."""

    @property
    def is_full(self) -> bool:
        """Whether it can read no more; never where older tokens are let go instead."""
        ...

    def read(self, tokens: Sequence[int]) -> Tensor:
        """Take in one or more tokens; logits (V,) on the CPU, float32 or wider, for the token after them.

        Raises:
            UserError: the model's answer holds something that is not a number.
        """
        ...


class TextModel(Protocol):
    """A model of text."""

    tokenizer: TextTokenizer
    vocabulary_size: int
    context_length: int
    begins_text: bool
    """Whether what it writes stands alone (an answer) and does not go on from a text."""

    def start(self, max_tokens: int | None = None) -> Session:
        """A session that has read nothing and will read at most `max_tokens`, so that no more room than that is kept."""
        ...

    def target_nats(self, tokens: Tokens, *, stride: int | None = None) -> Iterator[Losses]:
        """-ln p of every token after the first, in order, in pieces (see `likelihood.target_losses`)."""
        ...


class NeuralTextModel:
    """Any LanguageModel with its tokenizer.

    The model must be in evaluation mode while a session reads: dropout would blur what it says and draw from the random stream of
    a training. Sessions only read the weights, so threads may share a model, each with a session of its own.

    Args:
        use_cache: False reads everything again for each token: slow, and the oracle of the cached way.
        document_end: as in `likelihood.target_losses`.
    """

    begins_text = False

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: TextTokenizer,
        *,
        use_cache: bool = True,
        document_end: int | None = None,
    ) -> None:
        self._document_end = document_end
        self.model = model
        self.tokenizer = tokenizer
        self.vocabulary_size = model.vocabulary_size
        self.context_length = model.context_length
        self.use_cache = use_cache

    def start(self, max_tokens: int | None = None) -> Session:
        assert not self.model.training, "a model writes in evaluation mode"
        room = self.context_length if max_tokens is None else min(max_tokens, self.context_length)
        return _NeuralSession(self.model, room, self.use_cache)

    def target_nats(self, tokens: Tokens, *, stride: int | None = None) -> Iterator[Losses]:
        return target_losses(self.model, tokens, stride=stride, document_end=self._document_end)


def after_cuts(tokens: list[int], context_length: int) -> list[int]:
    """What is left to look at when `tokens` came one by one: a full context lets its older half go before it takes in another.

    The same whether tokens come singly or together, so it never matters where a prompt ends and writing begins.
    """
    let_go = context_length - context_length // 2
    cuts = -((context_length - len(tokens)) // let_go) if len(tokens) > context_length else 0
    return tokens[cuts * let_go :]


def checked_logits(logits_V: Tensor) -> Tensor:
    """The logits on the CPU, float32 or wider; UserError where one is not a number."""
    if not bool(logits_V.isfinite().all()):
        raise UserError(
            "The model answers with something that is not a number",
            remedy="Its training went wrong; use an earlier checkpoint",
        )
    logits_V = logits_V.cpu()
    return logits_V if logits_V.dtype.itemsize >= 4 else logits_V.float()


class _NeuralSession:
    """Keys and values, or the recurrent state, of one row; after a cut the window is read again from position 0."""

    is_full = False

    def __init__(self, model: LanguageModel, room: int, use_cache: bool) -> None:
        self.truncated = False
        self._model = model
        self._room = room
        self._use_cache = use_cache
        self._window: list[int] = []
        self._state: State | None = None

    def read(self, tokens: Sequence[int]) -> Tensor:
        assert tokens, "a session reads at least one token"
        unread = list(tokens)
        self._window += unread
        if not self._model.is_recurrent and len(self._window) > self._model.context_length:
            self._window = after_cuts(self._window, self._model.context_length)
            self.truncated = True
            self._state, unread = None, self._window
        if not self._use_cache:
            self._state, unread = None, self._window
        return self._advance(unread)

    def _advance(self, tokens: list[int]) -> Tensor:
        model = self._model
        piece_tokens = _RECURRENT_PIECE_TOKENS if model.is_recurrent else len(tokens)
        with torch.inference_mode():
            state, hidden_1TD = self._state, None
            if state is None and self._use_cache:
                state = model.initial_state(1, self._room)
            for start in range(0, len(tokens), piece_tokens):
                piece_1T = torch.tensor([tokens[start : start + piece_tokens]], dtype=torch.int64, device=model.device)
                hidden_1TD, state = model(piece_1T, state=state)
            assert hidden_1TD is not None
            self._state = state
            return checked_logits(model.logits(hidden_1TD[0, -1]))
