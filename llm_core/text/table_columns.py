"""The names of a table's columns before it is imported, so that the one with the text can be chosen from a list.

Looks at the first line or the footer alone and never complains: what is wrong with a file is said by the import.
Not here: reading the column (`tables.py`).
"""

from __future__ import annotations

import csv
import json
from typing import BinaryIO

from llm_core.text.dataset_record import SourceKind
from llm_core.text.tables import is_text_type

_LONGEST_HEADER_BYTES = 2**20


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
        delimiter = "\t" if kind == "tsv" else ";" if "," not in line and ";" in line else ","
        return [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]
    except (OSError, ValueError, AttributeError, RecursionError, csv.Error):
        return []


def _parquet_columns(stream: BinaryIO) -> list[str]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        schema = parquet.read_schema(stream)
    except (pa.ArrowException, OSError):
        return []
    return [field.name for field in schema if is_text_type(field.type)]
