"""An encoder-decoder that has read a source, as a TextModel: what it writes is the answer.

The source is read once; the answer begins with the model's start token (`starting_tokens` of its tokenizer gives none of that, so the
caller hands it over as the prompt). Not here: writing (`decoding.py`).

Axes: S source positions, T target positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from llm_core.config.errors import UserError
from llm_core.generation.evaluation_mode import evaluation_mode
from llm_core.generation.likelihood import Losses, Tokens
from llm_core.generation.text_model import Session
from llm_core.models.interface import LanguageModel, Memory, State
from llm_core.objectives.causal import cross_entropy_per_target
from llm_core.text.tokenizer_interface import TextTokenizer


class AnswerTextModel:
    """A source and the model that answers it. An answer longer than the context is refused, never cut.

    Args:
        source: its tokens, the end included where the model was trained with one.

    Raises:
        UserError: the source is empty or longer than the context.
    """

    def __init__(self, model: LanguageModel, tokenizer: TextTokenizer, source: Sequence[int]) -> None:
        if not source:
            raise UserError("There is no source to answer", remedy="Write a text for the encoder to read")
        self.model = model
        self.tokenizer = tokenizer
        self.vocabulary_size = model.vocabulary_size
        self.context_length = model.context_length
        with evaluation_mode(model), torch.inference_mode():
            self.memory = model.encode(torch.tensor([list(source)], device=model.device))

    def start(self, max_tokens: int | None = None) -> Session:
        room = self.context_length if max_tokens is None else min(max_tokens, self.context_length)
        return _AnswerSession(self.model, self.memory, room)

    def target_nats(self, tokens: Tokens, *, stride: int | None = None) -> Iterator[Losses]:
        """-ln p of every token after the first, given the source; the first is the start token. One piece."""
        inputs_1T = torch.tensor([list(tokens)], device=self.model.device)
        with evaluation_mode(self.model), torch.inference_mode():
            hidden_1TD = self.model(inputs_1T[:, :-1], memory=self.memory).hidden_BTD
            yield cross_entropy_per_target(self.model.logits(hidden_1TD), inputs_1T[:, 1:])[0].cpu().numpy()


class _AnswerSession:
    def __init__(self, model: LanguageModel, memory: Memory, room: int) -> None:
        self.truncated = False
        self._model = model
        with torch.inference_mode():
            self._state: State = model.initial_state(1, room, memory=memory)

    def read(self, tokens: Sequence[int]) -> Tensor:
        assert tokens, "a session reads at least one token"
        with torch.inference_mode():
            piece_1T = torch.tensor([list(tokens)], dtype=torch.int64, device=self._model.device)
            hidden_1TD, state = self._model(piece_1T, state=self._state)
            assert state is not None
            self._state = state
            logits_V = self._model.logits(hidden_1TD[0, -1]).cpu()
        return logits_V if logits_V.dtype.itemsize >= 4 else logits_V.float()
