"""An objective as training sees it: batches from tokens, and a module that turns a batch into a sum and a count.

Sums and counts, never means: accumulated pieces and pieces on several devices then equal one large batch.
Not here: the objectives (their own files), which one a run has (`registry.py`), figures on validation text
(`llm_core.training.measurement`).

Axes: B rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from llm_core.models.interface import LanguageModel, State
from llm_core.text.batches import TokenVector
from llm_core.text.vocabulary import ModelVocabulary

NO_TARGET = -100
"""Target of a place that a row leaves empty; torch's cross entropy leaves it out."""


class Batch(NamedTuple):
    """What one forward pass reads."""

    arrays: dict[str, npt.NDArray[Any]]
    """By the names that the step's `forward` gives them."""
    num_tokens: int
    """Tokens of the text that it stands for: what budgets and speeds count."""
    num_targets: int
    """Predictions it is scored on: what the loss is divided by."""
    restart_B: npt.NDArray[np.bool_] | None = None
    """For streams: which rows start anew. None where nothing is carried over."""
    starts_B: npt.NDArray[np.int64] | None = None
    """Where in the training split the rows begin, in tokens."""


class StepOutput(NamedTuple):
    """The sum of the losses in nats (float32, scalar), the number of targets (int64, scalar), and what the model remembers."""

    loss_sum: Tensor
    num_targets: Tensor
    state: State | None = None


class BatchReader(Protocol):
    """Batches of one text without end, from a place that can be stored and resumed exactly."""

    @property
    def tokens_per_batch(self) -> float:
        """`num_tokens` of a batch, on average."""
        ...

    def next(self) -> Batch:
        """The next batch."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """The position as plain JSON values."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where the state was taken."""
        ...


class Objective(Protocol):
    """What a model is asked to predict."""

    vocabulary: ModelVocabulary

    def step(self, model: LanguageModel) -> nn.Module:
        """The model with its loss on top: `forward(**arrays)`, and `state` for recurrent ones, gives a StepOutput."""
        ...

    def reader(self, tokens: TokenVector) -> BatchReader:
        """Batches of a training split. Raises UserError where the text does not fit the objective."""
        ...


class FillingObjective(Objective, Protocol):
    """An objective whose loss is a mean over chosen tokens given the rest: hidden ones, or an answer."""

    def scores(self, model: LanguageModel, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits (..., V) at the places that are scored, and their targets, on the model's device."""
        ...

    def validation(self, tokens: TokenVector, limit_tokens: int) -> Iterator[Batch]:
        """The same batches each time: the text from its start to its end, or about so many tokens of it (0: all)."""
        ...
