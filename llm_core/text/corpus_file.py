"""An imported text at rest: `text.arrow` with its characters, `documents.arrow` with one row a document.

Arrow IPC files are read through a memory map, so any document is found without reading the others. Rows of `text.arrow`
hold at most ROW_CHARACTERS characters; all rows of a document but its last hold exactly so many. A pair is one document, its
separator stored but not counted. Not here: names and metadata (`library.py`), which documents are kept for validation
(`splits.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from llm_core.text.cleaning import DocumentPart
from llm_core.text.statistics import StatisticsBuilder

TEXT_FILE = "text.arrow"
DOCUMENTS_FILE = "documents.arrow"
ROW_CHARACTERS = 256 * 1024
_BATCH_BYTES = 4 * 2**20
_BATCH_ROWS = 64 * 1024
# A byte that UTF-8 never has marks the end of a document in the content hash.
_DOCUMENT_END = b"\xff"


def write_corpus(folder: Path, parts: Iterable[DocumentPart], statistics: StatisticsBuilder) -> str:
    """Write both files from a stream of documents, counting on the way; memory does not grow with the text.

    Returns:
        The content hash: SHA-256 over the UTF-8 of all documents in their order, hexadecimal.
    """
    with _TableWriter(folder / TEXT_FILE, [("document", "int64"), ("text", "string")]) as texts:
        columns = [("hash", "uint64"), ("characters", "int64"), ("bytes", "int64")]
        with _TableWriter(folder / DOCUMENTS_FILE, columns) as documents:
            content = hashlib.sha256()
            open_document = _OpenDocument()
            for part in parts:
                text = open_document.rest + part.text
                end = len(text) if part.ends else len(text) - len(text) % ROW_CHARACTERS
                for start in range(0, end, ROW_CHARACTERS):
                    row = text[start : min(start + ROW_CHARACTERS, end)]
                    data = row.encode("utf-8")
                    content.update(data)
                    open_document.hash.update(data)
                    characters, size_bytes = statistics.add(row, len(data))
                    open_document.characters += characters
                    open_document.size_bytes += size_bytes
                    texts.append((statistics.documents, row), len(data))
                open_document.rest = text[end:]
                if part.ends:
                    content.update(_DOCUMENT_END)
                    hash_value = int.from_bytes(open_document.hash.digest()[:8], "little")
                    documents.append((hash_value, open_document.characters, open_document.size_bytes), 24)
                    statistics.end_document(hash_value)
                    open_document = _OpenDocument()
            return content.hexdigest()


class _OpenDocument:
    """The document that is being written."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self.characters = 0
        self.size_bytes = 0
        self.rest = ""


class _TableWriter:
    """An Arrow IPC file written in record batches of a few megabytes."""

    def __init__(self, path: Path, columns: list[tuple[str, str]]) -> None:
        import pyarrow as pa

        self._schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in columns])
        self._sink = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._sink, self._schema)
        self._rows: list[tuple[Any, ...]] = []
        self._size_bytes = 0

    def append(self, row: tuple[Any, ...], size_bytes: int) -> None:
        self._rows.append(row)
        self._size_bytes += size_bytes
        if self._size_bytes >= _BATCH_BYTES or len(self._rows) >= _BATCH_ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._rows:
            columns = [
                pa.array(list(values), field.type)
                for values, field in zip(zip(*self._rows, strict=True), self._schema, strict=True)
            ]
            self._writer.write_batch(pa.record_batch(columns, schema=self._schema))
            self._rows, self._size_bytes = [], 0

    def __enter__(self) -> _TableWriter:
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self._flush()
        self._writer.close()
        self._sink.close()


def read_parts(folder: Path) -> Iterator[DocumentPart]:
    """All documents in their order, in rows."""
    previous: tuple[int, str] | None = None
    for batch in _batches(folder / TEXT_FILE):
        for document, text in zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True):
            if previous is not None:
                yield DocumentPart(previous[1], previous[0] != document)
            previous = (document, text)
    if previous is not None:
        yield DocumentPart(previous[1], True)


def read_rows(folder: Path, first_document: int, skip_rows: int = 0) -> Iterator[tuple[int, str]]:
    """(document, row of text) from the `skip_rows`-th row of a document on, without reading what lies before it."""
    import pyarrow as pa

    with pa.memory_map(str(folder / TEXT_FILE)) as source:
        reader = pa.ipc.open_file(source)
        low, high = 0, reader.num_record_batches - 1
        while low < high:  # the last batch that begins before the document does
            middle = (low + high + 1) // 2
            if reader.get_batch(middle).column(0)[0].as_py() < first_document:
                low = middle
            else:
                high = middle - 1
        for index in range(low, reader.num_record_batches):
            batch = reader.get_batch(index)
            numbers = batch.column(0).to_numpy()
            for row in np.flatnonzero(numbers >= first_document):
                if skip_rows and numbers[row] == first_document:
                    skip_rows -= 1
                    continue
                yield int(numbers[row]), batch.column(1)[int(row)].as_py()


def document_hashes(folder: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(content hashes uint64, characters int64) of all documents, in chunks."""
    for batch in _batches(folder / DOCUMENTS_FILE):
        yield batch.column(0).to_numpy(), batch.column(1).to_numpy()


def _batches(path: Path) -> Iterator[Any]:
    import pyarrow as pa

    with pa.memory_map(str(path)) as source:
        reader = pa.ipc.open_file(source)
        for index in range(reader.num_record_batches):
            yield reader.get_batch(index)
