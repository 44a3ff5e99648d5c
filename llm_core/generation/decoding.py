"""Writing: one token after another, with what the model thought at each of them.

A generation is an iterator of tokens and a summary that is complete when the iterator ends. Its random numbers are its own, so the
same seed gives the same text and training is never disturbed. Not here: the cuts (`sampling.py`), the cache (`text_model.py`).
"""

from __future__ import annotations

import codecs
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from llm_core.config.errors import UserError
from llm_core.config.sampling import SamplingConfig
from llm_core.generation.sampling import candidate_probabilities, draw
from llm_core.generation.text_model import TextModel
from llm_core.text.tokenizers import TextTokenizer

NUM_ALTERNATIVES = 10
Finish = Literal["length", "stop", "eos", "cancelled"]


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
        UserError: a prompt token outside the vocabulary.
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
        """What was written so far, complete characters only, cut before a stop string."""
        self.num_tokens = 0
        self.finish: Finish | None = None
        self.truncated = False
        self.first_token_seconds: float | None = None
        self.tokens_per_second: float | None = None
        self._model = model
        self._settings = settings
        self._is_cancelled = is_cancelled

    def __iter__(self) -> Iterator[GeneratedToken]:
        settings, tokenizer = self._settings, self._model.tokenizer
        generator = torch.Generator().manual_seed(self.seed)
        text = IncrementalText(tokenizer, settings.stop)
        session = self._model.start()
        seen = set(self.prompt)
        started = time.perf_counter()
        first_done = started
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
            self.num_tokens += 1
            now = time.perf_counter()
            if self.first_token_seconds is None:
                self.first_token_seconds, first_done = now - started, now
            elif now > first_done:
                self.tokens_per_second = (self.num_tokens - 1) / (now - first_done)
            stopped = text.add(token)
            self.text, self.truncated = text.visible, session.truncated
            yield describe_token(logits_V, token, tokenizer)
            if stopped:
                self.finish = "stop"
                break
            if self.num_tokens >= settings.max_tokens:
                self.finish = "length"
                break
            logits_V = session.read([token])
        self.text, self.truncated = text.finished(), session.truncated


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
    probabilities = logits_V.double().softmax(-1)
    top = probabilities.topk(min(NUM_ALTERNATIVES, probabilities.numel()))
    alternatives = tuple(
        Alternative(index, tokenizer.token_text(index), probability)
        for index, probability in zip(top.indices.tolist(), top.values.tolist(), strict=True)
    )
    return GeneratedToken(token, tokenizer.token_text(token), float(probabilities[token]), alternatives)


class IncrementalText:
    """Tokens to text as they come: only complete characters, and never a part of a stop string.

    Text that could still become a stop string is held back until it is clear; a stop string may begin in one token and end in
    another.
    """

    def __init__(self, tokenizer: TextTokenizer, stop: Sequence[str]) -> None:
        self.visible = ""
        self._tokenizer = tokenizer
        self._stop = [text for text in stop if text]
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._text = ""
        self._stopped = False

    def add(self, token: int) -> bool:
        """Take one token in; True when a stop string is complete."""
        self._text += self._decoder.decode(self._tokenizer.token_bytes(token))
        ends = [position for text in self._stop if (position := self._text.find(text)) >= 0]
        if ends:
            self.visible = self._text[: min(ends)]
            self._stopped = True
            return True
        held_back = max((_overlap(self._text, text) for text in self._stop), default=0)
        self.visible = self._text[: len(self._text) - held_back]
        return False

    def finished(self) -> str:
        """All text, with what was held back, when nothing more will come."""
        if not self._stopped:
            self._text += self._decoder.decode(b"", final=True)
            self.visible = self._text
        return self.visible


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that is a beginning of `stop`."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
