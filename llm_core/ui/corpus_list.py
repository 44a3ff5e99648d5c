"""The list of texts: built-in ones marked, the one that the link names chosen, the choice written into the link.

Not here: what is shown of the chosen text (`corpus_tabs.py`).
"""

from __future__ import annotations

import contextlib

import streamlit as st

from llm_core.config.errors import NotFound
from llm_core.quantities import size
from llm_core.text.dataset_record import DatasetRecord
from llm_core.text.library import find_dataset, list_datasets
from llm_core.ui.link import settle, tell
from llm_core.ui.states import literal
from llm_core.workspace.paths import Workspace

_KEY = "dataset"


def choose_dataset(workspace: Workspace) -> DatasetRecord | None:
    """The chosen text, in the link by its name; None when the link names one that is not there, which is said."""
    records = {record.name: record for record in list_datasets(workspace)}
    names = list(records)
    if not settle("dataset", _KEY, names, names[0], what="text"):
        return None
    chosen = st.radio(
        "Texts",
        names,
        format_func=lambda name: literal(records[name].title),
        captions=[_about(record) for record in records.values()],
        key=_KEY,
    )
    tell("dataset", _KEY, chosen)
    return records[chosen]


def open_dataset(workspace: Workspace, dataset: str) -> None:
    """Choose this text on the present run, as a link to it would."""
    with contextlib.suppress(NotFound):  # deleted meanwhile
        st.query_params["dataset"] = find_dataset(workspace, dataset).name


def _about(record: DatasetRecord) -> str:
    parts = ["built in"] if record.builtin else []
    parts.append(size(record.bytes) if record.materialised else "made when first used")
    if record.documents > 1:
        parts.append(f"{record.documents:,} {'pairs' if record.is_pairs else 'documents'}")
    return " · ".join(parts)
