"""What every tokenizer answers, and how single tokens are shown.

For: code that takes any tokenizer. Not here: the tokenizers themselves (`tokenizers.py`, `subword.py`,
`words.py`), training and keeping them (`tokenizer_library.py`).
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from llm_core.config.errors import UserError

END_OF_TEXT = "<|endoftext|>"
"""The token that ends every document of a set with several documents."""

TokenArray = npt.NDArray[np.int64]
ByteLengths = npt.NDArray[np.int32]


@dataclass(frozen=True)
class TokenPiece:
    """A stretch of text and the token that it became."""

    token_id: int | None
    """None where the tokenizer does not know the text."""
    text: str
    """For people, as `token_text`; the text itself where it is unknown."""
    data: bytes
    """The bytes that the token stands for."""


class TextTokenizer(Protocol):
    """Text to token ids and back. Immutable; safe to share between threads.

    A special token never arises from text: the characters `<|endoftext|>` in a text are cut like any others.
    """

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits of the SHA-256 of `to_json()`: equal tokenizers have equal ids."""
        ...

    @property
    def kind(self) -> str:
        """`char`, `byte`, `bpe`, `wordpiece`, `unigram`, `word`; `wordlevel` for loaded ones."""
        ...

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, special ones included; ids run from 0 to this minus 1."""
        ...

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids that stand for no text."""
        ...

    @property
    def end_of_text_id(self) -> int | None:
        """The id that ends a document; None where the tokenizer has none."""
        ...

    @property
    def unknown_id(self) -> int | None:
        """The id that every unknown word becomes, so that bits per byte mean nothing where it is a target; None where unknown
        text is an error."""
        ...

    def encode(self, text: str) -> list[int]:
        """The ids of the text, nothing added at either end.

        Raises:
            UserError: naming the first characters that the tokenizer does not know; never where there is an `unknown_id`.
        """
        ...

    def encode_array(self, text: str) -> TokenArray:
        """`encode` as an int64 array: the fast way for long texts; same errors."""
        ...

    def encode_many(self, texts: Sequence[str]) -> list[TokenArray]:
        """`encode_array` of each text; uses all cores where the tokenizer can. Same errors."""
        ...

    def encode_known(self, text: str) -> tuple[list[int], list[str]]:
        """The ids of what is known, and the distinct unknown pieces of text in the order of their appearance."""
        ...

    def pieces(self, text: str) -> list[TokenPiece]:
        """The text cut, for showing: every stretch in its order, unknown ones included."""
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """The text of the ids: their bytes joined, special ids left out, broken UTF-8 as U+FFFD; white space that a tokenizer
        dropped is put where it usually stands."""
        ...

    def token_text(self, token_id: int) -> str:
        """One token for people: its text, the name of a special one, `⟨E4⟩` for bytes that are no whole character."""
        ...

    def token_bytes(self, token_id: int) -> bytes:
        """The UTF-8 bytes the token stands for, possibly a part of a character; empty for special tokens."""
        ...

    def byte_lengths(self) -> ByteLengths:
        """Bytes of text that every id stands for, shape [V]; what bits per byte divide by. `len(token_bytes(i))`, but for white
        space that was dropped: that of the text is never counted twice."""
        ...

    def to_json(self) -> str:
        """The whole tokenizer as JSON; `tokenizers.tokenizer_from_json` reads it back."""
        ...


def tokenizer_id(json_text: str) -> str:
    """The id of the tokenizer with this JSON."""
    return hashlib.sha256(json_text.encode("utf-8")).hexdigest()[:12]


def visible_bytes(data: bytes) -> str:
    """Bytes as text; what is no whole character, or would not show, as its hexadecimal digits in angle brackets."""
    return "".join(_visible(character) for character in data.decode("utf-8", "surrogateescape"))


def _visible(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that surrogateescape could not decode
        return f"⟨{code - 0xDC00:02X}⟩"
    if unicodedata.category(character) == "Cc" and character not in "\n\t\r":
        return f"⟨{code:02X}⟩"
    return character


def unknown_characters_error(unknown: list[str], known: str) -> UserError:
    """The error of `encode`: which pieces of text (distinct, in order) are not among what the tokenizer knows."""
    shown = ", ".join(describe_character(piece) for piece in unknown[:8])
    more = f" and {len(unknown) - 8} more" if len(unknown) > 8 else ""
    return UserError(
        "The tokenizer does not know some of these characters",
        value=shown + more,
        limit=known,
        remedy="Leave them out, or use a tokenizer that knows every text: byte or bpe",
    )


def describe_character(piece: str) -> str:
    """A character with its code point, so that look-alikes and invisible ones can be told apart."""
    if len(piece) != 1:
        return f"“{piece}”"
    code = f"U+{ord(piece):04X}"
    return f"“{piece}” ({code})" if piece.isprintable() else code


def refuse_surrogates(text: str) -> None:
    """Raise UserError for half surrogate pairs, which are no characters and have no UTF-8 form."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(
            f"The text holds half a surrogate pair at character {error.start + 1:,}, which is no character",
            value=f"U+{ord(text[error.start]):04X}",
            remedy="Remove it; it usually comes from text that was cut in the middle of an emoji",
        ) from error
