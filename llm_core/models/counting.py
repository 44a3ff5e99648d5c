"""How large and how costly a model of any family is, in closed form, without building it. Free of torch, so that pages may call it.

Parameters follow the modules exactly (a test compares them); of an n-gram model there is a bound. FLOPs follow the convention of PaLM
(Chowdhery et al. 2022, appendix B): two per multiply-add, matrix products only, attention over the whole context without halving for
causality, backward twice the forward. Per token means per token of the text that is trained on: a causal model reads and scores each;
an encoder reads each and scores the hidden ones; an encoder-decoder reads them in its source or writes them in its target.

Memory was measured against its estimate in processes of their own, two cores, 40 steps and two or three evaluations, resident peak and in
brackets the estimate: pocket-gpt 625 MB (602), twice as wide with batch 32 1,097 MB (1,090), shakespeare-cpu 599 MB (562), pocket-lstm
429 MB (445), an encoder 585 MB (550) and with width and context doubled 1,251 MB (997), an encoder-decoder 550 MB (584) and with
dropout 866 MB (841), minGRU 421 MB (436), 5-grams 367 MB (at most 625); more in docs/log.md.
Not here: each family's formulas (`*_counting.py`), what a row of an objective holds (`llm_core.objectives.row_shape`), speed and
time, which need a measurement (`llm_core.backend.estimates`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from llm_core.config.model import (
    EncoderConfig,
    EncoderDecoderConfig,
    GRUConfig,
    LSTMConfig,
    MinGRUConfig,
    ModelConfig,
    NgramConfig,
    RNNConfig,
    TransformerConfig,
)
from llm_core.config.run import RunConfig
from llm_core.models.counting_base import FamilyCounting, MemoryEstimate, ParameterCount, RowShape
from llm_core.models.decoder_counting import DecoderCounting
from llm_core.models.encoder_counting import EncoderCounting
from llm_core.models.encoder_decoder_counting import EncoderDecoderCounting
from llm_core.models.ngram_counting import NgramCounting
from llm_core.models.recurrent_counting import RecurrentCounting

__all__ = [
    "MemoryEstimate",
    "ParameterCount",
    "RowShape",
    "count_parameters",
    "forward_flops_per_token",
    "inference_memory_bytes",
    "training_flops_per_token",
    "training_memory",
    "whole_row",
]

_FLOAT_BYTES = 4
_FAMILIES: Mapping[type, Callable[[Any], FamilyCounting]] = MappingProxyType(
    {
        NgramConfig: NgramCounting,
        RNNConfig: RecurrentCounting,
        GRUConfig: RecurrentCounting,
        MinGRUConfig: RecurrentCounting,
        LSTMConfig: RecurrentCounting,
        TransformerConfig: DecoderCounting,
        EncoderConfig: EncoderCounting,
        EncoderDecoderConfig: EncoderDecoderCounting,
    }
)


def count_parameters(
    config: ModelConfig, vocabulary_size: int, context_length: int, *, train_tokens: int | None = None
) -> ParameterCount:
    """Exact parameter count of `build_model(config, vocabulary_size, context_length)`.

    Args:
        train_tokens: length of the text, where it is known; it bounds an n-gram model, and no other.
    """
    return _counting(config).parameters(vocabulary_size, context_length, train_tokens)


def whole_row(config: ModelConfig, context_length: int) -> RowShape:
    """A row that fills the context, every place of it scored: what is counted where nothing is said about the objective."""
    return _counting(config).whole_row(context_length)


def forward_flops_per_token(
    config: ModelConfig, vocabulary_size: int, context_length: int, *, row: RowShape | None = None
) -> int:
    """Floating-point operations to read one token of text in rows of the given shape, rounded down; 0 for an n-gram model."""
    counting = _counting(config)
    row = row or counting.whole_row(context_length)
    return counting.forward_flops(vocabulary_size, row) // row.tokens


def training_flops_per_token(
    config: ModelConfig, vocabulary_size: int, context_length: int, *, row: RowShape | None = None
) -> int:
    """Forward and backward: three times the forward."""
    return 3 * forward_flops_per_token(config, vocabulary_size, context_length, row=row)


def training_memory(
    run: RunConfig, vocabulary_size: int, *, row: RowShape | None = None, train_tokens: int | None = None
) -> MemoryEstimate:
    """Peak memory of training: float32 weights, gradients and moments, activations kept for the backward pass, logits, evaluation."""
    counting = _counting(run.model)
    row = row or counting.whole_row(run.data.context_length)
    return counting.training_memory(run, vocabulary_size, row, train_tokens)


def inference_memory_bytes(
    config: ModelConfig,
    vocabulary_size: int,
    context_length: int,
    batch_size: int = 1,
    *,
    train_tokens: int | None = None,
) -> int:
    """Weights in float32, and for each row the state or cache of a full context."""
    counting = _counting(config)
    weights = counting.weights_bytes(vocabulary_size, context_length, train_tokens)
    return weights + _FLOAT_BYTES * batch_size * counting.state_values(context_length)


def _counting(config: ModelConfig) -> FamilyCounting:
    return _FAMILIES[type(config)](config)
