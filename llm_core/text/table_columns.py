"""A table before it is imported: its columns, to choose from, and its first rows, to see what they hold.

Looks at the first lines or the footer alone and never complains: what is wrong with a file is said by the import.
Not here: reading the columns (`tables.py`).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, BinaryIO

from llm_core.text.dataset_record import SourceKind
from llm_core.text.tables import is_text_type

_LONGEST_HEADER_BYTES = 2**20
_LONGEST_CELL_CHARACTERS = 300


def table_columns(stream: BinaryIO, kind: SourceKind) -> list[str]:
    """Columns that may hold text, in their order; empty for what is no table or cannot be read."""
    if kind == "parquet":
        return _parquet_columns(stream)
    if kind not in ("csv", "tsv", "jsonl"):
        return []
    try:
        line = stream.readline(_LONGEST_HEADER_BYTES).decode("utf-8-sig")
        if kind == "jsonl":
            fields = json.loads(line)
            return [name for name, value in fields.items() if isinstance(value, str | None)]
        return [name.strip() for name in next(csv.reader([line], delimiter=_delimiter(line, kind)), [])]
    except (OSError, ValueError, AttributeError, RecursionError, csv.Error):
        return []


def first_rows(stream: BinaryIO, kind: SourceKind, columns: Sequence[str], count: int = 3) -> list[list[str]]:
    """The cells of these columns in the first rows, long ones cut; as many rows as can be read."""
    rows: list[list[str]] = []
    try:
        for fields in islice(_rows(stream, kind, columns, count), count):
            cells = [fields.get(name) for name in columns]
            rows.append(["" if cell is None else str(cell)[:_LONGEST_CELL_CHARACTERS] for cell in cells])
    except (OSError, ValueError, AttributeError, RecursionError, csv.Error):
        pass
    return rows


def _rows(stream: BinaryIO, kind: SourceKind, columns: Sequence[str], count: int) -> Iterator[dict[str, Any]]:
    if kind == "parquet":
        import pyarrow as pa
        from pyarrow import parquet

        try:
            batch = next(parquet.ParquetFile(stream).iter_batches(count, columns=list(columns)), None)
        except pa.ArrowException as error:
            raise ValueError(str(error)) from error
        yield from [] if batch is None else batch.to_pylist()
        return
    # The last line may be cut anywhere, and is no row then.
    head = stream.read(_LONGEST_HEADER_BYTES).decode("utf-8-sig", "ignore")
    if kind == "jsonl":
        yield from (json.loads(line) for line in head.split("\n") if line.strip())
        return
    delimiter = _delimiter(head.partition("\n")[0], kind)
    table = csv.reader(io.StringIO(head, newline=""), delimiter=delimiter)
    header = [name.strip() for name in next(table, [])]
    yield from (dict(zip(header, row, strict=False)) for row in table if row)


def _delimiter(header: str, kind: SourceKind) -> str:
    return "\t" if kind == "tsv" else ";" if "," not in header and ";" in header else ","


def _parquet_columns(stream: BinaryIO) -> list[str]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        schema = parquet.read_schema(stream)
    except (pa.ArrowException, OSError):
        return []
    return [field.name for field in schema if is_text_type(field.type)]
