"""How often each token occurs in an encoded text, and what that alone predicts.

Not here: counting characters and words while importing (`statistics.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from llm_core.text.token_set import TRAIN_FILE, TokenSet

_TOKENS_AT_ONCE = 2**22

Counts_V = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TokenCount:
    """One token and how often the training part has it."""

    token_id: int
    text: str
    count: int
    share: float


def count_tokens(path: Path, dtype: np.dtype[np.uint16] | np.dtype[np.uint32], vocabulary_size: int) -> Counts_V:
    """Occurrences of every id in a token file, shape [V]; reads it in stretches."""
    counts = np.zeros(vocabulary_size, dtype=np.int64)
    with path.open("rb") as file:
        while data := file.read(_TOKENS_AT_ONCE * dtype.itemsize):
            counts += np.bincount(np.frombuffer(data, dtype=dtype), minlength=vocabulary_size)
    return counts


def top_tokens(token_set: TokenSet, count: int = 50) -> list[TokenCount]:
    """The most frequent tokens of the training part."""
    meta = token_set.meta
    counts = count_tokens(token_set.path / TRAIN_FILE, np.dtype(meta.dtype), meta.vocabulary_size)
    order = np.argsort(-counts, kind="stable")[:count]
    return [
        TokenCount(int(i), token_set.tokenizer.token_text(int(i)), int(counts[i]), float(counts[i] / meta.train_tokens))
        for i in order
        if counts[i]
    ]


def unigram_level(train_V: Counts_V, validation_V: Counts_V) -> float:
    """Nats per validation token of a model that knows only how often each id occurs in the training part.

    Cross-entropy -sum_v q(v) ln p(v), q the validation shares, p the training shares without smoothing. An id that training
    never shows would cost infinitely much; it is charged as if seen once, ln(training tokens), which keeps the level finite
    and is a little too kind (p then sums to slightly more than 1). `TokenMeta.unseen_validation_tokens` says how many.
    """
    total = int(train_V.sum())
    assert total > 0, "an empty training part is refused before"
    cost_V = np.log(total) - np.log(np.maximum(train_V, 1))
    num_validation = int(validation_V.sum())
    return float((validation_V * cost_V).sum() / num_validation) if num_validation else 0.0
