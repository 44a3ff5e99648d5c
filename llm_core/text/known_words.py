"""Words of a text, and how many of a sample's words are among them: a plain measure of whether a model has learned to spell.

Not here: tokens (`tokenizers.py`), the word tokenizer (`words.py`).
"""

from __future__ import annotations

import re

from llm_core.text.token_set import TokenSet

# Enough to meet nearly every word of a language; more would make a page wait.
MOST_BYTES = 4_000_000
_PIECE_TOKENS = 2**17
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


def words_in(text: str) -> list[str]:
    """The words of a text in small letters; digits and signs are none."""
    return [word.casefold() for word in _WORD.findall(text)]


def known_words(tokens: TokenSet) -> frozenset[str]:
    """The distinct words of the training split, of a long one those of its first megabytes."""
    count = min(len(tokens.train), int(MOST_BYTES / max(1.0, tokens.meta.bytes_per_token)))
    found: set[str] = set()
    for start in range(0, count, _PIECE_TOKENS):
        piece = tokens.train[start : min(start + _PIECE_TOKENS, count)].tolist()
        found.update(words_in(tokens.tokenizer.decode(piece)))
    return frozenset(found)


def known_share(text: str, known: frozenset[str]) -> float | None:
    """Share of the words of a text that are known, from 0 to 1; None for a text without a word.

    A word at the very end is left out where it may have been cut off.
    """
    words = words_in(text)
    if text[-1:].isalpha():
        words = words[:-1]
    return sum(word in known for word in words) / len(words) if words else None
