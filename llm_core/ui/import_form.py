"""*Add text*: from an upload, a path, the Hub or the clipboard; name, columns and cleaning; one button.

Every form has a number: once its text is on its way, the next one starts empty and under other keys, so that a second click
on the old button finds nothing to press. Not here: what is checked (`llm_core.backend.text_jobs`), progress
(`text_jobs.py`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from llm_core.backend import text_jobs
from llm_core.config.errors import UserError
from llm_core.config.schema import describe_settings
from llm_core.text.cleaning import CleaningOptions
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.import_roots import ROOTS_VARIABLE, check_import_path, import_roots
from llm_core.text.pair_preview import ShownPair
from llm_core.text.pairs import PairText
from llm_core.text.sources import source_kind
from llm_core.text.table_columns import first_rows, table_columns
from llm_core.ui.forms import setting_widget
from llm_core.ui.guards import asking, may, require
from llm_core.ui.pair_views import show_pairs
from llm_core.ui.states import attempt, literal
from llm_core.ui.text_jobs import once_key, submitted
from llm_core.web.access_policy import HOSTS_VARIABLE, is_loopback
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.paths import Workspace

_FROM = {"upload": "Upload", "path": "Path", "hub": "Hub", "paste": "Paste"}


@dataclass(frozen=True)
class _Given:
    """What the form holds so far."""

    submit: Callable[..., JobRecord]
    """Queues the import; takes the options and `once`."""
    columns: Sequence[str] = ()
    """The columns to choose from, where the source is a table."""
    first_rows: Callable[[Sequence[str]], list[list[str]]] = lambda _: []
    """What the given columns of that table hold in its first rows."""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Further options that this kind of source has."""


def page_roots() -> tuple[Path, ...]:
    """The folders that this server's pages may read files from; a reverse proxy makes it one that others reach."""
    is_alone = is_loopback(str(st.get_option("server.address") or "")) and not os.environ.get(HOSTS_VARIABLE)
    return import_roots(on_loopback=is_alone)


def import_form(workspace: Workspace) -> None:
    """The form; submitting it shows the page anew."""
    if not may("import-text"):
        st.caption("Your password opens Glassbox for reading. Texts are brought in with the other one.")
        return
    number = st.session_state.setdefault("import-form", 0)
    place = st.segmented_control(
        "From", list(_FROM), format_func=lambda name: _FROM[name], default="upload", required=True,
        key=f"import-from-{number}", label_visibility="collapsed",
    )  # fmt: skip
    given = {"upload": _upload, "path": _path, "hub": _hub, "paste": _paste}[place](workspace, f"{place}-{number}")
    is_table = bool(given.columns) or place == "hub"
    left, *others = st.columns(3 if len(given.columns) > 1 or place == "hub" else 2)
    with left:
        name = st.text_input("Name", key=f"import-name-{place}-{number}", placeholder="taken from the source")
    columns = _columns(given, others, number) if is_table else _Columns()
    with st.expander("Cleaning and documents", icon=":material/cleaning_services:"):
        cleaning = _cleaning(f"import-cleaning-{number}")
    # A file's name shows in the browser before the file is here; a click in between would find nothing and be lost.
    if st.button(
        "Import",
        type="primary",
        icon=":material/input:",
        key=f"import-{number}",
        disabled=given.submit is _no_file,
        help="Choose or drop a file first" if given.submit is _no_file else None,
    ):
        attempt(lambda: _submit(given, name, columns, cleaning))


@dataclass(frozen=True)
class _Columns:
    """Which columns of a table are read; empty where there is nothing to say."""

    text: str = ""
    target: str = ""


def _columns(given: _Given, places: Sequence[DeltaGenerator], number: int) -> _Columns:
    """The column of the texts and, where there are several, that of the answers; the first rows below them."""
    text_help = "Which column holds the text. Every row becomes one document, or with an answer one pair."
    answer_help = "Makes every row a pair: a sequence-to-sequence model learns to write this column from the other one."
    text_key, answer_key = f"import-column-{number}", f"import-target-{number}"
    if not given.columns:
        with places[0]:
            text = st.text_input("Text column", placeholder="text, or the only one", help=text_help, key=text_key)
        with places[1]:
            answer = st.text_input("Answer column", placeholder="none", help=answer_help, key=answer_key)
        return _Columns(text.strip(), answer.strip())
    usual = next((index for index, title in enumerate(given.columns) if title.lower() == "text"), 0)
    with places[0]:
        text = st.selectbox("Text column", given.columns, index=usual, help=text_help, key=text_key)
    target = ""
    if len(given.columns) > 1:
        with places[1]:
            others = ["", *(name for name in given.columns if name != text)]
            target = st.selectbox(
                "Answer column", others, format_func=lambda name: name or "None", help=answer_help, key=answer_key
            )
    _first_rows(given, [text, target] if target else [text])
    return _Columns(text, target)


