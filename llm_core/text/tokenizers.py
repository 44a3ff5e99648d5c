"""Tokenizers by character and by byte, and the one place that turns JSON or a name into a tokenizer.

Not here: subword and word tokenizers (`subword.py`, `words.py`), keeping tokenizers in a workspace (`tokenizer_library.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from llm_core.config.errors import UserError
from llm_core.text.subword import SubwordTokenizer
from llm_core.text.subword_training import train_bpe
from llm_core.text.text_file import check_file
from llm_core.text.tokenizer_interface import (
    END_OF_TEXT,
    ByteLengths,
    TextTokenizer,
    TokenArray,
    TokenPiece,
    refuse_surrogates,
    tokenizer_id,
    unknown_characters_error,
    visible_bytes,
)
from llm_core.text.words import WordTokenizer, word_tokenizer_from_fields

__all__ = [
    "END_OF_TEXT",
    "ByteTokenizer",
    "CharacterTokenizer",
    "SubwordTokenizer",
    "TextTokenizer",
    "WordTokenizer",
    "load_tokenizer_file",
    "tokenizer_from_json",
    "train_bpe",
]

MAXIMUM_TOKENIZER_BYTES = 64 * 2**20
_UNKNOWN = -1
_CODE_POINTS = 0x110000


class CharacterTokenizer:
    """One token for each character of a fixed alphabet, numbered in code-point order.

    Args:
        characters: the alphabet; order and repetitions do not matter.
        end_of_text: whether the last id is `<|endoftext|>`; sets with several documents need it, others have no specials.
    """

    kind = "char"
    unknown_id: int | None = None

    def __init__(self, characters: Iterable[str], *, end_of_text: bool = False) -> None:
        self.characters = "".join(sorted(set(characters)))
        self.end_of_text_id = len(self.characters) if end_of_text else None
        self.vocabulary_size = len(self.characters) + int(end_of_text)
        self.special_ids = frozenset({len(self.characters)}) if end_of_text else frozenset[int]()
        codes = _code_points(self.characters)
        self._id_of_code = np.full(_CODE_POINTS, _UNKNOWN, dtype=np.int32)
        self._id_of_code[codes] = np.arange(len(codes), dtype=np.int32)
        self.id = tokenizer_id(self.to_json())

    def encode(self, text: str) -> list[int]:
        return self.encode_array(text).tolist()

    def encode_array(self, text: str) -> TokenArray:
        ids = self._id_of_code[_code_points(text)]
        if ids.size and ids.min() == _UNKNOWN:
            raise unknown_characters_error(self._unknown(text, ids), f"{len(self.characters):,} known characters")
        return ids.astype(np.int64)

    def encode_many(self, texts: Sequence[str]) -> list[TokenArray]:
        return [self.encode_array(text) for text in texts]

    def encode_known(self, text: str) -> tuple[list[int], list[str]]:
        ids = self._id_of_code[_code_points(text)]
        return ids[ids != _UNKNOWN].tolist(), self._unknown(text, ids)

    def _unknown(self, text: str, ids: np.ndarray) -> list[str]:
        return list(dict.fromkeys(text[position] for position in np.flatnonzero(ids == _UNKNOWN)))

    def pieces(self, text: str) -> list[TokenPiece]:
        ids = self._id_of_code[_code_points(text)].tolist()
        return [
            TokenPiece(
                None if token_id == _UNKNOWN else token_id, character, character.encode("utf-8", "surrogatepass")
            )
            for character, token_id in zip(text, ids, strict=True)
        ]

    def decode(self, ids: Iterable[int]) -> str:
        return "".join(self.characters[i] for i in ids if i not in self.special_ids)

    def token_text(self, token_id: int) -> str:
        return END_OF_TEXT if token_id in self.special_ids else self.characters[token_id]

    def token_bytes(self, token_id: int) -> bytes:
        return b"" if token_id in self.special_ids else self.characters[token_id].encode("utf-8")

    def byte_lengths(self) -> ByteLengths:
        return np.array([len(self.token_bytes(i)) for i in range(self.vocabulary_size)], dtype=np.int32)

    def to_json(self) -> str:
        fields = {
            "type": "character",
            "version": 1,
            "characters": self.characters,
            "end_of_text": self.end_of_text_id is not None,
        }
        return json.dumps(fields, ensure_ascii=False)


class ByteTokenizer:
    """One token for each byte of the UTF-8 form: 256 ids that know every text in every script.

    Args:
        end_of_text: whether id 256 is `<|endoftext|>`; sets with several documents need it.
    """

    kind = "byte"
    unknown_id: int | None = None

    def __init__(self, *, end_of_text: bool = False) -> None:
        self.end_of_text_id = 256 if end_of_text else None
        self.vocabulary_size = 256 + int(end_of_text)
        self.special_ids = frozenset({256}) if end_of_text else frozenset[int]()
        self.id = tokenizer_id(self.to_json())

    def encode(self, text: str) -> list[int]:
        refuse_surrogates(text)
        return list(text.encode("utf-8"))

    def encode_array(self, text: str) -> TokenArray:
        refuse_surrogates(text)
        return np.frombuffer(text.encode("utf-8"), dtype=np.uint8).astype(np.int64)

    def encode_many(self, texts: Sequence[str]) -> list[TokenArray]:
        return [self.encode_array(text) for text in texts]

    def encode_known(self, text: str) -> tuple[list[int], list[str]]:
        surrogates = [character for character in text if 0xD800 <= ord(character) <= 0xDFFF]
        return list(text.encode("utf-8", "ignore")), list(dict.fromkeys(surrogates))

    def pieces(self, text: str) -> list[TokenPiece]:
        values = text.encode("utf-8", "ignore")
        return [TokenPiece(value, self.token_text(value), bytes([value])) for value in values]

    def decode(self, ids: Iterable[int]) -> str:
        return bytes(i for i in ids if i not in self.special_ids).decode("utf-8", "replace")

    def token_text(self, token_id: int) -> str:
        return END_OF_TEXT if token_id in self.special_ids else visible_bytes(bytes([token_id]))

    def token_bytes(self, token_id: int) -> bytes:
        return b"" if token_id in self.special_ids else bytes([token_id])

    def byte_lengths(self) -> ByteLengths:
        lengths = np.ones(self.vocabulary_size, dtype=np.int32)
        lengths[256:] = 0
        return lengths

    def to_json(self) -> str:
        return json.dumps({"type": "byte", "version": 1, "end_of_text": self.end_of_text_id is not None})


def tokenizer_from_json(text: str) -> TextTokenizer:
    """The tokenizer that `to_json` wrote, or the one of a Hugging Face `tokenizer.json`. Nothing in it is executed.

    Raises:
        UserError: the text is no tokenizer; says what was found.
    """
    fields = _json_object(text)
    if fields.get("type") == "character":
        characters = fields.get("characters")
        if not isinstance(characters, str) or not characters:
            raise UserError("This character tokenizer lists no characters", remedy="Build it again")
        refuse_surrogates(characters)
        return CharacterTokenizer(characters, end_of_text=bool(fields.get("end_of_text")))
    if fields.get("type") == "byte":
        return ByteTokenizer(end_of_text=bool(fields.get("end_of_text")))
    if fields.get("type") == "word":
        return word_tokenizer_from_fields(fields)
    if isinstance(fields.get("model"), dict):
        return SubwordTokenizer(text)
    raise UserError(
        "This JSON is no tokenizer: it has no `model`",
        value=", ".join(sorted(fields)[:10]),
        remedy="Give the tokenizer.json of a model, not its vocab.json or tokenizer_config.json",
    )


def load_tokenizer_file(path: Path) -> TextTokenizer:
    """Read a `tokenizer.json` (ours or Hugging Face's: BPE, WordPiece, Unigram, word level).

    Raises:
        UserError: no such file, larger than 64 MiB, not UTF-8, not JSON, or not a tokenizer.
    """
    size_bytes = check_file(path)
    if size_bytes > MAXIMUM_TOKENIZER_BYTES:
        raise UserError(
            "The file is too large for a tokenizer",
            value=f"{size_bytes / 1e6:,.0f} MB",
            limit=f"{MAXIMUM_TOKENIZER_BYTES / 1e6:,.0f} MB",
            remedy="Give the tokenizer.json of a model",
        )
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"The file is not UTF-8 text (byte {error.start:,}), so it is no tokenizer.json",
            value=path.name,
            remedy="Give the tokenizer.json of a model; pickled tokenizers are never loaded",
        ) from error
    return tokenizer_from_json(text)


def _json_object(text: str) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        place = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        raise UserError(f"This is no JSON{place}, so it is no tokenizer", remedy="Give a tokenizer.json") from error
    if not isinstance(fields, dict):
        raise UserError("This JSON is no tokenizer: it is not an object", remedy="Give a tokenizer.json")
    return cast("dict[str, Any]", fields)


def _code_points(text: str) -> np.ndarray:
    # surrogatepass: half a pair becomes a code point that no alphabet holds, and so is reported like any unknown one
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
