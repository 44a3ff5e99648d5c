"""Where words start in a row of tokens, so that a word can be hidden as a whole. Free of torch.

A token starts a word when it begins with a space, or when letters follow something else or the other way round. What a token begins
and ends with is worked out once for the vocabulary. Not here: the hiding (`masked.py`).

Axes: B rows, T positions, V ids of the tokenizer.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from llm_core.text.tokenizer_interface import TextTokenizer

_SPACE, _WORD, _OTHER = 0, 1, 2


class WordStarts:
    """Finds the first token of each word.

    Args:
        tokenizer: whose ids the rows hold; ids beyond it count as no part of any word.
    """

    def __init__(self, tokenizer: TextTokenizer) -> None:
        texts = [tokenizer.token_bytes(i).decode("utf-8", "replace") for i in range(tokenizer.vocabulary_size)]
        self._first_V = np.array([_class(text[:1]) for text in texts], dtype=np.int8)
        self._last_V = np.array([_class(text[-1:]) for text in texts], dtype=np.int8)

    def __call__(self, tokens_BT: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """True at the first token of each word; each sign that is neither letter nor digit is a word of its own."""
        is_known_BT = tokens_BT < len(self._first_V)
        known_BT = np.where(is_known_BT, tokens_BT, 0)
        first_BT = np.where(is_known_BT, self._first_V[known_BT], _OTHER)
        last_BT = np.where(is_known_BT, self._last_V[known_BT], _OTHER)
        before_BT = np.pad(last_BT, ((0, 0), (1, 0)), constant_values=_OTHER)[:, :-1]
        return (first_BT != _WORD) | (before_BT != _WORD)


def _class(sign: str) -> int:
    if not sign or sign.isspace():
        return _SPACE
    return _WORD if sign.isalnum() or sign == "_" else _OTHER
