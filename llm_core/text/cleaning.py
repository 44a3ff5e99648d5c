"""What may be changed in a text when it is brought in, and the stream that documents travel in.

A document travels in one or more `DocumentPart`s, so that a document of a gigabyte never has to be in memory. Every part
but a document's last ends at a line end; whatever cleaning does, it does by lines. Not here: reading (`sources.py`).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pydantic import field_validator

from llm_core.config.setting import Settings, setting
from llm_core.text.digests import DigestSet, digest

LARGEST_COMPARED_CHARACTERS = 64 * 2**20
"""A longer document is kept without looking whether it repeats another: comparing means holding it whole."""

_LARGEST_SEARCHED_CHARACTERS = 4 * 2**20


class DocumentPart(NamedTuple):
    """A stretch of one document."""

    text: str
    ends: bool
    """Whether the document ends with this part."""


class CleaningOptions(Settings):
    """What is changed in a text when it is imported. The defaults change nothing but Windows line ends."""

    line_ends: bool = setting(
        True, label="Unix line ends", help="Turns each CRLF into LF; otherwise every line ends in two characters."
    )
    unicode_nfc: bool = setting(
        False,
        label="Compose characters (NFC)",
        help="Writes é as one character where the text has e and an accent; looks the same, needs fewer symbols.",
    )
    duplicates: Literal["none", "document", "line"] = setting(
        "none",
        label="Drop repetitions",
        help="Keeps the first of documents, or of lines, that are exactly equal. Empty lines stay.",
        choice_labels={"none": "Keep all", "document": "By document", "line": "By line"},
    )
    document_separator: str | None = setting(
        None,
        label="Documents are separated by",
        help="Cuts text into documents wherever this occurs; \\n and \\t stand for line end and tab. Empty: one document a file.",
    )

    @field_validator("document_separator")
    @classmethod
    def _read_separator(cls, value: str | None) -> str | None:
        return value.replace("\\n", "\n").replace("\\t", "\t") if value else None


@dataclass
class CleaningCounts:
    """What cleaning changed; filled while the stream is read."""

    line_ends_changed: int = 0
    empty_documents: int = 0
    repeated_documents: int = 0
    repeated_lines: int = 0


def clean(parts: Iterable[DocumentPart], options: CleaningOptions, counts: CleaningCounts) -> Iterator[DocumentPart]:
    """The parts, cleaned; documents without any visible character are left out and counted."""
    stream = _clean_text(parts, options, counts)
    if options.document_separator is not None:
        # After line ends were unified, so that an empty line is found in Windows files too.
        stream = _split_documents(stream, options.document_separator)
    if options.duplicates == "line":
        stream = _drop_repeated_lines(stream, counts)
    stream = _drop_empty_documents(stream, counts)
    if options.duplicates == "document":
        stream = _drop_repeated_documents(stream, counts)
    return stream


def _clean_text(
    parts: Iterable[DocumentPart], options: CleaningOptions, counts: CleaningCounts
) -> Iterator[DocumentPart]:
    for text, ends in parts:
        cleaned = text
        if options.line_ends:
            cleaned = text.replace("\r\n", "\n")
            counts.line_ends_changed += len(text) - len(cleaned)
        if options.unicode_nfc:
            # Safe by parts: a line end neither composes with nor is reordered among its neighbours.
            cleaned = unicodedata.normalize("NFC", cleaned)
        yield DocumentPart(cleaned, ends)


def _split_documents(parts: Iterable[DocumentPart], separator: str) -> Iterator[DocumentPart]:
    """Cut every document wherever the separator occurs; line ends next to it are dropped."""
    waiting = ""
    for text, ends in parts:
        *whole, waiting = (waiting + text).split(separator)
        for document in whole:
            yield DocumentPart(document.strip("\n"), True)
        if ends:
            yield DocumentPart(waiting.strip("\n"), True)
            waiting = ""
        elif len(waiting) > _LARGEST_SEARCHED_CHARACTERS:
            # A separator can only begin in the last characters; everything on the lines before them is settled.
            cut = waiting.rfind("\n", 0, len(waiting) - len(separator)) + 1
            if cut:
                yield DocumentPart(waiting[:cut], False)
                waiting = waiting[cut:]


def _drop_repeated_lines(parts: Iterable[DocumentPart], counts: CleaningCounts) -> Iterator[DocumentPart]:
    seen = DigestSet()
    for text, ends in parts:
        kept: list[str] = []
        for line in text.split("\n"):
            if line.strip() and not seen.add(digest(line)):
                counts.repeated_lines += 1
            else:
                kept.append(line)
        yield DocumentPart("\n".join(kept), ends)


def _drop_empty_documents(parts: Iterable[DocumentPart], counts: CleaningCounts) -> Iterator[DocumentPart]:
    held: list[str] = []  # white space at the start of a document of which nothing else was seen yet
    is_visible = False
    for text, ends in parts:
        if is_visible:
            yield DocumentPart(text, ends)
        elif text and not text.isspace():
            is_visible = True
            yield DocumentPart("".join(held) + text, ends)
        else:
            held.append(text)
        if ends:
            counts.empty_documents += not is_visible
            held, is_visible = [], False


def _drop_repeated_documents(parts: Iterable[DocumentPart], counts: CleaningCounts) -> Iterator[DocumentPart]:
    seen = DigestSet()
    held: list[str] = []
    num_held = 0
    is_too_long = False
    for text, ends in parts:
        if is_too_long:
            yield DocumentPart(text, ends)
        else:
            held.append(text)
            num_held += len(text)
            document = "".join(held) if ends or num_held > LARGEST_COMPARED_CHARACTERS else ""
            if num_held > LARGEST_COMPARED_CHARACTERS:
                is_too_long = True
                yield DocumentPart(document, ends)
            elif ends and seen.add(digest(document)):
                yield DocumentPart(document, True)
            elif ends:
                counts.repeated_documents += 1
        if ends:
            held, num_held, is_too_long = [], 0, False
