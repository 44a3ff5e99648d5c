"""Where a text is divided, to be looked at: the last of the training part and the first of the validation part.

Not here: how it is divided (`splits.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llm_core.text.corpus_file import ROW_CHARACTERS, read_rows
from llm_core.text.pair_preview import read_pairs
from llm_core.text.splits import Side, Split, document_sides


@dataclass(frozen=True)
class ShownDocument:
    """The beginning of one document and the part it belongs to."""

    number: int
    """Counted from 1."""
    side: Side
    text: str
    """In a text of pairs the source."""
    target: str | None = None
    """Only in a text of pairs."""


def text_around_cut(folder: Path, split: Split, characters: int = 200) -> tuple[str, str]:
    """The last characters before the cut of a one-document text and the first after it."""
    start = max(split.train_characters - characters, 0)
    skipped, inside = divmod(start, ROW_CHARACTERS)
    wanted = split.train_characters - start + characters
    text = ""
    for _, row in read_rows(folder, 0, skip_rows=skipped):
        text += row
        if len(text) >= inside + wanted:
            break
    text = text[inside : inside + wanted]
    cut = split.train_characters - start
    return text[:cut], text[cut:]


def first_documents(folder: Path, split: Split, count: int = 12, characters: int = 120) -> list[ShownDocument]:
    """The first documents of a text with several, each with its side; one of each side is always among them."""
    chosen: dict[int, Side] = {}
    for number, side in enumerate(document_sides(folder, split)):
        has_both = len(set(chosen.values())) == 2
        if number >= count and has_both:
            break
        if number < count or side not in chosen.values():
            chosen[number] = side
    if split.is_pairs:
        pairs = {number: read_pairs(folder, number, 1, characters)[0].texts for number in chosen}
        return [
            ShownDocument(number + 1, side, pairs[number].source, pairs[number].target)
            for number, side in chosen.items()
        ]
    return [
        ShownDocument(number + 1, side, next(read_rows(folder, number))[1][:characters])
        for number, side in chosen.items()
    ]
