"""The form of Train: five sections of widgets made from the declared settings.

Returns plain values by dotted name; whether they work together is said by the card (`train_card.py`). Not here: how one
setting becomes a widget (`forms.py`), what is kept between visits (`train_draft.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from llm_core.config.errors import UserError
from llm_core.config.model import MODEL_CONFIGS
from llm_core.config.objective import OBJECTIVE_CONFIGS, OBJECTIVES_OF
from llm_core.config.objective_words import objective_words
from llm_core.config.overrides import flatten
from llm_core.config.presets import find_preset, preset_names, presets
from llm_core.config.schema import SettingDescription, describe_run
from llm_core.models.families import families
from llm_core.quantities import large
from llm_core.text.library import list_datasets
from llm_core.text.tokenizer_library import list_tokenizers
from llm_core.text.tokenizer_names import MAXIMUM_VOCABULARY, TokenizerKind, sized_kinds, tokenizer_choice
from llm_core.ui.forms import explained_widget, settings_form
from llm_core.ui.states import literal, show_error
from llm_core.ui.train_draft import Draft, start_from_file, start_from_preset
from llm_core.workspace.paths import Workspace

_BUDGET = ("training.max_steps", "training.max_tokens", "training.max_epochs", "training.max_minutes")
# What limits an n-gram, which has no steps and needs no time.
_COUNTED_BUDGET = ("training.max_tokens", "training.max_epochs")
_USUAL_BUDGET = {
    "training.max_steps": 2_000,
    "training.max_tokens": 3_000_000,
    "training.max_epochs": 5.0,
    "training.max_minutes": 2.0,
}
_OWN_WIDGETS = {"name", "data.dataset", "data.tokenizer", "model.kind", "objective.kind", *_BUDGET}
_LEARNING = ("optimizer.", "schedule.", "training.batch", "training.gradient")
_LOOKING = ("training.log", "training.eval", "training.sample", "training.checkpoint", "logging.")
# Settings that only one choice of another setting reads.
_READ_BY = {
    "optimizer.beta1": ("optimizer.kind", ("adamw", "adam")),
    "optimizer.beta2": ("optimizer.kind", ("adamw", "adam")),
    "optimizer.epsilon": ("optimizer.kind", ("adamw", "adam")),
    "optimizer.momentum": ("optimizer.kind", ("sgd",)),
    "schedule.final_fraction": ("schedule.kind", ("cosine", "trapezoid")),
    "schedule.decay_fraction": ("schedule.kind", ("trapezoid",)),
    "objective.within_documents": ("model.kind", ("transformer",)),
    "model.rope_theta": ("model.positions", ("rope",)),
    "model.local_rope_theta": ("model.positions", ("rope",)),
    "model.position_offset": ("model.positions", ("learned",)),
    "model.position_buckets": ("model.positions", ("relative",)),
    "model.position_distance": ("model.positions", ("relative",)),
}
# In the box of tokenizers; no tokenizer of a workspace can have this name.
_EVERY_WORD = "word:"


def train_form(workspace: Workspace, draft: Draft) -> tuple[dict[str, Any], DeltaGenerator]:
    """The whole form; returns the values and the place under the schedule where its curve belongs."""
    line = _start_row(draft)
    values = {name: value for name, value in draft.values.items() if name != "name"}
    with st.container(border=True):
        st.subheader("Text")
        advanced = bool(st.session_state.get("train-advanced", False))
        left, right = st.columns(2)
        with left:
            values["data.dataset"] = _dataset(workspace, draft)
        with right:
            values["data.tokenizer"] = _tokenizer(workspace, draft)
        # What is counted looks at its order and at no context.
        about_text = ("data.validation",) if families()[values["model.kind"]].is_counted else ("data.",)
        values |= _rows(draft, values, about_text, advanced)
    with st.container(border=True):
        st.subheader("Model")
        values = _model(draft, values, advanced)
    curve_place = st.container()
    if not families()[values["model.kind"]].is_counted:
        with st.container(border=True):
            st.subheader("Learning")
            values = _objective(draft, values, advanced)
            values |= _rows(draft, values, _LEARNING, advanced)
            curve_place = st.container()
            values |= _budget(draft, values)
        with st.container(border=True):
            st.subheader("When to look")
            values |= _rows(draft, values, _LOOKING, advanced)
        with st.container(border=True):
            st.subheader("Device")
            values |= _rows(draft, values, ("hardware.", "seed"), advanced)
    else:
        with st.container(border=True):
            st.subheader("How much is counted")
            values |= _counted_budget(draft, values)
    draft.values, draft.is_shown = values, True
    line.caption(literal(_where_it_stands(draft, values)))
    return values, curve_place


def _start_row(draft: Draft) -> DeltaGenerator:
    """Preset, file and how much is shown; returns the place for a line about them."""
    key, uploader = f"{draft.prefix}-preset", f"{draft.prefix}-file"

    def from_preset() -> None:
        start_from_preset(st.session_state[key])

    def from_file() -> None:
        uploaded = st.session_state[uploader]
        if uploaded is None:
            draft.problem = None
        else:
            start_from_file(uploaded.name, uploaded.getvalue())

    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox(
            "Start from",
            preset_names(),
            index=None if draft.file_name else preset_names().index(draft.preset),
            format_func=lambda name: presets()[name].title,
            placeholder=f"settings of {draft.file_name}",
            key=key,
            on_change=from_preset,
            width=200,
        )
        with st.popover("Load config.json", icon=":material/upload_file:"):
            st.file_uploader("The config.json of a run", key=uploader, on_change=from_file, max_upload_size=1)
        st.toggle("Advanced", key="train-advanced", persist_state="session", help="Show every setting.")
    if draft.problem is not None:
        show_error(draft.problem)
    return st.container()


def _where_it_stands(draft: Draft, values: dict[str, Any]) -> str:
    """What the settings are, or how far they have gone from where they started."""
    if draft.file_name:
        return f"The settings of {draft.file_name}. Choosing a preset replaces them."
    preset = find_preset(draft.preset)
    first = flatten(preset.config)
    changed = sum(first.get(name) != value for name, value in values.items())
    if not changed:
        return preset.sentence
    return f"{preset.title}, with {changed} setting{'s' if changed > 1 else ''} changed."


def _rows(draft: Draft, values: dict[str, Any], prefixes: tuple[str, ...], advanced: bool) -> dict[str, Any]:
    """The settings of one section that are to be seen, as widgets."""

    def is_shown(row: SettingDescription) -> bool:
        if not row.path.startswith(prefixes) or row.path in _OWN_WIDGETS or len(row.choices) == 1:
            return False
        return advanced or row.level == "simple"

    rows = [row for row in describe_run(values["model.kind"], values["objective.kind"]) if is_shown(row)]
    return _settle(rows, values, draft.prefix)


def _settle(rows: Sequence[SettingDescription], values: dict[str, Any], key: str) -> dict[str, Any]:
    """The widgets of some settings, those left out that nothing would read."""
    # What is decided by another setting comes after it, so that it follows at once.
    deciders = [row for row in rows if row.path not in _READ_BY]
    chosen = settings_form(deciders, values, key=key)
    known = {**values, **chosen}
    readers = [row for row in rows if row.path in _READ_BY and known[_READ_BY[row.path][0]] in _READ_BY[row.path][1]]
    return chosen | settings_form(readers, values, key=key)


def _dataset(workspace: Workspace, draft: Draft) -> str:
    records = {record.name: record for record in list_datasets(workspace)}
    wanted = str(draft.values["data.dataset"])
    by_id = {record.id: record.name for record in records.values()}
    wanted = by_id.get(wanted, wanted)
    names = _with(wanted, list(records))

    def shown(name: str) -> str:
        if name not in records:
            return f"{name} (not in this workspace)"
        characters = records[name].characters
        return name + (f" · {large(characters)}" if characters else "")

    with st.container(gap="xxsmall"):
        chosen: str = st.selectbox(
            "Corpus", names, index=names.index(wanted), format_func=shown, key=f"{draft.prefix}-data.dataset"
        )
        if chosen in records:
            st.caption("The text the model learns from. Its last part is kept aside to measure with.")
        else:
            st.page_link("data.py", label="Bring this text in", icon=":material/library_add:")
    return chosen


def _tokenizer(workspace: Workspace, draft: Draft) -> str:
    """The kind, with the size beside it where it has one; or a tokenizer of the workspace by name."""
    records = {record.name: record for record in list_tokenizers(workspace)}
    wanted = str(draft.values["data.tokenizer"])
    wanted = {record.id: record.name for record in records.values()}.get(wanted, wanted)
    sized = sized_kinds()
    words = {"char": "Characters", "byte": "Bytes", _EVERY_WORD: "Every word of the text"}
    words |= {kind: f"{about.title}, made for this text" for kind, about in sized.items()}
    size = 0
    kind = _EVERY_WORD if wanted == "word" else wanted
    with suppress(UserError):  # a size that is not possible is said by the card
        choice = tokenizer_choice(wanted)
        if choice.size:
            kind, size = str(choice.kind), choice.size
    options = _with(kind, [*words, *records])

    def shown(name: str) -> str:
        if name in words:
            return words[name]
        if name in records:
            return f"{name} · {records[name].vocabulary_size:,} entries"
        return f"{name} (not in this workspace)"

    with st.container(gap="xxsmall"):
        chosen: str = st.selectbox(
            "Tokenizer", options, index=options.index(kind), format_func=shown, key=f"{draft.prefix}-data.tokenizer"
        )
        st.caption("How text is cut. Longer pieces let the same context reach further and make the vocabulary larger.")
    if chosen == _EVERY_WORD:
        return "word"
    about = sized.get(cast("TokenizerKind", chosen))
    if about is None:
        return chosen
    with st.container(gap="xxsmall"):
        entries = st.number_input(
            "Vocabulary, entries",
            about.minimum,
            MAXIMUM_VOCABULARY,
            size if chosen == kind and size else about.usual,
            step=256,
            key=f"{draft.prefix}-{chosen}",
        )
        st.caption(f"Each entry costs one row as wide as the model. {about.minimum} to {MAXIMUM_VOCABULARY:,}.")
    return f"{chosen}:{entries}"


def _model(draft: Draft, values: dict[str, Any], advanced: bool) -> dict[str, Any]:
    """The family; another one shows its own settings, as they were left or as they are by default."""
    known = families()
    before = values["model.kind"]
    kind: str = st.segmented_control(
        "Family",
        list(known),
        format_func=lambda name: known[name].title,
        default=before,
        required=True,
        width="stretch",
        key=f"{draft.prefix}-kind",
    )
    st.caption(known[kind].sentence)
    if kind != before:
        fresh = MODEL_CONFIGS[kind]().model_dump(mode="json")
        model = draft.models.get(kind) or {f"model.{name}": value for name, value in fresh.items()}
        values = {name: value for name, value in values.items() if not name.startswith("model.")} | model
        if values["objective.kind"] not in OBJECTIVES_OF[kind]:
            values = _with_objective(draft, values, OBJECTIVES_OF[kind][0])
    rows = [row for row in describe_run(kind) if row.path.startswith("model.") and row.path != "model.kind"]
    shown = [row for row in rows if advanced or row.level == "simple"]
    values |= _settle(shown, values, f"{draft.prefix}-{kind}")
    family = known[kind]
    _formula(f"What {family.formula_of} computes", family.formula, family.symbols)
    draft.models[kind] = {name: value for name, value in values.items() if name.startswith("model.")}
    return values


def _objective(draft: Draft, values: dict[str, Any], advanced: bool) -> dict[str, Any]:
    """What the model is asked to predict; a choice only where the family leaves one."""
    kind, fitting = values["objective.kind"], OBJECTIVES_OF[values["model.kind"]]
    known = objective_words()
    if len(fitting) > 1:
        chosen: str = st.segmented_control(
            "Objective",
            fitting,
            format_func=lambda name: known[name].title,
            default=kind,
            required=True,
            key=f"{draft.prefix}-{values['model.kind']}-objective",
        )
        if chosen != kind:
            values, kind = _with_objective(draft, values, chosen), chosen
    words = known[kind]
    if not words.is_code_length:
        st.caption(words.sentence)
        _formula("What is minimised", words.formula, ())
    values |= _rows(draft, values, ("objective.",), advanced)
    draft.objectives[kind] = {name: value for name, value in values.items() if name.startswith("objective.")}
    return values


def _with_objective(draft: Draft, values: dict[str, Any], kind: str) -> dict[str, Any]:
    """The values with another objective, as it was left or as it is by default."""
    fresh = OBJECTIVE_CONFIGS[kind]().model_dump(mode="json")
    chosen = draft.objectives.get(kind) or {f"objective.{name}": value for name, value in fresh.items()}
    return {name: value for name, value in values.items() if not name.startswith("objective.")} | chosen


def _formula(title: str, formula: str, symbols: Sequence[tuple[str, str]]) -> None:
    """A formula behind its title, each sign explained."""
    with st.expander(title):
        st.latex(formula)
        st.markdown("\n".join(f"- ${sign}$: {literal(words)}" for sign, words in symbols))


def _budget(draft: Draft, values: dict[str, Any]) -> dict[str, Any]:
    """When the run ends: one limit or several, the first one reached counting."""
    limits = _limits(draft, values, "The run ends after", _BUDGET, "budget")
    if sum(limit is not None for limit in limits.values()) > 1:
        st.caption("The first limit that is reached ends the run.")
    return limits


def _counted_budget(draft: Draft, values: dict[str, Any]) -> dict[str, Any]:
    """How much of the text an n-gram counts; what was chosen for a network before holds for it too, so it is shown."""
    limits = _limits(draft, values, "Count no more than", _COUNTED_BUDGET, "counted")
    st.caption("From the beginning of the text; all of it where nothing is chosen.")
    if all({**values, **limits}[path] is None for path in _BUDGET):
        # Settings need an end of some kind. Counting does not look at steps.
        limits["training.max_steps"] = _USUAL_BUDGET["training.max_steps"]
    return limits


def _limits(draft: Draft, values: dict[str, Any], question: str, paths: Sequence[str], name: str) -> dict[str, Any]:
    """Which of these limits are set, and to what."""
    rows = {row.path: row for row in describe_run() if row.path in paths}
    chosen: Sequence[str] = st.segmented_control(
        question,
        paths,
        selection_mode="multi",
        default=[path for path in paths if values[path] is not None],
        format_func=lambda path: rows[path].label,
        key=f"{draft.prefix}-{name}",
    )
    limits: dict[str, Any] = dict.fromkeys(paths)
    for path, place in zip([path for path in paths if path in chosen], st.columns(max(2, len(chosen))), strict=False):
        with place:
            first = values[path] if values[path] is not None else _USUAL_BUDGET[path]
            limits[path] = explained_widget(rows[path], first, key=f"{draft.prefix}-{path}")
    return limits


def _with(wanted: str, options: list[str]) -> list[str]:
    """The options, with the wanted one in front where it is none of them: a link to something that is not there says so."""
    return options if wanted in options else [wanted, *options]
