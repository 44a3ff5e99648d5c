"""Train: shape a run. The form comes from the declared settings, the card beside it is worked out from them."""

import streamlit as st

from llm_core.backend.estimates import estimate_run
from llm_core.backend.readiness import check_readiness
from llm_core.config.errors import UserError
from llm_core.config.overrides import nest_values
from llm_core.config.run import RunConfig, config_from_dict
from llm_core.ui.launch import default_name, new_intention, start_and_watch, train_from_code
from llm_core.ui.queue_edit import edit_head, edited_run, save_button
from llm_core.ui.states import page_head, show_error
from llm_core.ui.train_card import (
    make_room,
    show_figures,
    show_meaning,
    show_network,
    show_problems,
    show_schedule,
)
from llm_core.ui.train_draft import Draft, current_draft, write_link
from llm_core.ui.train_form import train_form
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.paths import Workspace, open_workspace

page_head("Train", "Shape a model and its training. The card shows what your choices come to, before anything runs.")
workspace = open_workspace()
new_intention("train", "start")
draft = current_draft()
edited = edited_run(workspace, draft)
if edited is not None:
    edit_head(edited)


def show_card(workspace: Workspace, draft: Draft, config: RunConfig, edited: JobRecord | None) -> int | None:
    """What follows from the settings, and the button; returns the number of steps where it is known."""
    readiness = check_readiness(workspace, config)
    estimate = estimate_run(workspace, config) if readiness.can_be_estimated else None
    if estimate is not None:
        show_network(config, estimate.vocabulary_size)
        show_figures(workspace, config)
    show_problems(readiness.blocking, readiness.warnings)
    if edited is not None:
        name = st.text_input("Name of the run", value=edited.name, key=f"train-name-{edited.id}")
        named = config.model_copy(update={"name": name.strip()})
        save_button(workspace, edited, named, disabled=bool(readiness.blocking))
        return None if estimate is None else estimate.steps
    name = st.text_input("Name of the run", placeholder=default_name(draft.preset, config), key="train-name")
    if st.button(
        "Start",
        type="primary",
        icon=":material/play_arrow:",
        width="stretch",
        disabled=bool(readiness.blocking),
        key="start",
    ):
        make_room()
        named = config.model_copy(update={"name": name.strip()})
        start_and_watch(named, place="train", wish=default_name(draft.preset, config))
    if estimate is not None:
        show_meaning(estimate)
    return None if estimate is None else estimate.steps


form_side, card_side = st.columns([3, 2], gap="medium")
config: RunConfig | None = None
steps: int | None = None
with form_side:
    values, curve_place = train_form(workspace, draft)
with card_side:
    with st.container(border=True, key="card"):
        try:
            config = config_from_dict(nest_values(values))
        except UserError as error:
            show_error(error)
            st.caption("The card comes back as soon as the settings work together.")
        else:
            steps = show_card(workspace, draft, config, edited)
    if config is not None:
        with curve_place:
            show_schedule(config, steps)
        write_link(draft, config)
        train_from_code(draft.preset, config)
        st.download_button(
            "Save config.json",
            config.model_dump_json(indent=2),
            "config.json",
            "application/json",
            icon=":material/download:",
            on_click="ignore",
        )
