"""A pair, a source and the target to be written from it, as one document of a text: both with one character between them.

So splitting by content, dropping equal documents and streaming work for pairs as for any text; `DatasetRecord.is_pairs` says
that the character means this. Not here: reading the two columns (`tables.py`), drawing pairs for training
(`pair_batches.py`), which know pairs as tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from llm_core.config.errors import UserError
from llm_core.text.tokenizer_interface import describe_character

PAIR_SEPARATOR = "\x1e"
"""U+001E, record separator: made for this, and in no script. It is no part of either text and becomes no token."""

FEWEST_PAIRS = 2
"""One to learn from and one to be measured on."""


class PairText(NamedTuple):
    """One pair."""

    source: str
    target: str


def join_pair(source: str, target: str) -> str:
    """The document of a pair whose texts are known to be good."""
    return f"{source}{PAIR_SEPARATOR}{target}"


def split_pair(document: str) -> PairText:
    """The pair in a document; the target is empty where the document was cut before it."""
    source, _, target = document.partition(PAIR_SEPARATOR)
    return PairText(source, target)


def row_document(cells: Sequence[str], names: Sequence[str], place: str) -> str:
    """The document of a table's row: its cell, or the pair of its two cells; empty when there is nothing in any of them.

    Args:
        cells: one text, or source and target.
        names: of their columns.
        place: where the row is, as a message begins: `Row 7`.

    Raises:
        UserError: one cell of a pair is empty and the other is not, or one holds the separator.
    """
    if len(cells) == 1:
        return cells[0]
    for name, cell in zip(names, cells, strict=True):
        if PAIR_SEPARATOR in cell:
            raise UserError(
                f"{place}: “{name}” holds the character that keeps the two texts of a pair apart",
                value=f"{describe_character(PAIR_SEPARATOR)} at character {cell.index(PAIR_SEPARATOR) + 1:,}",
                remedy="Remove it from the table; it is invisible and means nothing in a text",
            )
    empty = [name for name, cell in zip(names, cells, strict=True) if not cell.strip()]
    if len(empty) == 1:
        raise UserError(
            f"{place}: “{empty[0]}” is empty, so half of the pair is missing",
            limit="text in both columns, or in neither",
            remedy="Fill it in, or leave the row out",
        )
    return "" if empty else join_pair(*cells)
