"""Any source of text as one stream of documents: a file of a known kind, pasted text, a data set of the Hub.

Not here: the readers themselves (`text_file.py`, `tables.py`, `hub.py`), cleaning and storing (`library.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from llm_core.config.errors import UserError
from llm_core.text.cleaning import DocumentPart
from llm_core.text.dataset_record import ImportOptions, SourceKind
from llm_core.text.hub import read_hub
from llm_core.text.progress import (
    CHECKING_FILE,
    CancelHook,
    ProgressHook,
    never_cancelled,
    no_progress,
    stop_if_cancelled,
)
from llm_core.text.tables import read_delimited, read_json_lines, read_parquet
from llm_core.text.text_file import MAXIMUM_LINE_BYTES, READ_BYTES, check_file, read_text_file
from llm_core.text.tokenizer_interface import refuse_surrogates

_KINDS: dict[str, SourceKind] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}


def source_kind(source: str | Path, options: ImportOptions) -> SourceKind:
    """The kind in question: the one chosen, or what the file's ending says; everything unknown is taken for text."""
    return options.kind if options.kind != "auto" else _KINDS.get(Path(source).suffix.lower(), "text")


def check_pair_options(source: str | Path, options: ImportOptions) -> None:
    """Raise UserError when an answer column is asked for together with what would take pairs apart, or of plain text."""
    if not options.target_column:
        return
    if source_kind(source, options) in ("text", "paste"):
        raise UserError(
            "Only a table has an answer column, and this is plain text",
            value=options.target_column,
            limit=", ".join(_KINDS),
            remedy="Give a table with a column of texts and a column of answers",
        )
    if options.cleaning.document_separator is not None:
        raise UserError(
            "A row with its answer is one pair and cannot be cut into documents",
            value=repr(options.cleaning.document_separator),
            remedy="Leave the separator empty, or choose no answer column",
        )
    if options.cleaning.duplicates == "line":
        raise UserError(
            "Dropping repeated lines would leave pairs with half of their text",
            value=options.target_column,
            remedy="Drop repetitions by document, which here means by pair",
        )


def read_source(
    source: str | Path,
    options: ImportOptions,
    *,
    progress: ProgressHook = no_progress,
    cancelled: CancelHook = never_cancelled,
) -> Iterator[DocumentPart]:
    """The documents of a source, uncleaned.

    Args:
        source: a path; the text itself when `options.kind` is `paste`; `owner/name` when it is `hub`.

    Raises:
        UserError: what cannot be read, where in it, and what to do.
        Cancelled: when the hook says so.
    """
    kind = source_kind(source, options)
    if kind == "paste":
        return _whole_documents([_pasted(str(source))])
    if kind == "hub":
        return _whole_documents(
            read_hub(
                str(source),
                options.text_column,
                options.target_column,
                configuration=options.hub_configuration,
                split=options.hub_split,
                progress=progress,
                cancelled=cancelled,
            )
        )
    path = Path(source).expanduser()
    if kind == "text":
        return _one_document(read_text_file(path, progress=progress, cancelled=cancelled))
    columns = (options.text_column, options.target_column)
    if kind == "jsonl":
        return _whole_documents(read_json_lines(path, *columns, progress=progress, cancelled=cancelled))
    if kind == "parquet":
        return _whole_documents(read_parquet(path, *columns, progress=progress, cancelled=cancelled))
    delimiter = "\t" if kind == "tsv" else ","
    return _whole_documents(read_delimited(path, *columns, delimiter=delimiter, progress=progress, cancelled=cancelled))


def source_hash(
    source: str | Path,
    options: ImportOptions,
    *,
    progress: ProgressHook = no_progress,
    cancelled: CancelHook = never_cancelled,
) -> str:
    """SHA-256 of what was given; of its name alone for the Hub, whose data sets have revisions of their own."""
    if source_kind(source, options) in ("paste", "hub"):
        return hashlib.sha256(str(source).encode("utf-8", "surrogatepass")).hexdigest()
    path = Path(source).expanduser()
    size_bytes = check_file(path)
    content, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while data := file.read(READ_BYTES):
            stop_if_cancelled(cancelled)
            content.update(data)
            done += len(data)
            progress(CHECKING_FILE, done, size_bytes)
    return content.hexdigest()


def _pasted(text: str) -> str:
    refuse_surrogates(text)
    if "\0" in text:
        place = text.index("\0")
        raise UserError(f"The text holds a NUL character at character {place + 1:,}", remedy="Remove it")
    longest = max(len(line.encode("utf-8")) for line in text.split("\n"))
    if longest > MAXIMUM_LINE_BYTES:
        raise UserError(
            "A line of the text is too long",
            value=f"{longest / 2**20:,.0f} MB",
            limit=f"{MAXIMUM_LINE_BYTES // 2**20} MB",
            remedy="Put line breaks into it",
        )
    return text


def _whole_documents(texts: Iterable[str]) -> Iterator[DocumentPart]:
    for text in texts:
        yield DocumentPart(text, True)


def _one_document(text_parts: Iterable[str]) -> Iterator[DocumentPart]:
    previous: str | None = None
    for part in text_parts:
        if previous is not None:
            yield DocumentPart(previous, False)
        previous = part
    if previous is not None:
        yield DocumentPart(previous, True)
