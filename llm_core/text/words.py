"""Word-level tokenizers: what stands between white space is a token, and so is the end of a line, as Penn Treebank and WikiText ask.

Such texts are cut into words already, and in them rare words are written `<unk>`. That literal `<unk>` is a word like any other. The
vocabulary has a token of its own for whatever it does not hold, shown as `<unk>` too: a word that is not in it is no error, as an
unknown character is elsewhere, because a limited vocabulary is what this form is for; it becomes that token, `encode_known` names it,
and bits per byte are null wherever it is a target. KenLM keeps the same two apart.

Where each line of the text begins and ends with a space, as in the standard files, every text of that form comes back byte for byte.
Elsewhere words come back with one space between them. Not here: pieces of words (`subword.py`).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from llm_core.config.errors import UserError
from llm_core.text.tokenizer_interface import (
    END_OF_TEXT,
    ByteLengths,
    TokenArray,
    TokenPiece,
    refuse_surrogates,
    tokenizer_id,
)

UNKNOWN = "<unk>"
UNKNOWN_ID = 0
LINE_END_ID = 1
_FIRST_WORD_ID = 2
# What a text of spaced lines has nowhere: other white space, two spaces, a line without a space at its end or its beginning.
_OTHER_FORM = re.compile(r"[^\S \n]|  |[^ ]\n|\n[^ ]")


class WordTokenizer:
    """One token a word of a fixed list; ids: the unknown word, the line end, the words in their order, the end of a document.

    Args:
        words: distinct, without white space in them.
        spaced_lines: whether lines begin and end with a space and words have one between them.
        end_of_text: whether the last id is `<|endoftext|>`; sets with several documents need it.
    """

    kind = "word"
    unknown_id: int | None = UNKNOWN_ID

    def __init__(self, words: Sequence[str], *, spaced_lines: bool = False, end_of_text: bool = False) -> None:
        self.words = tuple(words)
        self.spaced_lines = spaced_lines
        self._line_end = " \n" if spaced_lines else "\n"
        self._id_of_word = {word: _FIRST_WORD_ID + index for index, word in enumerate(self.words)}
        last = _FIRST_WORD_ID + len(self.words)
        self.end_of_text_id = last if end_of_text else None
        self.vocabulary_size = last + int(end_of_text)
        self.special_ids = frozenset({last}) if end_of_text else frozenset[int]()
        self.id = tokenizer_id(self.to_json())

    def encode(self, text: str) -> list[int]:
        refuse_surrogates(text)
        ids: list[int] = []
        for number, line in enumerate(text.split("\n")):
            if number:
                ids.append(LINE_END_ID)
            ids += [self._id_of_word.get(word, UNKNOWN_ID) for word in line.split()]
        return ids

    def encode_array(self, text: str) -> TokenArray:
        return np.array(self.encode(text), dtype=np.int64)

    def encode_many(self, texts: Sequence[str]) -> list[TokenArray]:
        return [self.encode_array(text) for text in texts]

    def encode_known(self, text: str) -> tuple[list[int], list[str]]:
        known = [token_id for token_id in self.encode(text) if token_id != UNKNOWN_ID]
        return known, list(dict.fromkeys(word for word in text.split() if word not in self._id_of_word))

    def pieces(self, text: str) -> list[TokenPiece]:
        refuse_surrogates(text)
        found: list[TokenPiece] = []
        for number, line in enumerate(text.split("\n")):
            if number:
                found.append(self._piece(LINE_END_ID))
            for word in line.split():
                token_id = self._id_of_word.get(word)
                found.append(TokenPiece(None, f" {word}", b"") if token_id is None else self._piece(token_id))
        return found

    def _piece(self, token_id: int) -> TokenPiece:
        return TokenPiece(token_id, self.token_text(token_id), self.token_bytes(token_id))

    def decode(self, ids: Iterable[int]) -> str:
        text = "".join(self._text(int(token_id)) for token_id in ids if token_id not in self.special_ids)
        return text if self.spaced_lines else text.replace("\n ", "\n").removeprefix(" ")

    def token_text(self, token_id: int) -> str:
        return END_OF_TEXT if token_id in self.special_ids else self._text(token_id)

    def token_bytes(self, token_id: int) -> bytes:
        return b"" if token_id in self.special_ids else self._text(token_id).encode("utf-8")

    def _text(self, token_id: int) -> str:
        if token_id == LINE_END_ID:
            return self._line_end
        return " " + (UNKNOWN if token_id == UNKNOWN_ID else self.words[token_id - _FIRST_WORD_ID])

    def byte_lengths(self) -> ByteLengths:
        """A word counts with one byte of white space; a line end is that byte of the last word before it, unless lines are spaced."""
        lengths = np.array([len(self.token_bytes(i)) for i in range(self.vocabulary_size)], dtype=np.int32)
        lengths[UNKNOWN_ID] = 0
        if not self.spaced_lines:
            lengths[LINE_END_ID] = 0
        return lengths

    def to_json(self) -> str:
        fields = {
            "type": "word",
            "version": 1,
            "words": self.words,
            "spaced_lines": self.spaced_lines,
            "end_of_text": self.end_of_text_id is not None,
        }
        return json.dumps(fields, ensure_ascii=False)


def train_words(texts: Iterable[str], size: int = 0, *, end_of_text: bool = False) -> WordTokenizer:
    """The words of the texts, the most frequent first, equally frequent ones by code points.

    Args:
        texts: cut where white space begins (`encoding_pieces`); read once.
        size: entries of the vocabulary, with the unknown word, the line end and the end of a document; 0 takes every word.

    Raises:
        UserError: there is no word.
    """
    counts: Counter[str] = Counter()
    spaced, last_sign = True, "\n"
    for text in texts:
        counts.update(text.split())
        spaced = spaced and _OTHER_FORM.search(last_sign + text) is None
        last_sign = text[-1:] or last_sign
    if not counts:
        raise UserError("There is no word in the text", remedy="Bring more text, or cut it into characters or bytes")
    in_order = sorted(counts, key=lambda word: (-counts[word], word))
    room = size - _FIRST_WORD_ID - int(end_of_text) if size else len(in_order)
    return WordTokenizer(in_order[:room], spaced_lines=spaced, end_of_text=end_of_text)


def word_tokenizer_from_fields(fields: dict[str, Any]) -> WordTokenizer:
    """The tokenizer that `to_json` wrote, parsed. UserError where its words are not distinct words."""
    words = fields.get("words")
    distinct = {word for word in words if isinstance(word, str) and word.split() == [word]} if words else set[str]()
    if not isinstance(words, list) or not distinct or len(distinct) != len(words):
        raise UserError("This word tokenizer lists no words, or one twice", remedy="Build it again")
    for word in distinct:
        refuse_surrogates(word)
    return WordTokenizer(
        words, spaced_lines=bool(fields.get("spaced_lines")), end_of_text=bool(fields.get("end_of_text"))
    )
