"""A run of an n-gram model: nothing is trained, the text is counted once for each order up to the one that is wanted.

Each order is a step, so that the chart shows what a longer memory is worth. Not here: counting itself (`llm_core.models.ngram`), points and
checkpoints (`llm_core.backend.worker_count`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llm_core.generation.likelihood import Likelihood, sum_losses
from llm_core.generation.ngram_text_model import NgramTextModel
from llm_core.models.ngram import NgramModel, fit_ngrams
from llm_core.text.tokenizer_interface import TextTokenizer


@dataclass(frozen=True)
class CountedOrder:
    """One order, counted and measured."""

    model: NgramModel
    train: Likelihood
    """On the text that was counted, which it knows by heart the better the longer it looks."""
    validation: Likelihood
    seconds: float
    """What counting took, without measuring."""


def count_order(
    train: npt.NDArray[np.integer],
    validation: npt.NDArray[np.integer],
    tokenizer: TextTokenizer,
    order: int,
    end_of_text: int | None,
    on_piece: Callable[[], None] = lambda: None,
) -> CountedOrder:
    """Count one order and measure it on both parts of the text.

    Args:
        end_of_text: the token after which a new document begins; None for a text of one document.
        on_piece: called between counting and measuring.
    """
    started = time.perf_counter()
    model = fit_ngrams(train, order, tokenizer.vocabulary_size, end_of_text)
    seconds = time.perf_counter() - started
    text_model = NgramTextModel(model, tokenizer)
    measured: list[Likelihood] = []
    for tokens in (train, validation):
        on_piece()
        measured.append(sum_losses(text_model.target_nats(tokens), tokens, tokenizer))
    return CountedOrder(model, measured[0], measured[1], seconds)
