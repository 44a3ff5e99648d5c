"""What is counted while a text is brought in, in one pass and in bounded memory.

In a text of pairs the character between source and target is no part of it: it ends a line and counts nowhere.

Not here: counting tokens (`token_statistics.py`), the split (`corpus_file.py`).
"""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
from pydantic import BaseModel, ConfigDict

from llm_core.text.digests import RepetitionShare
from llm_core.text.pairs import PAIR_SEPARATOR

_CODE_POINTS = 0x110000
_WORDS_LISTED = 100
_CHARACTERS_LISTED = 100
_WORD_SAMPLE_CHARACTERS = 8 * 2**20
_HISTOGRAM_BINS = 40
# A word is a run of letters and digits, with apostrophes inside; in scripts written without spaces each character is one.
_WORD = re.compile(r"[぀-ヿ㐀-䶿一-鿿豈-﫿]|[^\W぀-ヿ㐀-䶿一-鿿豈-﫿]+(?:['’]\w+)*")


class LengthHistogram(BaseModel):
    """How many documents (or lines, in a set of one document) have which length; bins double in width."""

    model_config = ConfigDict(frozen=True)

    unit: str
    """What is counted in which unit: `characters per document`, `per line`, `per source`, `per answer`."""
    edges: tuple[int, ...]
    """Bin i holds lengths from edges[i] to edges[i + 1] - 1."""
    counts: tuple[int, ...]


class ColumnStatistics(BaseModel):
    """The sources of a text of pairs, or its answers."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    characters: int
    longest: int
    """In characters."""
    lengths: LengthHistogram


class CorpusStatistics(BaseModel):
    """Counts over one imported text. Lengths are in characters (code points); bytes are UTF-8."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    documents: int
    characters: int
    bytes: int
    lines: int
    longest_document: int
    longest_line: int
    white_space: int
    """Characters that are white space; they are kept as they are and trained on."""
    line_ends: int
    distinct_characters: int
    top_characters: tuple[tuple[str, int], ...]
    top_words: tuple[tuple[str, int], ...]
    words_counted_characters: int
    """Words were counted in the first so many characters; smaller than `characters` means a sample."""
    length_histogram: LengthHistogram
    repeated_documents_share: float
    repeated_lines_share: float
    """Of the lines that are not empty."""
    is_repetition_sampled: bool
    sources: ColumnStatistics | None = None
    """Only in a text of pairs, whose documents are the pairs."""
    targets: ColumnStatistics | None = None
    line_ends_changed: int = 0
    """CRLF written as LF."""
    dropped_empty_documents: int = 0
    dropped_repeated_documents: int = 0
    dropped_repeated_lines: int = 0


