"""What is counted about a model, and what each family has to say for it. Free of torch.

Not here: the families' formulas (`*_counting.py`), which family has which (`counting.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields

from llm_core.config.run import RunConfig

# Resident memory of a worker that has imported torch and its kernels and done one step of a tiny model, measured on Linux with
# torch 2.13 (CPU build); see docs/log.md.
RUNTIME_BYTES = 400_000_000
_FLOAT_BYTES = 4


@dataclass(frozen=True)
class ParameterCount:
    """Parameters by what they are for. A tied head counts once, under `embedding`."""

    embedding: int = 0
    attention: int = 0
    feed_forward: int = 0
    recurrent: int = 0
    norm: int = 0
    head: int = 0
    ngrams: int = 0
    """Counted n-grams, each with a share of its own and all but the longest with one for what follows it."""
    is_upper_bound: bool = False
    """True where only counting the text tells the number, which is then at most this."""

    @property
    def total(self) -> int:
        return (
            self.embedding + self.attention + self.feed_forward + self.recurrent + self.norm + self.head + self.ngrams
        )


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes a training process needs at its peak, by what they are for."""

    weights_bytes: int = 0
    gradients_bytes: int = 0
    optimizer_bytes: int = 0
    activations_bytes: int = 0
    logits_bytes: int = 0
    evaluation_bytes: int = 0
    """What a pass over validation text needs; it comes on top, because the allocator keeps what the last step used."""
    runtime_bytes: int = RUNTIME_BYTES

    @property
    def total_bytes(self) -> int:
        return sum(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True)
class RowShape:
    """What one row of a training batch holds, in tokens."""

    tokens: int
    """Tokens of text that it stands for: what speeds and budgets count."""
    read: int
    """Tokens that the network reads; of an encoder-decoder, the source."""
    scored: int
    """Places whose scores over the vocabulary are worked out."""
    written: int = 0
    """Tokens that the decoder of an encoder-decoder reads; 0 in all other families."""


class FamilyCounting(ABC):
    """The closed forms of one model. FLOPs are two per multiply-add of a matrix product; nothing else is counted."""

    @abstractmethod
    def whole_row(self, context_length: int) -> RowShape:
        """A row that fills the context, every place of it scored."""

    @abstractmethod
    def parameters(self, vocabulary_size: int, context_length: int, train_tokens: int | None) -> ParameterCount:
        """Exact where the configuration alone decides; else an upper bound that says so."""

    @abstractmethod
    def forward_flops(self, vocabulary_size: int, row: RowShape) -> int:
        """Floating-point operations to read one row and to score its places."""

    @abstractmethod
    def state_values(self, context_length: int) -> int:
        """Numbers remembered for one row while a full context is written."""

    @abstractmethod
    def training_memory(
        self, run: RunConfig, vocabulary_size: int, row: RowShape, train_tokens: int | None
    ) -> MemoryEstimate:
        """The peak of a training process."""

    @abstractmethod
    def weights_bytes(self, vocabulary_size: int, context_length: int, train_tokens: int | None) -> int:
        """What the model itself takes in memory."""


class NeuralCounting(FamilyCounting):
    """What is alike in all networks: weights in float32, and a training step that keeps what its backward pass needs."""

    def whole_row(self, context_length: int) -> RowShape:
        return RowShape(context_length, read=context_length, scored=context_length)

    @abstractmethod
    def kept_values(self, num_rows: int, row: RowShape) -> int:
        """Numbers that the backward pass of a batch needs again, scores over the vocabulary left out.

        Counted from the operations of each layer as torch's CPU kernels keep them.
        """

    @abstractmethod
    def evaluation_tokens(self, vocabulary_size: int, row: RowShape) -> int:
        """Tokens that a measurement of validation text reads at a time."""

    @abstractmethod
    def widest_values(self, row: RowShape) -> int:
        """Numbers per token at the widest moment inside a layer, when nothing is kept for a backward pass."""

    def weights_bytes(self, vocabulary_size: int, context_length: int, train_tokens: int | None) -> int:
        return _FLOAT_BYTES * self.parameters(vocabulary_size, context_length, train_tokens).total

    def training_memory(
        self, run: RunConfig, vocabulary_size: int, row: RowShape, train_tokens: int | None
    ) -> MemoryEstimate:
        weights = self.weights_bytes(vocabulary_size, run.data.context_length, train_tokens)
        rows = run.training.batch_size
        moments = {"adamw": 2, "adam": 2, "sgd": 1 if run.optimizer.momentum else 0}[run.optimizer.kind]
        read = self.evaluation_tokens(vocabulary_size, row)
        scored = read * row.scored // row.read
        return MemoryEstimate(
            weights_bytes=weights,
            gradients_bytes=weights,
            optimizer_bytes=moments * weights,
            activations_bytes=_FLOAT_BYTES * self.kept_values(rows, row),
            # Logits, their log-softmax and their gradient live at the same time.
            logits_bytes=3 * _FLOAT_BYTES * rows * row.scored * vocabulary_size,
            evaluation_bytes=_FLOAT_BYTES * max(read * self.widest_values(row), 2 * scored * vocabulary_size),
        )
