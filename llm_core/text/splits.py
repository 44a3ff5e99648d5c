"""Which part of a stored text is trained on and which is kept for validation; the two never overlap.

One document: the first `int((1 - fraction) * characters)` characters are for training, the rest for validation. Several:
whole documents by their content hash, so that equal documents stay on one side. Not here: cutting into tokens (`tokens.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from llm_core.config.errors import UserError
from llm_core.text.dataset_record import DatasetRecord, read_alphabet
from llm_core.text.pairs import PAIR_SEPARATOR

Side = Literal["train", "validation"]

USUAL_VALIDATION_FRACTION = 0.1
SHORTEST_WINDOW_TOKENS = 3
"""The shortest context that a run may have, two tokens, and the one to predict."""

_BIN_BITS = 20


@dataclass(frozen=True)
class Split:
    """How one text is divided. Characters are those of the text; end-of-document tokens are not counted."""

    is_one_document: bool
    hash_limit: int
    """Documents with a smaller content hash are for validation; unused for one document."""
    alphabet: str
    """The distinct characters of the whole text."""
    train_documents: int
    validation_documents: int
    train_characters: int
    validation_characters: int
    is_pairs: bool = False
    """Whether every document is a pair, a source and a target; each of the two is then ended on its own."""


class SidePart(NamedTuple):
    """A stretch of one document (or of one side of a single document); in pairs, of a source or of a target."""

    side: Side
    text: str
    ends: bool
    """Whether the document, source or target ends with it."""


def plan_split(folder: Path, record: DatasetRecord, fraction: float) -> Split:
    """Divide a stored text; reads one number per document.

    Args:
        folder: the dataset's folder.
        fraction: share of the characters for validation.

    Raises:
        UserError: nothing can be kept aside, because all documents are equal.
    """
    alphabet = read_alphabet(folder)
    if record.is_one_document:
        train = int((1 - fraction) * record.characters)
        return Split(True, 0, alphabet, 1, 1, train, record.characters - train)
    from llm_core.text.corpus_file import document_hashes

    limit = _hash_limit(folder, fraction)
    if limit == 0:
        raise UserError(
            f"Nothing can be kept for validation: all {'pairs' if record.is_pairs else 'documents'} of this text are equal",
            value=record.name,
            remedy="Bring more, different pairs"
            if record.is_pairs
            else "Import it with repetitions dropped, or as one document",
        )
    documents = characters = 0
    for hashes, lengths in document_hashes(folder):
        is_validation = hashes < np.uint64(limit)
        documents += int(is_validation.sum())
        characters += int(lengths[is_validation].sum())
    return Split(
        False,
        limit,
        alphabet,
        record.documents - documents,
        documents,
        record.characters - characters,
        characters,
        record.is_pairs,
    )


def check_split(folder: Path, record: DatasetRecord) -> Split:
    """The usual split of a text, if a run could use it at all.

    Raises:
        UserError: not even the shortest window fits into the part kept for validation, or nothing can be kept.
    """
    split = plan_split(folder, record, USUAL_VALIDATION_FRACTION)
    if window_tokens(split) < SHORTEST_WINDOW_TOKENS:
        raise UserError(
            "The text is too short for one validation window",
            value=f"{record.characters:,} characters, of which {split.validation_characters:,} would be for validation",
            limit=f"at least {SHORTEST_WINDOW_TOKENS} for validation: the shortest context and the token after it",
            remedy="Bring more text",
        )
    return split


def split_concerns(split: Split, fraction: float, context_length: int) -> list[UserError]:
    """What a split is worth a word for, though a run may be possible: a validation part too short for a context, or far too large."""
    found = (_short_for_context(split, context_length), _large_for_fraction(split, fraction))
    return [concern for concern in found if concern is not None]


def _short_for_context(split: Split, context_length: int) -> UserError | None:
    """The validation part, cut into characters, may hold no window. Pairs are read one by one, so none has to be filled."""
    tokens = window_tokens(split)
    if split.is_pairs or tokens > context_length:
        return None
    return UserError(
        f"The part kept for validation is too short for one window of {context_length:,} tokens",
        value=f"{tokens:,} characters",
        limit=f"more than {context_length:,} (data.context_length)",
        remedy=f"Bring more text, or train with a context of at most {tokens - 1:,}",
    )


def _large_for_fraction(split: Split, fraction: float) -> UserError | None:
    """Of a few unequal documents the large one may be kept for validation, so that training gets the smaller part."""
    share = split.validation_characters / (split.train_characters + split.validation_characters)
    if share <= max(0.5, fraction):
        return None
    return UserError(
        "Most of the text is kept for validation, since documents are not cut in two and these are few and of unequal length",
        value=f"{share:.0%} of the characters",
        limit=f"{fraction:.0%} asked for (data.validation_fraction)",
        remedy="Bring more or shorter documents, or import the text as one document",
    )


def window_tokens(split: Split) -> int:
    """How many tokens the validation part has when every character is one: the most that any window can be given."""
    ends = 0 if split.is_one_document else split.validation_documents * (2 if split.is_pairs else 1)
    return split.validation_characters + ends


def split_parts(folder: Path, split: Split) -> Iterator[SidePart]:
    """The whole text in its order, every stretch with its side; the separator of pairs is in none of them."""
    from llm_core.text.corpus_file import read_parts

    if split.is_one_document:
        position = 0
        for text, ends in read_parts(folder):
            cut = min(max(split.train_characters - position, 0), len(text))
            position += len(text)
            if cut:
                yield SidePart("train", text[:cut], position >= split.train_characters)
            if cut < len(text):
                yield SidePart("validation", text[cut:], ends)
        return
    sides = document_sides(folder, split)
    side: Side | None = None
    for text, ends in read_parts(folder):
        side = side or next(sides)
        if split.is_pairs:
            *sources, text = text.split(PAIR_SEPARATOR)
            for source in sources:
                yield SidePart(side, source, True)
        yield SidePart(side, text, ends)
        if ends:
            side = None


def document_sides(folder: Path, split: Split) -> Iterator[Side]:
    """The side of each document of a text with several, in their order."""
    from llm_core.text.corpus_file import document_hashes

    for hashes, _ in document_hashes(folder):
        for is_validation in (hashes < np.uint64(split.hash_limit)).tolist():
            yield "validation" if is_validation else "train"


def _hash_limit(folder: Path, fraction: float) -> int:
    """The content hash below which a document is for validation; 0 when all documents are equal.

    Documents are taken in the order of their hashes until their characters come closest to `fraction` of all; at least one
    distinct document stays on each side. Hashes are counted by their first bits, so memory does not grow with the text.
    """
    from llm_core.text.corpus_file import document_hashes

    characters = np.zeros(2**_BIN_BITS, dtype=np.int64)
    for hashes, lengths in document_hashes(folder):
        bins = (hashes >> np.uint64(64 - _BIN_BITS)).astype(np.int64)
        characters += np.bincount(bins, weights=lengths, minlength=2**_BIN_BITS).astype(np.int64)
    used = np.flatnonzero(characters)
    if len(used) < 2:
        return 0
    below = np.cumsum(characters[used])[:-1]
    chosen = int(np.argmin(np.abs(below - fraction * characters.sum())))
    return (int(used[chosen]) + 1) << (64 - _BIN_BITS)
