"""A tokenizer with more ids above its own: the mask, marks and ends that an objective added to a model's vocabulary.

Text never becomes one of them; they have names for people and stand for no text. Not here: which ids an objective adds
(`llm_core.text.vocabulary`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from llm_core.text.tokenizer_interface import ByteLengths, TextTokenizer, TokenArray, TokenPiece


class ExtendedTokenizer:
    """The tokenizer below with named ids added.

    Args:
        names: what each added id is called; ids without a name in between are called unused.
        size: ids in all.
        end_of_text_id: what ends a text for this model; the tokenizer's own when None.
    """

    def __init__(
        self, tokenizer: TextTokenizer, names: Mapping[int, str], size: int, end_of_text_id: int | None = None
    ) -> None:
        self._tokenizer = tokenizer
        self._names = dict(names)
        self.id = tokenizer.id
        self.kind = tokenizer.kind
        self.unknown_id = tokenizer.unknown_id
        self.vocabulary_size = size
        self.special_ids = tokenizer.special_ids | frozenset(range(tokenizer.vocabulary_size, size))
        self.end_of_text_id = tokenizer.end_of_text_id if end_of_text_id is None else end_of_text_id

    def encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text)

    def encode_array(self, text: str) -> TokenArray:
        return self._tokenizer.encode_array(text)

    def encode_many(self, texts: Sequence[str]) -> list[TokenArray]:
        return self._tokenizer.encode_many(texts)

    def encode_known(self, text: str) -> tuple[list[int], list[str]]:
        return self._tokenizer.encode_known(text)

    def pieces(self, text: str) -> list[TokenPiece]:
        return self._tokenizer.pieces(text)

    def decode(self, ids: Iterable[int]) -> str:
        return self._tokenizer.decode(i for i in ids if i < self._tokenizer.vocabulary_size)

    def token_text(self, token_id: int) -> str:
        if token_id < self._tokenizer.vocabulary_size:
            return self._tokenizer.token_text(token_id)
        return self._names.get(token_id, f"⟨unused {token_id}⟩")

    def token_bytes(self, token_id: int) -> bytes:
        return self._tokenizer.token_bytes(token_id) if token_id < self._tokenizer.vocabulary_size else b""

    def byte_lengths(self) -> ByteLengths:
        added = self.vocabulary_size - self._tokenizer.vocabulary_size
        return np.concatenate((self._tokenizer.byte_lengths(), np.zeros(added, dtype=np.int32)))

    def to_json(self) -> str:
        """The tokenizer below; the added ids follow from the run's objective."""
        return self._tokenizer.to_json()
