"""The first characters of pairs, to be looked at side by side, read from their place on disk.

Not here: which are for validation (`splits.py`), pairs of a table that is not imported yet (`table_columns.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llm_core.text.corpus_file import read_rows
from llm_core.text.pairs import PAIR_SEPARATOR, PairText

LONGEST_SHOWN_CHARACTERS = 2048


@dataclass(frozen=True)
class ShownPair:
    """The beginning of both texts of a pair."""

    number: int
    """Counted from 1."""
    texts: PairText
    is_cut: bool
    """Whether one of them goes on."""


def read_pairs(
    folder: Path, first: int = 0, count: int = 10, characters: int = LONGEST_SHOWN_CHARACTERS
) -> list[ShownPair]:
    """Pairs `first` to `first + count - 1` (counted from 0) of a stored text of pairs, each text cut after so many characters."""
    found: dict[int, list[_Beginning]] = {}
    for document, row in read_rows(folder, first):
        if document >= first + count:
            break
        sides = found.setdefault(document, [_Beginning(characters)])
        source_or_target, *target = row.split(PAIR_SEPARATOR)
        sides[-1].add(source_or_target)
        for stretch in target:  # at most one: neither text of a pair holds the separator
            sides.append(_Beginning(characters))
            sides[-1].add(stretch)
    return [
        ShownPair(document + 1, PairText(*(side.text for side in sides)), any(side.is_cut for side in sides))
        for document, sides in found.items()
    ]


class _Beginning:
    """The first characters of a text that comes in stretches."""

    def __init__(self, characters: int) -> None:
        self.text = ""
        self.is_cut = False
        self._room = characters

    def add(self, stretch: str) -> None:
        self.is_cut |= len(stretch) > self._room
        self.text += stretch[: self._room]
        self._room -= min(len(stretch), self._room)
