"""The names of tokenizers that are made for a text: `char`, `byte`, `word`, and `bpe:<size>`, `wordpiece:<size>` and so on.

One place says which kinds there are, what they are called and how large their vocabularies may be; the command line, the forms and
the documentation take it from here. Not here: making them (`tokenizer_library.py`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from llm_core.config.errors import UserError

TokenizerKind = Literal["char", "byte", "bpe", "wordpiece", "unigram", "word"]
MAXIMUM_VOCABULARY = 200_000
NAMES_FOR_PEOPLE = "char, byte, bpe:<size>, wordpiece:<size>, unigram:<size>, word, word:<size>"

_NAMED = re.compile(r"([a-z]+)(?::(.*))?", re.DOTALL)


@dataclass(frozen=True)
class SizedKind:
    """A kind whose vocabulary has as many entries as one asks for."""

    title: str
    in_a_sentence: str
    minimum: int
    least: str
    """What the smallest vocabulary holds."""
    usual: int
    """The size that a form begins with."""


def sized_kinds() -> dict[TokenizerKind, SizedKind]:
    """The kinds that are named with a size, in the order in which forms show them."""
    return {
        "bpe": SizedKind("Byte-level BPE", "byte-level BPE", 257, "256 bytes and the end token", 1_000),
        "wordpiece": SizedKind("WordPiece", "WordPiece", 100, "5 special tokens and the characters of the text", 4_000),
        "unigram": SizedKind("Unigram", "Unigram", 300, "3 special tokens, 256 bytes and some pieces", 4_000),
        "word": SizedKind("Words", "words", 10, "<unk>, the line end and some words", 10_000),
    }


@dataclass(frozen=True)
class TokenizerChoice:
    """What `data.tokenizer` means: a kind built for the text, or a tokenizer of the workspace."""

    kind: TokenizerKind | None
    size: int
    """Entries of the vocabulary; 0 where the kind and the text decide it."""
    reference: str
    """For a tokenizer of the workspace: its id or name."""


def tokenizer_choice(text: str) -> TokenizerChoice:
    """Read one of the names above, or the id or name of a tokenizer of the workspace.

    Raises:
        UserError: a kind that needs a size without one, something else than a number after the colon, or a size out of bounds.
    """
    match = _NAMED.fullmatch(text)
    kind = next((kind for kind in get_args(TokenizerKind) if match is not None and match[1] == kind), None)
    if match is None or kind is None or (match[2] is not None and kind not in sized_kinds()):
        return TokenizerChoice(None, 0, text)
    if match[2] is None and (kind == "word" or kind not in sized_kinds()):
        return TokenizerChoice(kind, 0, "")
    if match[2] is None or not re.fullmatch(r"[0-9]{1,9}", match[2]):
        raise UserError(
            "This names no vocabulary size",
            value=text,
            limit=f"{kind}:<size>",
            remedy=f"Write, say, {kind}:{sized_kinds()[kind].usual}",
        )
    return TokenizerChoice(kind, check_size(kind, int(match[2])), "")


def tokenizer_name(kind: TokenizerKind, size: int) -> str:
    """The name that `tokenizer_choice` reads as this kind and size."""
    return f"{kind}:{size}" if kind in sized_kinds() and size else kind


def check_size(kind: TokenizerKind, size: int) -> int:
    """The size, if a vocabulary of this kind can have it (0 for `word`: every word); UserError otherwise."""
    sized = sized_kinds().get(kind)
    if sized is None or (kind == "word" and not size) or sized.minimum <= size <= MAXIMUM_VOCABULARY:
        return size
    raise UserError(
        f"This vocabulary size is not possible for {sized.in_a_sentence}",
        value=f"{size:,}",
        limit=f"{sized.minimum} ({sized.least}) to {MAXIMUM_VOCABULARY:,}",
        remedy="A few thousand suit a few megabytes of text",
    )


def is_reserved(name: str) -> bool:
    """Whether a name stands for a tokenizer that is made on the spot, so that none of the workspace can have it."""
    kind, colon, _ = name.partition(":")
    return kind in get_args(TokenizerKind) and (not colon or kind in sized_kinds())
