"""TextModel: what writing, scoring and pages need of any language model, neural or counted.

A session reads tokens and answers with the logits of the next one; whether it keeps a cache, a recurrent state or nothing is its
own business. Not here: how a token is chosen (`sampling.py`), the loop that writes (`decoding.py`).

Axes: T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from llm_core.models.interface import LanguageModel, State
from llm_core.text.tokenizers import TextTokenizer


class Session(Protocol):
    """One text being read, token by token."""

    truncated: bool
    """True once older tokens had to be let go because the context was full."""

    def read(self, tokens: Sequence[int]) -> Tensor:
        """Take in one or more tokens; logits (V,) in float32 on the CPU for the token after them."""
        ...


class TextModel(Protocol):
    """A model of text."""

    tokenizer: TextTokenizer
    vocabulary_size: int
    context_length: int

    def start(self) -> Session:
        """A session that has read nothing."""
        ...


class NeuralTextModel:
    """Any LanguageModel with its tokenizer. The model must be in evaluation mode; nothing here trains."""

    def __init__(self, model: LanguageModel, tokenizer: TextTokenizer, *, use_cache: bool = True) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.vocabulary_size = model.vocabulary_size
        self.context_length = model.context_length
        self.use_cache = use_cache

    def start(self) -> Session:
        if self.model.is_recurrent:
            return _RecurrentSession(self.model)
        if self.use_cache:
            return _CachedSession(self.model)
        return _UncachedSession(self.model)


def kept_after_cut(tokens: Sequence[int], context_length: int) -> list[int]:
    """The newer half of a full context, which is read again from position 0; at least one token."""
    return list(tokens[-max(1, context_length // 2) :])


def _last_logits(model: LanguageModel, tokens: Sequence[int], state: State | None) -> tuple[Tensor, State | None]:
    tokens_1T = torch.tensor([list(tokens)], dtype=torch.int64, device=model.device)
    with torch.inference_mode():
        output = model(tokens_1T, state=state)
        return model.logits(output.hidden_BTD[0, -1]).float().cpu(), output.state


class _RecurrentSession:
    """Carries the state from the first token on; nothing is ever let go."""

    def __init__(self, model: LanguageModel) -> None:
        self.truncated = False
        self._model = model
        self._state: State | None = None

    def read(self, tokens: Sequence[int]) -> Tensor:
        logits, self._state = _last_logits(self._model, tokens, self._state)
        return logits


class _WindowedSession:
    """Cuts the window in the same places whether a cache is used or not: when the next token would not fit."""

    def __init__(self, model: LanguageModel) -> None:
        self.truncated = False
        self._model = model
        self._window: list[int] = []

    def read(self, tokens: Sequence[int]) -> Tensor:
        logits: Tensor | None = None
        pending = list(tokens)
        while pending:
            room = self._model.context_length - len(self._window)
            if room == 0:
                self._window = kept_after_cut(self._window, self._model.context_length)
                self.truncated = True
                self._restart()
                continue
            piece, pending = pending[:room], pending[room:]
            self._window += piece
            logits = self._advance(piece)
        assert logits is not None, "a session reads at least one token"
        return logits

    def _restart(self) -> None:
        raise AssertionError("each kind of session says how it starts again")

    def _advance(self, piece: list[int]) -> Tensor:
        raise AssertionError("each kind of session says how it reads on")


class _CachedSession(_WindowedSession):
    """Keeps keys and values of the window."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__(model)
        self._state: State = model.initial_state(1, model.context_length)

    def _restart(self) -> None:
        empty = torch.zeros(1, dtype=torch.int64, device=self._model.device)
        _, state = _last_logits(self._model, self._window, self._state.truncate(empty))
        assert state is not None
        self._state = state

    def _advance(self, piece: list[int]) -> Tensor:
        logits, state = _last_logits(self._model, piece, self._state)
        assert state is not None
        self._state = state
        return logits


class _UncachedSession(_WindowedSession):
    """Reads the whole window again for every token: slow, and the oracle for the cached one."""

    def _restart(self) -> None:
        pass

    def _advance(self, piece: list[int]) -> Tensor:
        return _last_logits(self._model, self._window, None)[0]
