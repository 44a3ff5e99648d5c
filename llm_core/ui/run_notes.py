"""Name, notes and tags of a run: written where the run is shown, saved when the field is left.

Not here: how they are kept (`llm_core.workspace.run_notes`, the registry), runs by tag (`run_table.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import streamlit as st

from llm_core.config.errors import UserError
from llm_core.ui.guards import may, require
from llm_core.ui.states import literal, show_error
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.paths import MAXIMUM_NAME_CHARACTERS, open_workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.run_notes import (
    MAXIMUM_TAG_CHARACTERS,
    MAXIMUM_TAGS,
    MAXIMUM_TEXT_CHARACTERS,
    RunNotes,
    change_notes,
    read_notes,
)
from llm_core.workspace.runs import run_folder

_PROBLEM = "notes-problem"


def run_notes(record: JobRecord) -> None:
    """The notes of one run: fields for who may write, text for who may read."""
    folder = run_folder(open_workspace(), record.id)
    notes = read_notes(folder)
    if not may("edit-notes"):
        _shown(notes)
        return
    problem, unsaved = st.session_state.pop(_PROBLEM, (None, ""))
    if problem is not None:
        show_error(problem)
        st.code(unsaved, language=None, wrap_lines=True)
    # What is stored is part of the key: after a change, here or elsewhere, the fields show what is stored now.
    name_key = f"name-{record.id}-{_digest(record.name)}"
    st.text_input(
        "Name",
        record.name,
        max_chars=MAXIMUM_NAME_CHARACTERS,
        key=name_key,
        on_change=_save_name,
        args=(record, name_key),
        help="What the run is called everywhere from now on. Its id and its files stay.",
    )
    text_key = f"notes-{record.id}-{_digest(notes.text)}"
    tags_key = f"tags-{record.id}-{_digest(','.join(notes.tags))}"
    st.multiselect(
        "Tags",
        list(notes.tags),
        default=list(notes.tags),
        accept_new_options=True,
        max_selections=MAXIMUM_TAGS,
        placeholder="a word or two, then Enter",
        key=tags_key,
        on_change=_save_tags,
        args=(folder, notes, tags_key),
        help=f"For finding runs again, on every page and with `glassbox runs`. At most {MAXIMUM_TAG_CHARACTERS} characters each.",
    )
    st.text_area(
        "Notes",
        notes.text,
        max_chars=MAXIMUM_TEXT_CHARACTERS,
        placeholder="Why this run? What came of it?",
        height=160,
        key=text_key,
        on_change=_save_text,
        args=(folder, notes, text_key),
        help="Saved when you leave the field. They lie in the run's folder and go with every copy of it.",
    )


def _shown(notes: RunNotes) -> None:
    if not notes.text and not notes.tags:
        st.caption("There are no notes on this run.")
        return
    if notes.tags:
        st.markdown(literal(" · ".join(notes.tags)))
    if notes.text:
        st.code(notes.text, language=None, wrap_lines=True)


def _save_name(record: JobRecord, key: str) -> None:
    written: str = st.session_state[key]

    def save() -> None:
        require("rename-run")
        with Registry(open_workspace()) as registry:
            registry.rename(record.id, written.strip())

    _attempt(save, written)


def _save_tags(folder: Path, notes: RunNotes, key: str) -> None:
    chosen: list[str] = st.session_state[key]

    def save() -> None:
        require("edit-notes")
        change_notes(folder, tag=chosen, untag=[tag for tag in notes.tags if tag not in chosen])

    _attempt(save, ", ".join(chosen))


def _save_text(folder: Path, notes: RunNotes, key: str) -> None:
    written: str = st.session_state[key]

    def save() -> None:
        require("edit-notes")
        change_notes(folder, text=written, seen=notes.text)

    _attempt(save, written)


def _attempt(save: Callable[[], None], written: str) -> None:
    """A callback cannot draw, so what went wrong is shown by the page that follows it, with what was written, to be copied."""
    try:
        save()
    except UserError as error:
        st.session_state[_PROBLEM] = (error, written)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:12]
