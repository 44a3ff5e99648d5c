"""Writing: one token after another, with what the model thought at each of them.

A generation is an iterator of tokens and a summary that is complete when the iterator ends. Its random numbers are its own, so the
same seed gives the same text and training is never disturbed. Not here: the cuts (`sampling.py`), the cache (`text_model.py`), text
out of tokens (`incremental_text.py`).

Axes: V vocabulary.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from llm_core.config.errors import UserError
from llm_core.config.sampling import SamplingConfig
from llm_core.generation.incremental_text import IncrementalText
from llm_core.generation.sampling import candidate_probabilities, draw
from llm_core.generation.text_model import TextModel
from llm_core.text.tokenizers import TextTokenizer
from llm_core.text.visible import shown_token

NUM_ALTERNATIVES = 10
Finish = Literal["length", "context", "stop", "eos", "cancelled"]


@dataclass(frozen=True)
class Alternative:
    """A token that could have been, with its probability at temperature 1."""

    token: int
    text: str
    probability: float


@dataclass(frozen=True)
class GeneratedToken:
    """One written token."""

    token: int
    text: str
    """What it looks like on its own; bytes of an unfinished character are shown as such."""
    probability: float
    """At temperature 1, before any cut: how sure the model was."""
    alternatives: tuple[Alternative, ...]
    """The likeliest tokens at this place, the chosen one not left out; their probabilities sum to at most 1."""


class Generation:
    """One text being written. Iterate over it once; the fields below are then final.

    Args:
        model: what writes.
        prompt: tokens to go on from; empty begins at the model's natural start (see `starting_tokens`).
        settings: length, temperature, cuts, seed, stop strings.
        is_cancelled: asked before every token.

    Raises:
        UserError: a prompt token outside the vocabulary; while iterating, a model whose answers are not numbers.
    """

    def __init__(
        self,
        model: TextModel,
        prompt: Sequence[int],
        settings: SamplingConfig,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        for token in prompt:
            if not 0 <= token < model.vocabulary_size:
                raise UserError("A token is outside the vocabulary", value=token, limit=model.vocabulary_size - 1)
        self.seed = secrets.randbelow(2**31) if settings.seed is None else settings.seed
        self.prompt = list(prompt) or starting_tokens(model.tokenizer)
        self.text = ""
        """What was written so far, complete characters only, cut before a stop string. It only ever grows."""
        self.num_tokens = 0
        self.finish: Finish | None = None
        """Why it ended: the `length` was reached, an answer filled the `context`, a `stop` string or the end-of-text token (`eos`) came,
        it was `cancelled`."""
        self.truncated = False
        """True once the context was full and its older half was let go."""
        self.first_token_seconds: float | None = None
        """From the start to the first token, reading the prompt included."""
        self.tokens_per_second: float | None = None
        """Of the tokens after the first; what the caller does between two tokens does not count."""
        self._model = model
        self._settings = settings
        self._is_cancelled = is_cancelled

    def __iter__(self) -> Iterator[GeneratedToken]:
        settings, tokenizer = self._settings, self._model.tokenizer
        generator = torch.Generator().manual_seed(self.seed)
        text = IncrementalText(tokenizer, settings.stop, begins_text=self._model.begins_text)
        seen = set(self.prompt)
        started = time.perf_counter()
        session = self._model.start(len(self.prompt) + settings.max_tokens)
        logits_V = session.read(self.prompt)
        while True:
            if self._is_cancelled():
                self.finish = "cancelled"
                break
            token = draw(candidate_probabilities(logits_V, seen, settings), generator)
            if token == tokenizer.end_of_text_id:
                self.finish = "eos"
                break
            seen.add(token)
            stopped = text.add(token)
            written = describe_token(logits_V, token, tokenizer)
            self.text, self.truncated = text.visible, session.truncated
            self.num_tokens += 1
            started = self._clock(started)
            paused = time.perf_counter()
            yield written
            started += time.perf_counter() - paused
            if stopped:
                self.finish = "stop"
                break
            if self.num_tokens >= settings.max_tokens:
                self.finish = "length"
                break
            if session.is_full:
                self.finish = "context"
                break
            logits_V = session.read([token])
        self.text, self.truncated = text.finish(), session.truncated

    def _clock(self, started: float) -> float:
        """Note the time of a token; returns the moment from which the next ones are timed."""
        now = time.perf_counter()
        if self.first_token_seconds is None:
            self.first_token_seconds = now - started
            return now
        if now > started:
            self.tokens_per_second = (self.num_tokens - 1) / (now - started)
        return started


def generate(model: TextModel, prompt: Sequence[int], settings: SamplingConfig) -> Generation:
    """Write to the end and return the finished generation."""
    generation = Generation(model, prompt, settings)
    for _ in generation:
        pass
    return generation


def starting_tokens(tokenizer: TextTokenizer) -> list[int]:
    """What an empty prompt stands for: the end of the text before, else a line break, else the first token there is."""
    if tokenizer.end_of_text_id is not None:
        return [tokenizer.end_of_text_id]
    known, _ = tokenizer.encode_known("\n")
    return known or [0]


def describe_token(logits_V: Tensor, token: int, tokenizer: TextTokenizer) -> GeneratedToken:
    """The token with the model's raw probability and its ten likeliest rivals."""
    probabilities_V = logits_V.double().softmax(-1)
    top = probabilities_V.topk(min(NUM_ALTERNATIVES, probabilities_V.numel()))
    alternatives = tuple(
        Alternative(index, shown_token(tokenizer, index), probability)
        for index, probability in zip(top.indices.tolist(), top.values.tolist(), strict=True)
    )
    return GeneratedToken(token, shown_token(tokenizer, token), float(probabilities_V[token]), alternatives)