class StatisticsBuilder:
    """Counts a text as it streams by: `add` every stretch of a document, `end_document` after each.

    Args:
        is_pairs: whether each document is a source and a target with PAIR_SEPARATOR between them.
    """

    def __init__(self, *, is_pairs: bool = False) -> None:
        self.is_pairs = is_pairs
        self._columns = [_Column(), _Column()]
        self._open_column = 0
        self.documents = 0
        self.characters = 0
        self.bytes = 0
        self.character_counts = np.zeros(_CODE_POINTS, dtype=np.int64)
        """How often each code point occurs."""
        self._document_characters = 0
        self._words: Counter[str] = Counter()
        self._words_counted = 0
        self._document_lengths = np.zeros(_HISTOGRAM_BINS, dtype=np.int64)
        self._line_lengths = np.zeros(_HISTOGRAM_BINS, dtype=np.int64)
        self._longest_document = 0
        self._longest_line = 0
        self._open_line = ""
        self._lines = 0
        self._document_repetition = RepetitionShare()
        self._line_repetition = RepetitionShare()

    def add(self, text: str, size_bytes: int) -> tuple[int, int]:
        """Count a stretch of the present document, which has `size_bytes` bytes in UTF-8.

        Returns:
            How many characters and bytes of it were counted: all of them but a pair's separator.
        """
        lines_of = text
        if self.is_pairs:
            self._count_columns(text)
            size_bytes -= text.count(PAIR_SEPARATOR)
            lines_of = text.replace(PAIR_SEPARATOR, "\n")
            text = text.replace(PAIR_SEPARATOR, "")
        self.characters += len(text)
        self.bytes += size_bytes
        self._document_characters += len(text)
        codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
        counts = np.bincount(codes)
        self.character_counts[: len(counts)] += counts
        if self._words_counted < _WORD_SAMPLE_CHARACTERS:
            sample = lines_of[: _WORD_SAMPLE_CHARACTERS - self._words_counted]
            self._words.update(_WORD.findall(sample))
            self._words_counted += min(len(sample), len(text))
        *lines, self._open_line = (self._open_line + lines_of).split("\n")
        self._count_lines(lines)
        return len(text), size_bytes

    def end_document(self, hash_value: int) -> None:
        """Close the present document, which has this 64-bit content hash."""
        if self._open_line:
            self._count_lines([self._open_line])
            self._open_line = ""
        self.documents += 1
        self._document_lengths[_bin_of(self._document_characters)] += 1
        self._longest_document = max(self._longest_document, self._document_characters)
        self._document_repetition.add_hash(hash_value)
        self._document_characters = 0
        if self.is_pairs:
            for column in self._columns:
                column.end()
            self._open_column = 0

    def _count_columns(self, text: str) -> None:
        source, *target = text.split(PAIR_SEPARATOR)
        self._columns[self._open_column].open_characters += len(source)
        for stretch in target:  # at most one: neither text of a pair holds the separator
            self._open_column = 1
            self._columns[1].open_characters += len(stretch)

    def _count_lines(self, lines: list[str]) -> None:
        if not lines:
            return
        lengths = [len(line) for line in lines]
        self._lines += len(lines)
        self._longest_line = max(self._longest_line, max(lengths))
        counts = np.bincount([_bin_of(length) for length in lengths], minlength=_HISTOGRAM_BINS)
        self._line_lengths += counts
        for line in lines:
            if line and not line.isspace():
                self._line_repetition.add(line)

    def build(self) -> CorpusStatistics:
        """The counts so far; what cleaning dropped is filled in by the importer."""
        codes = np.flatnonzero(self.character_counts)
        order = codes[np.argsort(-self.character_counts[codes], kind="stable")]
        by_document = self.documents > 1
        white_space = sum(int(self.character_counts[code]) for code in codes if chr(code).isspace())
        return CorpusStatistics(
            documents=self.documents,
            characters=self.characters,
            bytes=self.bytes,
            lines=self._lines,
            longest_document=self._longest_document,
            longest_line=self._longest_line,
            white_space=white_space,
            line_ends=int(self.character_counts[ord("\n")]),
            distinct_characters=len(codes),
            top_characters=tuple((chr(code), int(self.character_counts[code])) for code in order[:_CHARACTERS_LISTED]),
            top_words=tuple(self._words.most_common(_WORDS_LISTED)),
            words_counted_characters=self._words_counted,
            length_histogram=_histogram(
                self._document_lengths if by_document else self._line_lengths,
                "pair" if self.is_pairs else "document" if by_document else "line",
            ),
            repeated_documents_share=self._document_repetition.share,
            repeated_lines_share=self._line_repetition.share,
            is_repetition_sampled=self._document_repetition.is_sampled or self._line_repetition.is_sampled,
            sources=self._columns[0].build("source") if self.is_pairs else None,
            targets=self._columns[1].build("answer") if self.is_pairs else None,
        )

    def alphabet(self) -> str:
        """The distinct characters in code-point order."""
        return "".join(map(chr, np.flatnonzero(self.character_counts)))


class _Column:
    """The lengths of one text of every pair, as they come."""

    def __init__(self) -> None:
        self.open_characters = 0
        self._characters = 0
        self._longest = 0
        self._lengths = np.zeros(_HISTOGRAM_BINS, dtype=np.int64)

    def end(self) -> None:
        """Close the text of this pair."""
        self._characters += self.open_characters
        self._longest = max(self._longest, self.open_characters)
        self._lengths[_bin_of(self.open_characters)] += 1
        self.open_characters = 0

    def build(self, what: str) -> ColumnStatistics:
        return ColumnStatistics(
            characters=self._characters, longest=self._longest, lengths=_histogram(self._lengths, what)
        )


def _bin_of(length: int) -> int:
    """0 for length 0, else 1 + the power of two below: 1, 2-3, 4-7, ..."""
    return min(length.bit_length(), _HISTOGRAM_BINS - 1)


def _histogram(counts: np.ndarray, what: str) -> LengthHistogram:
    used = np.flatnonzero(counts)
    first, last = (int(used[0]), int(used[-1])) if used.size else (0, 0)
    edges = [0 if index == 0 else 2 ** (index - 1) for index in range(first, last + 2)]
    return LengthHistogram(
        unit=f"characters per {what}",
        edges=tuple(edges),
        counts=tuple(int(count) for count in counts[first : last + 1]),
    )
