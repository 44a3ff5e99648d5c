"""Reading one column of a table, or two as pairs: .csv, .tsv, .jsonl, .parquet. One row is one document.

Every message names the row or line. Rows stream; only the columns asked for are read from Parquet. Not here: the text of
plain files (`text_file.py`).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from llm_core.config.errors import UserError
from llm_core.text.pairs import row_document
from llm_core.text.progress import (
    READING_ROWS,
    CancelHook,
    ProgressHook,
    never_cancelled,
    no_progress,
    stop_if_cancelled,
)
from llm_core.text.text_file import MAXIMUM_LINE_BYTES, check_file, read_text_file, signature

DEFAULT_COLUMN = "text"
_ROWS_AT_ONCE = 512


def read_delimited(
    path: Path,
    column: str,
    target_column: str = "",
    *,
    delimiter: str,
    progress: ProgressHook = no_progress,
    cancelled: CancelHook = never_cancelled,
) -> Iterator[str]:
    """The cells of a column, or the pairs of two, of a .csv or .tsv file, whose first row names the columns.

    Args:
        column: its name; empty takes the column `text`, or the only one there is.
        target_column: of the answers, where the rows are pairs; see `choose_columns`.
        delimiter: between fields; for "," a header without any comma may also use ";".

    Raises:
        UserError: no such column (lists them), a row of another width, a broken quote; and all of `row_document` and
            `read_text_file`.
    """
    lines = _lines(read_text_file(path, progress=progress, cancelled=cancelled))
    header_line = next(lines, "")
    if delimiter == "," and "," not in header_line and ";" in header_line:
        delimiter = ";"
    # The module's own limit of 131,072 characters a field is for the whole process and would refuse long documents.
    csv.field_size_limit(MAXIMUM_LINE_BYTES)
    rows = csv.reader(_chain(header_line, lines), delimiter=delimiter, strict=True)
    try:
        columns = [name.strip() for name in next(rows, [])]
        chosen = choose_columns(columns, column, target_column, path.name)
        indices = [columns.index(name) for name in chosen]
        for row in rows:
            if not row:
                continue
            if len(row) != len(columns):
                raise UserError(
                    f"The row that ends at line {rows.line_num:,} has another number of fields than the header",
                    value=f"{len(row)} fields",
                    limit=f"{len(columns)} fields, as in the header",
                    remedy='Put text that holds the separator in double quotes ("…")',
                )
            yield row_document([row[i] for i in indices], chosen, f"The row that ends at line {rows.line_num:,}")
    except csv.Error as error:
        raise UserError(
            f"The table is broken at line {rows.line_num:,}: {error}",
            value=path.name,
            limit=f"fields up to {MAXIMUM_LINE_BYTES // 2**20} MB",
            remedy="Check the double quotes there; inside a quoted field a double quote is written twice",
        ) from error


def read_json_lines(
    path: Path,
    column: str,
    target_column: str = "",
    *,
    progress: ProgressHook = no_progress,
    cancelled: CancelHook = never_cancelled,
) -> Iterator[str]:
    """The values of a field, or the pairs of two, of a .jsonl file: one JSON object a line; null counts as empty.

    Raises:
        UserError: a line that is no JSON object, a missing field (lists what there is), a value that is no text.
    """
    chosen: tuple[str, ...] = ()
    lines = _lines(read_text_file(path, progress=progress, cancelled=cancelled))
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        fields = _json_object(line, number)
        if not chosen:
            chosen = choose_columns(list(fields), column, target_column, path.name)
        missing = next((name for name in chosen if name not in fields), None)
        if missing is not None:
            raise UserError(
                f"Line {number:,} has no field “{missing}”",
                value=", ".join(fields) or "no fields",
                limit="the same fields on every line",
                remedy="Add the field, with null where there is no text; another field is chosen for the whole file",
            )
        place = f"Line {number:,}"
        yield row_document([_cell_text(fields[name], place, name) for name in chosen], chosen, place)


def read_parquet(
    path: Path,
    column: str,
    target_column: str = "",
    *,
    progress: ProgressHook = no_progress,
    cancelled: CancelHook = never_cancelled,
) -> Iterator[str]:
    """The values of a text column, or the pairs of two, of a .parquet file, a few hundred rows in memory at a time.

    Null counts as empty.

    Raises:
        UserError: no Parquet file, damaged, no such column (lists them), or a column that holds no text.
    """
    import pyarrow as pa
    from pyarrow import parquet

    size_bytes = check_file(path)
    with path.open("rb") as file:
        head = file.read(4)
    if head != b"PAR1":
        found = signature(head)
        what = f"it is {found[0]}" if found else "it does not begin with PAR1"
        raise UserError(f"The file is no Parquet table: {what}", value=path.name, remedy="Check how it was made")
    row = 0
    try:
        with parquet.ParquetFile(path) as table:
            texts = [field.name for field in table.schema_arrow if is_text_type(field.type)]
            for wanted in (column, target_column):
                if wanted in table.schema_arrow.names and wanted not in texts:
                    raise UserError(
                        f"The column “{wanted}” holds no text",
                        value=str(table.schema_arrow.field(wanted).type),
                        limit=f"text columns: {', '.join(texts) or 'none'}",
                        remedy="Choose one of these",
                    )
            chosen = choose_columns(texts, column, target_column, path.name, every=table.schema_arrow.names)
            total = table.metadata.num_rows
            for batch in table.iter_batches(_ROWS_AT_ONCE, columns=list(chosen)):
                stop_if_cancelled(cancelled)
                # Columns come in the order of the file, whatever order they were asked for in.
                columns = [batch.column(batch.schema.names.index(name)) for name in chosen]
                for values in zip(*columns, strict=True):
                    row += 1
                    place = f"Row {row:,}"
                    cells = [_cell_text(value.as_py(), place, name) for value, name in zip(values, chosen, strict=True)]
                    yield row_document(cells, chosen, place)
                progress(READING_ROWS, row, total)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise UserError(
            f"The Parquet table of {size_bytes / 1e6:,.1f} MB cannot be read near row {row + 1:,}: {reason}",
            value=path.name,
            remedy="Copy the file again, or write it anew",
        ) from error


def choose_columns(
    columns: Sequence[str], source: str, target: str, where: str, *, every: Iterable[str] = ()
) -> tuple[str, ...]:
    """The column to read, or source and target where the rows are pairs.

    Args:
        source: as `wanted` of `choose_column`.
        target: of the answers; empty for a text without any. A table of two columns then needs no `source`.

    Raises:
        UserError: as `choose_column`, or both are the same.
    """
    if not target:
        return (choose_column(columns, source, where, every=every),)
    if source == target:
        raise UserError(
            "The text and its answer are to be read from the same column",
            value=target,
            limit=f"columns: {', '.join(columns)}",
            remedy="Choose another column for one of them",
        )
    answer = choose_column(columns, target, where, every=every)
    others = [name for name in columns if name != answer]
    return choose_column(others, source, where, every=every or columns), answer


def choose_column(columns: Sequence[str], wanted: str, where: str, *, every: Iterable[str] = ()) -> str:
    """The column to read: the one wanted, else `text`, else the only one.

    Args:
        columns: those that can hold text.
        every: all of them, for the message, where there are more.

    Raises:
        UserError: there is no such column, or none was chosen among several.
    """
    if wanted and wanted in columns:
        return wanted
    if not wanted:
        default = next((name for name in columns if name.lower() == DEFAULT_COLUMN), None)
        if default is not None:
            return default
        if len(columns) == 1:
            return columns[0]
    listed = ", ".join(name or "(no name)" for name in (list(every) or columns)) or "none"
    if wanted:
        raise UserError(
            f"There is no column “{wanted}” in {where}", limit=f"columns: {listed}", remedy="Choose one of these"
        )
    raise UserError(
        f"Which column of {where} holds the text is not said",
        limit=f"columns: {listed}",
        remedy="Choose the text column",
    )


def _lines(parts: Iterable[str]) -> Iterator[str]:
    """Lines with their ends, cut at LF alone: other separators that `splitlines` knows may stand inside a field."""
    for part in parts:
        yield from io.StringIO(part, newline="\n")


def _chain(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _json_object(line: str, number: int) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        column = f", column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise UserError(
            f"Line {number:,}{column} is no JSON",
            value=line[:80].strip(),
            limit="one JSON object a line",
            remedy="Repair the line; a file that is one large JSON list has to be written one object a line",
        ) from error
    if not isinstance(value, dict):
        raise UserError(
            f"Line {number:,} is no JSON object",
            value=line[:80].strip(),
            limit='one object a line, such as {"text": "…"}',
            remedy="Write every text as a field of an object",
        )
    return cast("dict[str, Any]", value)


def _cell_text(value: object, place: str, column: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        kind = type(value).__name__
        raise UserError(
            f"{place}: “{column}” holds no text",
            value=f"{kind} {value}",
            limit="text or null",
            remedy="Choose another column",
        )
    try:
        size_bytes = len(value.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise UserError(
            f"{place}: “{column}” holds half a surrogate pair at character {error.start + 1:,}",
            value=f"U+{ord(value[error.start]):04X}",
            remedy="Repair that text; it was probably cut in the middle of an emoji",
        ) from error
    if "\0" in value:
        raise UserError(
            f"{place}: “{column}” holds a NUL character at character {value.index(chr(0)) + 1:,}",
            remedy="Remove it",
        )
    if size_bytes > MAXIMUM_LINE_BYTES and max(map(len, value.encode("utf-8").split(b"\n"))) > MAXIMUM_LINE_BYTES:
        raise UserError(
            f"{place}: “{column}” has a line of more than {MAXIMUM_LINE_BYTES // 2**20} MB",
            value=f"{size_bytes / 2**20:,.0f} MB",
            limit=f"{MAXIMUM_LINE_BYTES // 2**20} MB a line",
            remedy="Put line breaks into it",
        )
    return value


def is_text_type(kind: Any) -> bool:
    """Whether a column of this Arrow type holds text, plain or as a dictionary."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