def _first_rows(given: _Given, columns: Sequence[str]) -> None:
    rows = given.first_rows(columns)
    if not rows:
        return
    if len(columns) == 1:
        st.caption("The first rows")
        shown = [row[0].replace("\n", " ⏎ ") for row in rows]
        st.dataframe(pd.DataFrame({columns[0]: shown}, dtype="string"), hide_index=True)
        return
    st.caption(literal(f"The first rows. Reading “{columns[0]}”, a model is to write “{columns[1]}”."))
    show_pairs([ShownPair(number, PairText(*row), is_cut=False) for number, row in enumerate(rows[:2], start=1)])


def _cleaning(key: str) -> dict[str, Any]:
    rows = describe_settings(CleaningOptions)
    places = st.columns(2)
    chosen: dict[str, Any] = {}
    for index, row in enumerate(rows):
        with places[index % 2]:
            chosen[row.path] = setting_widget(row, row.default, key=f"{key}-{row.path}")
    return chosen


def _submit(given: _Given, name: str, columns: _Columns, cleaning: dict[str, Any]) -> None:
    require("import-text")
    options = ImportOptions(
        name=name.strip(),
        text_column=columns.text,
        target_column=columns.target,
        cleaning=CleaningOptions(**cleaning),
        **dict(given.options),
    )
    record = given.submit(options, once=once_key("import"))
    st.session_state["import-form"] += 1
    submitted(record, "import")


def _upload(workspace: Workspace, key: str) -> _Given:
    file = st.file_uploader(
        "A file from your computer: .txt, .md, .csv, .tsv, .jsonl or .parquet, up to 200 MB", key=f"import-{key}"
    )
    if file is None:
        return _Given(_no_file)
    stream = cast("BinaryIO", file)
    kind = source_kind(file.name, ImportOptions())
    columns = table_columns(stream, kind)
    stream.seek(0)

    def rows(names: Sequence[str]) -> list[list[str]]:
        found = first_rows(stream, kind, names)
        stream.seek(0)
        return found

    return _Given(partial(asking("import-text", text_jobs.import_upload), workspace, file.name, stream), columns, rows)


def _no_file(options: ImportOptions, once: str) -> JobRecord:
    raise UserError("No file is chosen", remedy="Choose or drop one first")


def _path(workspace: Workspace, key: str) -> _Given:
    roots = page_roots()
    typed = st.text_input(
        "Path of a file on the machine where Glassbox runs",
        key=f"import-{key}",
        disabled=not roots,
        placeholder=f"{roots[0]}/books/my-book.txt" if roots else "",
    )
    if not roots:
        st.caption(
            "Reading by path is switched off, because this server can be reached from other machines. "
            f"Name the folders in {ROOTS_VARIABLE} where it is started, or use `glassbox data add` there."
        )
        return _Given(partial(asking("import-text", text_jobs.import_path), workspace, typed, roots))
    st.caption(f"Files under {', '.join(f'`{root}`' for root in roots)} can be read, of any size.")
    submit = partial(asking("import-text", text_jobs.import_path), workspace, typed, roots)
    with contextlib.suppress(UserError, OSError):  # said when the button is pressed
        if typed.strip():
            path = check_import_path(workspace, typed, roots)
            with path.open("rb") as stream:
                columns = table_columns(stream, source_kind(path, ImportOptions()))
            return _Given(submit, columns, partial(_rows_of_file, path))
    return _Given(submit)


def _rows_of_file(path: Path, columns: Sequence[str]) -> list[list[str]]:
    try:
        with path.open("rb") as stream:
            return first_rows(stream, source_kind(path, ImportOptions()), columns)
    except OSError:  # said when the button is pressed
        return []


def _hub(workspace: Workspace, key: str) -> _Given:
    name = st.text_input("Data set on the Hugging Face Hub", placeholder="owner/name", key=f"import-{key}")
    left, right = st.columns(2)
    with left:
        split = st.text_input("Part", value="train", key=f"import-part-{key}", help="The split to read.")
    with right:
        configuration = st.text_input(
            "Configuration", placeholder="only where there are several", key=f"import-configuration-{key}"
        )
    st.caption('Needs a connection and the package `datasets`: pip install "glassbox-lm[hub]"')
    further = {"hub_split": split.strip() or "train", "hub_configuration": configuration.strip()}
    return _Given(partial(asking("import-text", text_jobs.import_hub), workspace, name), options=further)


def _paste(workspace: Workspace, key: str) -> _Given:
    text = st.text_area("Text", height=180, key=f"import-{key}", placeholder="Paste text here")
    return _Given(partial(asking("import-text", text_jobs.import_paste), workspace, text))
