"""*Add text*: from an upload, a path, the Hub or the clipboard; name, column and cleaning; one button.

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

import streamlit as st

from llm_core.backend import text_jobs
from llm_core.config.errors import UserError
from llm_core.config.schema import describe_settings
from llm_core.text.cleaning import CleaningOptions
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.import_roots import ROOTS_VARIABLE, check_import_path, import_roots
from llm_core.text.sources import source_kind
from llm_core.text.table_columns import table_columns
from llm_core.ui.forms import setting_widget
from llm_core.ui.guards import may_change_things, require_role
from llm_core.ui.states import attempt
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
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Further options that this kind of source has."""


def page_roots() -> tuple[Path, ...]:
    """The folders that this server's pages may read files from; a reverse proxy makes it one that others reach."""
    is_alone = is_loopback(str(st.get_option("server.address") or "")) and not os.environ.get(HOSTS_VARIABLE)
    return import_roots(on_loopback=is_alone)


def import_form(workspace: Workspace) -> None:
    """The form; submitting it shows the page anew."""
    if not may_change_things():
        st.caption("Your password opens Glassbox for reading. Texts are brought in with the other one.")
        return
    number = st.session_state.setdefault("import-form", 0)
    place = st.segmented_control(
        "From", list(_FROM), format_func=lambda name: _FROM[name], default="upload", required=True,
        key=f"import-from-{number}", label_visibility="collapsed",
    )  # fmt: skip
    given = {"upload": _upload, "path": _path, "hub": _hub, "paste": _paste}[place](workspace, f"{place}-{number}")
    left, right = st.columns(2)
    with left:
        name = st.text_input("Name", key=f"import-name-{place}-{number}", placeholder="taken from the source")
    with right:
        column = ""
        if given.columns:
            usual = next((index for index, title in enumerate(given.columns) if title.lower() == "text"), 0)
            help_text = "Which column holds the text. Every row becomes one document."
            column = st.selectbox(
                "Text column", given.columns, index=usual, help=help_text, key=f"import-column-{number}"
            )
        elif place == "hub":
            column = st.text_input("Text column", placeholder="text, or the only one", key=f"import-column-{number}")
    with st.expander("Cleaning and documents", icon=":material/cleaning_services:"):
        cleaning = _cleaning(f"import-cleaning-{number}")
    if st.button("Import", type="primary", icon=":material/input:", key=f"import-{number}"):
        attempt(lambda: _submit(given, name, column, cleaning))


def _cleaning(key: str) -> dict[str, Any]:
    rows = describe_settings(CleaningOptions)
    places = st.columns(2)
    chosen: dict[str, Any] = {}
    for index, row in enumerate(rows):
        with places[index % 2]:
            chosen[row.path] = setting_widget(row, row.default, key=f"{key}-{row.path}")
    return chosen


def _submit(given: _Given, name: str, column: str, cleaning: dict[str, Any]) -> None:
    require_role()
    options = ImportOptions(
        name=name.strip(), text_column=column, cleaning=CleaningOptions(**cleaning), **dict(given.options)
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
    columns = table_columns(stream, source_kind(file.name, ImportOptions()))
    stream.seek(0)
    return _Given(partial(text_jobs.import_upload, workspace, file.name, stream), columns)


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
        return _Given(partial(text_jobs.import_path, workspace, typed, roots))
    st.caption(f"Files under {', '.join(f'`{root}`' for root in roots)} can be read, of any size.")
    columns: list[str] = []
    with contextlib.suppress(UserError, OSError):  # said when the button is pressed
        if typed.strip():
            path = check_import_path(workspace, typed, roots)
            with path.open("rb") as stream:
                columns = table_columns(stream, source_kind(path, ImportOptions()))
    return _Given(partial(text_jobs.import_path, workspace, typed, roots), columns)


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
    return _Given(partial(text_jobs.import_hub, workspace, name), options=further)


def _paste(workspace: Workspace, key: str) -> _Given:
    text = st.text_area("Text", height=180, key=f"import-{key}", placeholder="Paste text here")
    return _Given(partial(text_jobs.import_paste, workspace, text))
