"""Byte-pair encoding to watch: merges learned from the beginning of a text, and any text cut after the first few of them.

So little text is read that it takes no longer than a page may wait. Not here: the trainer (`bpe_trainer.py`), the page
(`llm_core.ui.bpe_lesson`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llm_core.text.bpe_trainer import Merge, count_words, cut_by_merges, learn_merges, words_of
from llm_core.text.library import preview
from llm_core.text.tokenizer_interface import TokenPiece, visible_bytes
from llm_core.workspace.paths import Workspace

LESSON_CHARACTERS = 10_000
"""What is read of a text: its merges are learned in a tenth of a second."""
MOST_MERGES = 300
_FIRST_MERGED_ID = 256
_ENTRIES = 100


@dataclass(frozen=True)
class Lesson:
    """What was learned, and from how much."""

    merges: tuple[Merge, ...]
    """In the order in which they were learned."""
    characters: int
    """Characters read."""
    is_whole: bool
    """Whether that was all of the text."""


def beginning(workspace: Workspace, dataset: str) -> tuple[str, bool]:
    """The first LESSON_CHARACTERS of a stored text, and whether that is all of it. NotFound when there is no such text."""
    text = "\n".join(preview(workspace, dataset, 0, _ENTRIES))
    return text[:LESSON_CHARACTERS], len(text) < LESSON_CHARACTERS


def learn(text: str, most: int, *, is_whole: bool = True) -> Lesson:
    """The first `most` merges of a text; fewer when no two pieces are left to join."""
    text = text[:LESSON_CHARACTERS]
    return Lesson(tuple(learn_merges(count_words([text]), min(most, MOST_MERGES))), len(text), is_whole)


def cut_after(text: str, merges: Sequence[Merge]) -> list[TokenPiece]:
    """The text in the pieces that these merges leave: ids 0 to 255 are bytes, then come the merges in their order."""
    rank_of = {(merge.left, merge.right): rank for rank, merge in enumerate(merges)}
    id_of = {merge.joined: _FIRST_MERGED_ID + rank for rank, merge in enumerate(merges)}
    parts_of: dict[bytes, list[bytes]] = {}
    found: list[TokenPiece] = []
    for word in words_of(text):
        if word not in parts_of:
            parts_of[word] = cut_by_merges(word, rank_of)
        found += [TokenPiece(id_of.get(part, part[0]), visible_bytes(part), part) for part in parts_of[word]]
    return found
