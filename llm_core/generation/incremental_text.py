"""Tokens to text as they come: complete characters only, and never a part of a stop string.

A character may be spread over several tokens, and so may a stop string. Text that could still become a stop string is held back until
it is clear. Not here: which token comes (`decoding.py`).
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from llm_core.text.tokenizers import TextTokenizer


class IncrementalText:
    """The text of a growing sequence of tokens.

    Args:
        tokenizer: gives the bytes of each token; bytes that are no UTF-8 show as U+FFFD, as in its `decode`.
        stop: the text ends before the first of these; empty ones are ignored.
        begins_text: nothing stands before it, so that a space which the tokenizer keeps in a word's first token is no part of it.
    """

    def __init__(self, tokenizer: TextTokenizer, stop: Sequence[str], *, begins_text: bool = False) -> None:
        self._is_first = begins_text
        self.visible = ""
        """What can be shown: it only grows."""
        self._tokenizer = tokenizer
        self._stop = [text for text in stop if text]
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held_back = ""
        """Text after `visible` that may be the beginning of a stop string."""
        self._stopped = False

    def add(self, token: int) -> bool:
        """Take one token in; True when a stop string is complete."""
        assert not self._stopped, "nothing comes after a stop string"
        # A stop string that is complete only now begins in what was held back, or after it.
        piece = self._tokenizer.token_bytes(token)
        if self._is_first and piece.startswith(b" ") and not self._tokenizer.decode([token]).startswith(" "):
            piece = piece[1:]
        self._is_first = False
        pending = self._held_back + self._decoder.decode(piece)
        found = [position for text in self._stop if (position := pending.find(text)) >= 0]
        if found:
            self.visible += pending[: min(found)]
            self._stopped = True
            return True
        clear = len(pending) - max((_overlap(pending, text) for text in self._stop), default=0)
        self.visible += pending[:clear]
        self._held_back = pending[clear:]
        return False

    def finish(self) -> str:
        """All text, with what was held back, when nothing more will come."""
        if not self._stopped:
            self._stopped = True
            self.visible += self._held_back + self._decoder.decode(b"", final=True)
        return self.visible


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that is a beginning of `stop` and not all of it."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
