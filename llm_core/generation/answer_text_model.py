"""An encoder-decoder that has read a source, as a TextModel: what it writes is the answer.

The source is read once. The answer begins with the model's start token, which the caller hands over as the prompt
(`prompts.ready_to_write`). Not here: writing (`decoding.py`).

Axes: S source positions, T target positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from llm_core.config.errors import UserError
from llm_core.generation.evaluation_mode import evaluation_mode
from llm_core.generation.likelihood import Losses, Tokens, check_scorable, losses_of_hidden
from llm_core.generation.text_model import Session, checked_logits
from llm_core.models.interface import LanguageModel, Memory, State
from llm_core.text.tokenizer_interface import TextTokenizer


class AnswerTextModel:
    """A source and the model that answers it. An answer ends where the context does: nothing of it is ever let go.

    Args:
        source: its tokens, the end included where the model was trained with one.
        use_cache: False reads the whole answer again for each token: slow, and the oracle of the cached way.

    Raises:
        UserError: the source is empty or longer than the context.
    """

    begins_text = True

    def __init__(
        self, model: LanguageModel, tokenizer: TextTokenizer, source: Sequence[int], *, use_cache: bool = True
    ) -> None:
        if not source:
            raise UserError("There is no source to answer", remedy="Write a text for the encoder to read")
        self.model = model
        self.tokenizer = tokenizer
        self.use_cache = use_cache
        self.vocabulary_size = model.vocabulary_size
        self.context_length = model.context_length
        self.source_tokens = len(source)
        """How many tokens it has read."""
        with evaluation_mode(model), torch.inference_mode():
            self.memory = model.encode(torch.tensor([list(source)], device=model.device))

    def start(self, max_tokens: int | None = None) -> Session:
        room = self.context_length if max_tokens is None else min(max_tokens, self.context_length)
        return _AnswerSession(self.model, self.memory, room, self.use_cache)

    def target_nats(self, tokens: Tokens, *, stride: int | None = None) -> Iterator[Losses]:
        """-ln p of every token after the first, given the source; the first is the start token. One piece."""
        check_scorable(tokens)
        inputs_1T = torch.tensor([list(tokens)], device=self.model.device)
        with evaluation_mode(self.model), torch.inference_mode():
            hidden_1TD = self.model(inputs_1T[:, :-1], memory=self.memory).hidden_BTD
            yield losses_of_hidden(self.model, hidden_1TD, inputs_1T[:, 1:])[0]


class _AnswerSession:
    """One answer: keys and values of what is written, and of the source."""

    truncated = False

    def __init__(self, model: LanguageModel, memory: Memory, room: int, use_cache: bool) -> None:
        self._model = model
        self._memory = memory
        self._written: list[int] = []
        self._state: State | None = None
        if use_cache:
            with torch.inference_mode():
                self._state = model.initial_state(1, room, memory=memory)

    @property
    def is_full(self) -> bool:
        return len(self._written) >= self._model.context_length

    def read(self, tokens: Sequence[int]) -> Tensor:
        assert tokens, "a session reads at least one token"
        self._written += tokens
        unread = self._written if self._state is None else list(tokens)
        with torch.inference_mode():
            piece_1T = torch.tensor([unread], dtype=torch.int64, device=self._model.device)
            memory = self._memory if self._state is None else None
            hidden_1TD = self._model(piece_1T, state=self._state, memory=memory).hidden_BTD
            return checked_logits(self._model.logits(hidden_1TD[0, -1]))
