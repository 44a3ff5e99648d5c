"""The vocabulary of a model: the tokenizer's, and the tokens that an objective needs beside it. Free of torch.

A mask, marks for gaps, an end and a start are taken from the tokenizer where it has them (BERT's, RoBERTa's and T5's do); else they get
the ids just above it, which no text can become. Not here: hiding (`llm_core.objectives`).

Axes: V ids of the model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from llm_core.config.errors import UserError
from llm_core.config.objective import (
    CausalConfig,
    MaskingConfig,
    ObjectiveConfig,
    SpanCorruptionConfig,
)
from llm_core.text.extended_tokenizer import ExtendedTokenizer
from llm_core.text.tokenizer_interface import TextTokenizer

_MASKS = ("[MASK]", "<mask>")
_STARTS = ("<pad>", "[PAD]", "<s>", "[CLS]")
_FIRST_MARK = "<extra_id_0>"


@dataclass(frozen=True)
class ModelVocabulary:
    """What ids there are and what the special ones among them are for."""

    size: int
    """Rows of the embedding."""
    special_ids: frozenset[int]
    """Ids of the tokenizer that stand for no text."""
    tokenizer_size: int
    end_of_text: int | None = None
    """Ends a document of the text; None where the tokenizer has no such token."""
    mask_token: int | None = None
    end_token: int | None = None
    """Ends a source and a target of an encoder-decoder."""
    start_token: int | None = None
    """What a decoder reads before the target; it fills the places of padding too."""
    first_mark: int | None = None
    """Stands for the first gap; the next gap has the id below."""
    num_marks: int = 0

    @property
    def ordinary_ids(self) -> npt.NDArray[np.int64]:
        """Ids that stand for text, ascending."""
        ids_V = np.arange(self.tokenizer_size)
        return ids_V[~np.isin(ids_V, sorted(self.special_ids))]

    def with_rows(self, rows: int) -> ModelVocabulary:
        """The same ids in an embedding of more rows, as imported models have it."""
        return replace(self, size=max(rows, self.size))


def plain_vocabulary(size: int) -> ModelVocabulary:
    """That of a causal model of so many tokens, none of them special."""
    return ModelVocabulary(size, frozenset(), size)


def model_vocabulary(tokenizer: TextTokenizer, objective: ObjectiveConfig) -> ModelVocabulary:
    """The tokenizer's ids and those that the objective adds."""
    plain = ModelVocabulary(
        tokenizer.vocabulary_size,
        frozenset(tokenizer.special_ids),
        tokenizer.vocabulary_size,
        end_of_text=tokenizer.end_of_text_id,
    )
    return _with_objective(plain, special_tokens(tokenizer), objective)


def assumed_vocabulary(size: int, *, has_end: bool, objective: ObjectiveConfig) -> ModelVocabulary:
    """That of a tokenizer which is not made yet: so many ids, none special but perhaps the last, which ends a document."""
    end = size - 1 if has_end else None
    special = frozenset[int]() if end is None else frozenset({end})
    return _with_objective(ModelVocabulary(size, special, size, end_of_text=end), {}, objective)


def _with_objective(plain: ModelVocabulary, names: dict[str, int], objective: ObjectiveConfig) -> ModelVocabulary:
    if isinstance(objective, CausalConfig):
        return plain
    size = plain.size
    if isinstance(objective, MaskingConfig):
        mask = _first(names, _MASKS)
        return replace(plain, size=size + (mask is None), mask_token=size if mask is None else mask)
    end, start = plain.end_of_text, _first(names, _STARTS)
    if end is None:
        end, size = size, size + 1
    if start is None:
        start, size = size, size + 1
    first_mark = names.get(_FIRST_MARK)
    if isinstance(objective, SpanCorruptionConfig) and first_mark is None:
        size += objective.num_sentinels
        first_mark = size - 1
    if isinstance(objective, SpanCorruptionConfig) and first_mark in names.values():
        _check_marks(names, first_mark, objective.num_sentinels)
    num_marks = objective.num_sentinels if isinstance(objective, SpanCorruptionConfig) else 0
    return replace(plain, size=size, end_token=end, start_token=start, first_mark=first_mark, num_marks=num_marks)


def _check_marks(names: dict[str, int], first_mark: int | None, wanted: int) -> None:
    """UserError unless the tokenizer's own marks of gaps are enough; T5 numbers them downwards from the first."""
    assert first_mark is not None
    there = next((gap for gap in range(wanted) if names.get(f"<extra_id_{gap}>") != first_mark - gap), wanted)
    if there < wanted:
        raise UserError(
            "This tokenizer has fewer marks of gaps than the objective asks for",
            value=f"objective.num_sentinels={wanted}",
            limit=f"at most {there}",
            remedy=f"Set objective.num_sentinels to {there}",
        )


def special_tokens(tokenizer: TextTokenizer) -> dict[str, int]:
    """The tokenizer's special tokens by name."""
    return {tokenizer.token_text(token_id): token_id for token_id in sorted(tokenizer.special_ids)}


def _first(ids: dict[str, int], names: tuple[str, ...]) -> int | None:
    return next((ids[name] for name in names if name in ids), None)


def extend_tokenizer(tokenizer: TextTokenizer, vocabulary: ModelVocabulary) -> TextTokenizer:
    """The tokenizer with names for the ids that the objective added; itself where none were."""
    if vocabulary.size <= tokenizer.vocabulary_size and vocabulary.end_token in (None, tokenizer.end_of_text_id):
        return tokenizer
    names = {vocabulary.mask_token: "[MASK]", vocabulary.end_token: "⟨end⟩", vocabulary.start_token: "⟨start⟩"}
    if vocabulary.first_mark is not None:
        names |= {vocabulary.first_mark - gap: f"⟨gap {gap + 1}⟩" for gap in range(vocabulary.num_marks)}
    known = {token_id: name for token_id, name in names.items() if token_id is not None}
    return ExtendedTokenizer(tokenizer, known, vocabulary.size, vocabulary.end_token)
