"""Subword tokenizers: any tokenizer that the `tokenizers` library reads from JSON, trained here or brought from elsewhere.

Long texts are encoded in pieces, cut where white space begins, or else where a word ends. Those cuts depend on the text
alone, so that a text read in parts from disk gives the same ids as the same text in memory; for the byte-level BPE trained
here they also equal the ids of the library's own encoding in one go (its pre-tokenizer always cuts there).
Not here: training them (`subword_training.py`), character and byte tokenizers (`tokenizers.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import groupby
from typing import Any, cast

import numpy as np
import tokenizers

from llm_core.config.errors import UserError
from llm_core.text.tokenizer_interface import (
    END_OF_TEXT,
    ByteLengths,
    TokenArray,
    TokenPiece,
    refuse_surrogates,
    tokenizer_id,
    unknown_characters_error,
    visible_bytes,
)

PIECE_CHARACTERS = 256 * 1024

# Names under which well-known tokenizers keep the token that ends a document, best first.
_END_NAMES = (END_OF_TEXT, "<|end_of_text|>", "</s>", "<eos>", "<|im_end|>", "<|eot_id|>", "[EOS]", "[SEP]")
# Where a model ends documents with another token than the best known one, its tokenizer.json says so under this key of ours.
END_KEY = "glassbox_end_of_text"
_BYTE_FALLBACK = re.compile(r"<0x([0-9A-F]{2})>")
_SAFE_CUT = re.compile(r"(?<=\S)(?=\s)|(?<=[^\W\d_])(?=[\W\d_])")
_PREFIXES = {"WordPiece": "##"}


class SubwordTokenizer:
    """A tokenizer of the `tokenizers` library behind the common interface.

    Truncation, padding and added start or end tokens of a loaded file are switched off: `encode` gives the ids of the text
    and nothing else. A file without any known end-of-document token gets `<|endoftext|>` as its last id.

    Args:
        json_text: the text of a `tokenizer.json`, or what `to_json` gave.
        end_of_text: the special token that ends a document; empty takes the one that is known by its name.

    Raises:
        UserError: the library cannot read it.
    """

    unknown_id: int | None = None

    def __init__(self, json_text: str, *, end_of_text: str = "") -> None:
        if f'"{END_KEY}"' in json_text:
            fields = cast("dict[str, Any]", json.loads(json_text))
            end_of_text = end_of_text or str(fields.pop(END_KEY, ""))
            json_text = json.dumps(fields, ensure_ascii=False)
        try:
            tokenizer = tokenizers.Tokenizer.from_str(json_text)
        except Exception as error:  # the library raises bare Exception for every malformed file
            raise UserError(
                f"The tokenizer cannot be read: {str(error)[:200]}", remedy="Give the tokenizer.json of a model"
            ) from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        # A text that spells a special token is text.
        tokenizer.encode_special_tokens = True
        vocabulary = tokenizer.get_vocab(with_added_tokens=True)
        if not vocabulary:
            raise UserError("The tokenizer has an empty vocabulary", remedy="Train it, or give another file")
        end_name = next((name for name in (end_of_text, *_END_NAMES) if name in vocabulary), END_OF_TEXT)
        self._named_end = end_name if end_name == end_of_text else ""
        tokenizer.add_special_tokens([end_name])
        self._tokenizer = tokenizer
        self._fields = cast("dict[str, Any]", json.loads(tokenizer.to_str()))
        self.kind = str(self._fields["model"].get("type", "bpe")).lower()
        vocabulary = tokenizer.get_vocab(with_added_tokens=True)
        self._token_of_id = {token_id: token for token, token_id in vocabulary.items()}
        self.vocabulary_size = max(self._token_of_id) + 1
        self.end_of_text_id: int | None = vocabulary[end_name]
        added = cast("list[dict[str, Any]]", self._fields.get("added_tokens", []))
        self.special_ids = frozenset(int(token["id"]) for token in added if token["special"])
        self._added_ids = frozenset(int(token["id"]) for token in added)
        unknown = self._fields["model"].get("unk_token")
        unknown_id = self._fields["model"].get("unk_id") if unknown is None else vocabulary.get(unknown)
        self._unknown_piece: int | None = unknown_id
        # Such a BPE leaves out what it does not know and says nothing.
        self._leaves_out = (
            self.kind == "bpe"
            and unknown_id is None
            and not self._fields["model"].get("byte_fallback")
            and not self._is_byte_level
        )
        self.id = tokenizer_id(self.to_json())

    def encode(self, text: str) -> list[int]:
        ids, unknown = self.encode_known(text)
        if unknown:
            raise unknown_characters_error(unknown, f"{self.vocabulary_size:,} known pieces of text")
        return ids

    def encode_array(self, text: str) -> TokenArray:
        return np.array(self.encode(text), dtype=np.int64)

    def encode_known(self, text: str) -> tuple[list[int], list[str]]:
        refuse_surrogates(text)
        ids: list[int] = []
        unknown: dict[str, None] = {}
        for piece in encoding_pieces([text]):
            for token_id, spelled in self._cut(piece):
                if token_id is None:
                    unknown[spelled] = None
                else:
                    ids.append(token_id)
        return ids, list(unknown)

    def encode_many(self, texts: Sequence[str]) -> list[TokenArray]:
        for text in texts:
            refuse_surrogates(text)
        pieces = [list(encoding_pieces([text])) for text in texts]
        flat = [piece for of_text in pieces for piece in of_text]
        if self._leaves_out:
            return [self.encode_array(text) for text in texts]
        # The fast form keeps no offsets; where something is unknown, `encode` finds and names it.
        try:
            encodings = iter(self._tokenizer.encode_batch_fast(flat, add_special_tokens=False))
        except Exception:  # the library raises bare Exception where it finds no piece for a text
            return [self.encode_array(text) for text in texts]
        arrays: list[TokenArray] = []
        for text, of_text in zip(texts, pieces, strict=True):
            ids = np.array([i for _ in of_text for i in next(encodings).ids], dtype=np.int64)
            if self._unknown_piece is not None and (ids == self._unknown_piece).any():
                ids = self.encode_array(text)
            arrays.append(ids)
        return arrays

    def pieces(self, text: str) -> list[TokenPiece]:
        refuse_surrogates(text)
        found: list[TokenPiece] = []
        for piece in encoding_pieces([text]):
            for token_id, spelled in self._cut(piece):
                if token_id is None:
                    found.append(TokenPiece(None, spelled, spelled.encode("utf-8")))
                else:
                    found.append(TokenPiece(token_id, self.token_text(token_id), self.token_bytes(token_id)))
        return found

    def _cut(self, piece: str) -> list[tuple[int | None, str]]:
        """Ids of a stretch of text with the text that each stands for; no id for what is unknown."""
        around = self._cut_around(piece) if self._leaves_out else None
        if around is not None:
            return around
        try:
            encoding = self._tokenizer.encode(piece, add_special_tokens=False)
        except Exception:  # the library raises bare Exception where it finds no piece and knows no unknown one
            return self._cut_by_word(piece)
        return [
            (None if token_id == self._unknown_piece else token_id, piece[start:end])
            for token_id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
        ]

    def _cut_around(self, piece: str) -> list[tuple[int | None, str]] | None:
        """As `_cut`, where the library would leave a character out and join what stands to its sides; None where it would not."""
        words = self._words(piece)
        if all(sign in self._signs for word in words for sign in word):
            return None
        found: list[tuple[int | None, str]] = []
        for word in words:
            for is_known, signs in groupby(word, self._signs.__contains__):
                stretch = "".join(signs)
                if is_known:
                    found += [(token.id, token.value) for token in self._tokenizer.model.tokenize(stretch)]
                else:
                    found += [(None, sign) for sign in stretch]
        return found

    def _cut_by_word(self, piece: str) -> list[tuple[int | None, str]]:
        """As `_cut`, with the words that the library refuses as unknown."""
        found: list[tuple[int | None, str]] = []
        for word in self._words(piece):
            try:
                found += [(token.id, token.value) for token in self._tokenizer.model.tokenize(word)]
            except Exception:
                found.append((None, word))
        return found

    def _words(self, piece: str) -> list[str]:
        """What the model below is given, one after the other."""
        normalizer, splitter = self._tokenizer.normalizer, self._tokenizer.pre_tokenizer
        normalized = piece if normalizer is None else normalizer.normalize_str(piece)
        return [normalized] if splitter is None else [word for word, _ in splitter.pre_tokenize_str(normalized)]

    @cached_property
    def _signs(self) -> frozenset[str]:
        """Characters that the model below has a token for."""
        return frozenset(token for token in self._token_of_id.values() if len(token) == 1)

    def decode(self, ids: Iterable[int]) -> str:
        kept = [int(i) for i in ids if i not in self.special_ids]
        if self._is_byte_level:
            return b"".join(self.token_bytes(i) for i in kept).decode("utf-8", "replace")
        return self._tokenizer.decode(kept, skip_special_tokens=False)

    def token_text(self, token_id: int) -> str:
        if token_id in self.special_ids or token_id not in self._token_of_id:
            return self._token_of_id.get(token_id, f"⟨unused {token_id}⟩")
        return visible_bytes(self.token_bytes(token_id))

    def token_bytes(self, token_id: int) -> bytes:
        if token_id in self.special_ids or token_id not in self._token_of_id:
            return b""
        token = self._token_of_id[token_id]
        if token_id in self._added_ids:
            return token.encode("utf-8")
        if self._is_byte_level:
            # A character outside the byte alphabet can only come from a hand-made file; it stands for itself.
            return b"".join(self._byte_of_sign.get(sign, sign.encode("utf-8")) for sign in token)
        fallback = _BYTE_FALLBACK.fullmatch(token)
        if fallback:
            return bytes([int(fallback[1], 16)])
        if self._continuation:
            inside = token.startswith(self._continuation)
            return (token.removeprefix(self._continuation) if inside else " " + token).encode("utf-8")
        return token.replace("▁", " ").encode("utf-8")

    def byte_lengths(self) -> ByteLengths:
        """Where tokens hold no white space, as in WordPiece, it counts nothing: nobody knows where it stood."""
        spaces = bool(self._continuation)
        texts = (self.token_bytes(i) for i in range(self.vocabulary_size))
        return np.array([len(text.removeprefix(b" ") if spaces else text) for text in texts], dtype=np.int32)

    def to_json(self) -> str:
        text = self._tokenizer.to_str()
        if not self._named_end:
            return text
        return json.dumps({**json.loads(text), END_KEY: self._named_end}, ensure_ascii=False)

    def ended_by(self, token_id: int) -> SubwordTokenizer:
        """The same pieces, documents ended by another one of its special tokens."""
        assert token_id in self.special_ids, token_id
        return SubwordTokenizer(self._tokenizer.to_str(), end_of_text=self._token_of_id[token_id])

    def merges(self, count: int) -> list[tuple[str, str]]:
        """The first pairs that BPE joined, as shown to people; empty for other models."""
        merges = cast("list[list[str] | str]", self._fields["model"].get("merges") or [])
        pairs = [merge.split(" ", 1) if isinstance(merge, str) else merge for merge in merges[:count]]
        return [(self._shown(left), self._shown(right)) for left, right in pairs]

    def _shown(self, signs: str) -> str:
        if not self._is_byte_level:
            return signs
        return visible_bytes(b"".join(self._byte_of_sign.get(sign, sign.encode("utf-8")) for sign in signs))

    @cached_property
    def _is_byte_level(self) -> bool:
        parts = [self._fields.get("pre_tokenizer"), self._fields.get("decoder")]
        return any('"ByteLevel"' in json.dumps(part) for part in parts)

    @cached_property
    def _byte_of_sign(self) -> dict[str, bytes]:
        return {sign: bytes([value]) for value, sign in byte_signs().items()}

    @cached_property
    def _continuation(self) -> str:
        """What marks a token inside a word, for models that leave spaces out of their tokens; else empty."""
        model = self._fields["model"]
        return str(model.get("continuing_subword_prefix") or _PREFIXES.get(str(model.get("type")), ""))


def encoding_pieces(parts: Iterable[str], size: int = PIECE_CHARACTERS) -> Iterator[str]:
    """The text of one document in pieces of about `size` characters, cut where no token of GPT-2's pre-tokenizer crosses.

    That is before white space that follows something else, or after a letter before something that is no letter. Cuts
    depend on the joined text alone, not on how it arrives in `parts`: the last place of the first kind in the second half
    of `size` characters, else the last of the second kind there, else the first place of either kind after them.
    """
    buffer = ""
    for part in parts:
        buffer += part
        while len(buffer) > size:
            cut = _cut(buffer, size)
            if cut is None:
                break
            yield buffer[:cut]
            buffer = buffer[cut:]
    if buffer:
        yield buffer


def _cut(buffer: str, size: int) -> int | None:
    for is_safe in (_begins_white_space, _ends_word):
        for position in range(size, size // 2, -1):
            if is_safe(buffer[position - 1], buffer[position]):
                return position
    later = _SAFE_CUT.search(buffer, size)
    return later.start() if later else None


def _begins_white_space(before: str, after: str) -> bool:
    return after.isspace() and not before.isspace()


def _ends_word(before: str, after: str) -> bool:
    return before.isalpha() and not after.isalpha()


def byte_signs() -> dict[int, str]:
    """GPT-2's printable sign for each byte: printable Latin-1 stands for itself, the rest is moved up to U+0100 and on."""
    itself = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    signs = {value: chr(value) for value in itself}
    moved = [value for value in range(256) if value not in signs]
    signs.update({value: chr(0x100 + index) for index, value in enumerate(moved)})
    return signs
