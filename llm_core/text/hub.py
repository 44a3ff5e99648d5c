"""Reading a data set of the Hugging Face Hub by name, row by row, through the optional `datasets` package.

Data only: scripts of a repository are never run (`datasets` 4 and later cannot). Not here: files on disk (`sources.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llm_core.config.errors import NotFound, UserError
from llm_core.text.pairs import row_document
from llm_core.text.progress import (
    READING_ROWS,
    CancelHook,
    ProgressHook,
    never_cancelled,
    no_progress,
    stop_if_cancelled,
)
from llm_core.text.tables import choose_columns

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_OLDEST_MAJOR = 4


def read_hub(
    name: str,
    column: str,
    target_column: str = "",
    *,
    configuration: str = "",
    split: str = "train",
    progress: ProgressHook = no_progress,
    cancelled: CancelHook = never_cancelled,
) -> Iterator[str]:
    """The texts of one column of a data set on the Hub, or the pairs of two, streamed.

    Args:
        name: `owner/name`.
        column: its name; empty takes `text`, or the only column that holds text.
        target_column: of the answers, where the rows are pairs; see `choose_columns`.
        configuration: for data sets that have several.

    Raises:
        NotFound: no such data set, or it is not open to this account.
        UserError: `datasets` is not installed or too old, the Hub cannot be reached, no such column.
    """
    if not _NAME.fullmatch(name):
        raise UserError(
            "This is no name of a data set on the Hub", value=name, limit="owner/name", remedy="Copy it from its page"
        )
    if Path(name).exists():  # the library would read that folder instead, whoever asks
        raise UserError("This is a folder on this machine", value=name, remedy="Import its files by path")
    rows = _open(name, configuration, split)
    chosen: tuple[str, ...] = ()
    for number, row in enumerate(rows, start=1):
        if not chosen:
            texts = [key for key, value in row.items() if isinstance(value, str | None)]
            chosen = choose_columns(texts, column, target_column, name, every=row)
        if number % 256 == 0:
            stop_if_cancelled(cancelled)
            progress(READING_ROWS, number, None)
        cells = ["" if row.get(key) is None else row[key] for key in chosen]
        for key, cell in zip(chosen, cells, strict=True):
            if not isinstance(cell, str):
                raise UserError(f"Row {number:,} of {name} holds no text in “{key}”", remedy="Choose another column")
        yield row_document(cells, chosen, f"Row {number:,} of {name}")


def _open(name: str, configuration: str, split: str) -> Iterator[dict[str, Any]]:
    try:
        import datasets  # pyright: ignore[reportMissingImports] - an optional package
    except ModuleNotFoundError as error:
        raise UserError(
            "Reading from the Hub needs the package `datasets`, which is not installed",
            remedy='Install it with: pip install "glassbox-lm[hub]" - or download a file of the data set and give its path',
        ) from error
    if int(datasets.__version__.partition(".")[0]) < _OLDEST_MAJOR:
        raise UserError(
            "This version of `datasets` could run code from the Hub, so it is not used",
            value=datasets.__version__,
            limit=f"{_OLDEST_MAJOR}.0 or newer",
            remedy='Upgrade it: pip install --upgrade "glassbox-lm[hub]"',
        )
    try:
        loaded = datasets.load_dataset(name, configuration or None, split=split, streaming=True)
        yield from loaded
    except (datasets.exceptions.DatasetNotFoundError, datasets.exceptions.DataFilesNotFoundError) as error:
        raise NotFound(
            f"The Hub has no open data set “{name}” with data in it", remedy="Check the name on its page"
        ) from error
    except ValueError as error:  # wrong configuration or split; the library's message lists what there is
        raise UserError(f"{name}: {error}", remedy="Choose one of these") from error
    except OSError as error:  # requests' and fsspec's connection errors, and the offline mode, are OSErrors
        raise UserError(
            f"The Hub cannot be reached: {type(error).__name__}",
            value=name,
            remedy="Check the connection, or download a file of the data set elsewhere and give its path",
        ) from error
