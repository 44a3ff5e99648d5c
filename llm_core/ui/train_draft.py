"""The settings that are being shaped on Train: kept while the session lasts, carried by the link, filled from a file.

A link says `preset`, `dataset`, `tokenizer` and, for each setting that differs from the preset, `set=name=value`; `edit` names
the waiting run that the settings are for. It is read
before any widget, when the page is come to, and not again while it stays: the browser may then still name a link that was
written a change ago. Not here: the widgets (`train_form.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from llm_core.config.errors import UserError
from llm_core.config.overrides import apply_overrides, assignments, flatten
from llm_core.config.presets import find_preset
from llm_core.config.run import RunConfig, load_config

FIRST_PRESET = "pocket-gpt"
LARGEST_FILE_BYTES = 1_000_000
_DRAFT, _WRITTEN, _SET_ASIDE = "train-draft", "train-written-link", "train-draft-set-aside"
_TEXT = ("data.dataset", "data.tokenizer")


@dataclass
class Draft:
    """What the form shows. `number` is part of every widget's key, so that a new start gets new widgets."""

    number: int
    preset: str
    """Where the settings started from, which is also where the command line starts."""
    values: dict[str, Any]
    """By dotted name; checked one by one, but not as a whole."""
    file_name: str = ""
    """The file the settings came from; empty for a preset."""
    edits: str = ""
    """The id of the waiting run whose settings these are; empty for a run that is still to be started."""
    models: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """The model settings of each family that was shown, so that looking at another one loses nothing."""
    objectives: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """The same for each objective."""
    problem: UserError | None = None
    """What was wrong with the link or the file."""
    is_shown: bool = False
    """Whether its widgets have been drawn."""

    @property
    def prefix(self) -> str:
        """The beginning of its widgets' keys."""
        return f"train-{self.number}"


def current_draft() -> Draft:
    """The draft of this session: continued, or begun by the link."""
    asked = {name: st.query_params.get_all(name) for name in ("preset", "dataset", "tokenizer", "set", "edit")}
    asked = {name: values for name, values in asked.items() if values}
    draft: Draft | None = st.session_state.get(_DRAFT)
    if draft is None:
        draft = _from_link(asked, None)
    elif draft.is_shown and f"{draft.prefix}-kind" not in st.session_state:
        # The page was left, so that its widgets are gone, and is come to again.
        if asked and asked != st.session_state.get(_WRITTEN):
            draft = _from_link(asked, draft)
        else:
            draft.number, draft.is_shown = draft.number + 1, False
    st.session_state[_DRAFT] = draft
    return draft


def write_link(draft: Draft, config: RunConfig) -> None:
    """Let the address carry the settings."""
    base = find_preset(draft.preset).config
    changed = [part for part in assignments(base, config) if not part.startswith((*_TEXT, "name="))]
    link: dict[str, list[str]] = {
        "preset": [draft.preset],
        "dataset": [config.data.dataset],
        "tokenizer": [config.data.tokenizer],
        **({"set": changed} if changed else {}),
        **({"edit": [draft.edits]} if draft.edits else {}),
    }
    st.session_state[_WRITTEN] = link
    if {name: st.query_params.get_all(name) for name in st.query_params} != link:
        st.query_params.from_dict(link)


def start_from_preset(name: str) -> None:
    """Begin anew with a preset; a text and a tokenizer of one's own choice stay."""
    before: Draft = st.session_state[_DRAFT]
    values = flatten(find_preset(name).config)
    old = flatten(find_preset(before.preset).config)
    values |= {path: before.values[path] for path in _TEXT if before.values[path] != old[path]}
    st.session_state[_DRAFT] = Draft(before.number + 1, name, values, edits=before.edits)


def start_from_file(name: str, content: bytes) -> None:
    """Begin anew with a config.json; a wrong file leaves everything as it was and says why. The run's name is left out."""
    before: Draft = st.session_state[_DRAFT]
    try:
        if len(content) > LARGEST_FILE_BYTES:
            what, limit = "This file is too large for a configuration", f"{LARGEST_FILE_BYTES:,} bytes"
            raise UserError(what, value=f"{len(content):,} bytes", limit=limit, remedy="Choose a config.json")
        values = flatten(load_config(content))
    except UserError as error:
        before.problem = error
        return
    st.session_state[_DRAFT] = Draft(before.number + 1, before.preset, values, file_name=name, edits=before.edits)


def start_from_waiting(run_id: str, name: str, config: RunConfig) -> None:
    """Show the settings of a run that waits, to change them; the draft there was comes back afterwards."""
    before: Draft | None = st.session_state.get(_DRAFT)
    if before is not None and not before.edits:
        st.session_state[_SET_ASIDE] = before
    number = 0 if before is None else before.number + 1
    st.session_state[_DRAFT] = Draft(number, FIRST_PRESET, flatten(config), file_name=name, edits=run_id)


def leave_edit() -> None:
    """Go on with the draft that was there before a waiting run was opened."""
    edited: Draft = st.session_state.pop(_DRAFT)
    before: Draft | None = st.session_state.pop(_SET_ASIDE, None)
    if before is not None:
        before.number, before.is_shown = edited.number + 1, False
        st.session_state[_DRAFT] = before


def _from_link(asked: dict[str, list[str]], before: Draft | None) -> Draft:
    """The draft that a link asks for. One that names only text or tokenizer changes these in the draft there is."""
    number = 0 if before is None else before.number + 1
    problem: UserError | None = None
    if before is not None and not asked.keys() & {"preset", "set"}:
        draft = Draft(number, before.preset, dict(before.values), before.file_name)
        draft.models, draft.objectives = before.models, before.objectives
    else:
        name = asked.get("preset", [FIRST_PRESET])[-1]
        try:
            base = find_preset(name).config
        except UserError as error:
            name, base, problem = FIRST_PRESET, find_preset(FIRST_PRESET).config, error
        try:
            values = flatten(apply_overrides(base, asked.get("set", [])))
        except UserError as error:
            values, problem = flatten(base), error
        draft = Draft(number, name, values, edits=asked.get("edit", [""])[-1])
    for path in _TEXT:
        wanted = asked.get(path.removeprefix("data."))
        if wanted:
            draft.values[path] = wanted[-1]
    draft.problem = problem
    return draft
