"""The one interface of every neural language model, and the state it carries from call to call.

Generation, inspection, evaluation and training know only this file; what sits behind it is the registry's business.
It holds no arithmetic: layers and families live in their own files.

Axes: B batch, T new positions, D model width, V vocabulary.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn

from llm_core.config.errors import UserError
from llm_core.models.tap import Tap


class State(ABC):
    """What a model remembers of the tokens it has read: a key-value cache, or recurrent vectors.

    A state given to `forward` is used up: a cache is written in place. Go on with the one in the `Output`, and call
    `select` first to keep a branch.
    """

    lengths_B: Tensor
    """How many tokens each row has read (int64)."""

    @abstractmethod
    def select(self, rows: Tensor) -> Self:
        """A copy holding the given rows (int64 indices, repeats allowed): beams, branches, finished rows dropped."""

    @abstractmethod
    def truncate(self, lengths_B: Tensor) -> Self:
        """The state as it was when row b had read `lengths_B[b]` tokens. Raises UserError where the past is not kept."""

    @abstractmethod
    def restart(self, rows_B: Tensor) -> Self:
        """The state with the rows where the boolean mask is True as before their first token."""

    @abstractmethod
    def detach(self) -> Self:
        """The same values cut from the autograd graph (truncated backpropagation through time)."""


class Memory(NamedTuple):
    """What an encoder leaves for a decoder to look at."""

    hidden_BSD: Tensor
    padding_BS: Tensor | None


class Output(NamedTuple):
    """Result of a forward pass. A named tuple, so that compilers and sharding wrappers see the tensors inside."""

    hidden_BTD: Tensor
    """After the final norm: what `logits` takes."""
    state: State | None
    """None exactly when the model carries nothing and none was given."""


class LanguageModel(nn.Module, ABC):
    """A network that reads tokens and gives, at every position, a distribution over the next token.

    `forward` gives hidden states and `logits` turns any of them into scores, so that a loss may take chosen positions
    only. Shapes: tokens_BT int64; positions_BT int64; documents_BT int64, a number per document, each document
    contiguous (attention stays inside it and positions restart); padding_BT bool, True where there is no token.
    """

    is_recurrent: ClassVar[bool]
    """True when the state is of fixed size and training carries it from batch to batch."""

    config: Any
    vocabulary_size: int
    context_length: int

    @abstractmethod
    def forward(
        self,
        tokens_BT: Tensor,
        *,
        positions_BT: Tensor | None = None,
        documents_BT: Tensor | None = None,
        padding_BT: Tensor | None = None,
        memory: Memory | None = None,
        state: State | None = None,
        tap: Tap | None = None,
    ) -> Output:
        """Hidden states at the T new positions, which follow whatever `state` has read. Hidden values at padding are void."""

    @abstractmethod
    def logits(self, hidden: Tensor) -> Tensor:
        """Unnormalised log-probabilities (..., V) for hidden states (..., D) of any leading shape."""

    @abstractmethod
    def initial_state(
        self,
        batch_size: int,
        max_length: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        memory: Memory | None = None,
    ) -> State:
        """A state that has read nothing, with room for `max_length` tokens a row. Device and dtype default to the weights'."""

    def encode(self, tokens_BS: Tensor, *, padding_BS: Tensor | None = None, tap: Tap | None = None) -> Memory:
        """The encoder's memory of a source text. Raises UserError for a model without an encoder."""
        raise UserError(
            "This model has no encoder.",
            value=type(self).__name__,
            remedy="Give the text as the prompt, or choose an encoder-decoder model.",
        )

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype
