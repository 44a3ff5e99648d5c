"""The buttons of one run: pause, stop, resume, change, fork, go back.

Outside the head's fragment, so that a form that somebody fills in is not drawn anew every second. Not here: the head (`run_head.py`),
the forms (`run_control_forms.py`), what became of a wish (`run_wishes.py`), what each button asks for (`llm_core.backend.run_commands`).
"""

from __future__ import annotations

import streamlit as st

from llm_core.backend import run_commands
from llm_core.backend.run_commands import waiting_wishes
from llm_core.models.families import families
from llm_core.ui.guards import current_author, may, require
from llm_core.ui.launch import new_intention
from llm_core.ui.run_control_forms import back_form, change_form, fork_form
from llm_core.ui.run_wishes import ask
from llm_core.ui.states import attempt
from llm_core.workspace.checkpoints import list_checkpoints
from llm_core.workspace.job_record import FINISHED, HELD, PAUSED, QUEUED, RUNNING, JobRecord
from llm_core.workspace.paths import Workspace
from llm_core.workspace.runs import run_folder

_CHECKPOINT_NOW, _SAMPLE_NOW, _STOP_UNSAVED = "Save a checkpoint now", "Write a sample now", "Stop without saving"


def run_controls(workspace: Workspace, record: JobRecord) -> None:
    """One row of buttons; those that make no sense in the run's state are not there. A viewer sees two, and is told why not."""
    new_intention(f"fork-{record.id}", f"fork-run-{record.id}")
    kind = str(record.config.get("model", {}).get("kind", ""))
    is_network = kind in families() and not families()[kind].is_counted and may("change-run")
    is_busy = record.state in HELD
    checkpoints = list_checkpoints(run_folder(workspace, record.id)) if is_network else []
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if is_busy and is_network and record.state == RUNNING:
            _pause_button(workspace, record)
        if is_busy or record.state == QUEUED:
            _stop_button(workspace, record)
        elif record.state != FINISHED or waiting_wishes(run_folder(workspace, record.id)):
            _resume_button(workspace, record)
            if record.state == PAUSED:
                _stop_button(workspace, record)
        if is_network and (record.state != QUEUED or record.started_at is not None):
            with st.popover("Change", icon=":material/tune:", help="Settings from the next step on"):
                change_form(workspace, record)
        if checkpoints:
            with st.popover("Fork", icon=":material/fork_right:", help="A new run that goes on from a checkpoint"):
                fork_form(workspace, record, checkpoints)
        # A run that rests stands at its newest one.
        earlier = checkpoints if is_busy else checkpoints[:-1]
        if earlier:
            with st.popover("Go back", icon=":material/undo:", help="Train on from an earlier checkpoint"):
                back_form(workspace, record, earlier, checkpoints)
        if is_busy and is_network:
            _more_menu(workspace, record)


def _wish_key(wish: str, record: JobRecord) -> str:
    """Of a wish that is on its way to this very worker; the next one, which has a lease of its own, knows nothing of it."""
    return f"{wish}-{record.id}-{record.lease_token or 'waiting'}"


def _pause_button(workspace: Workspace, record: JobRecord) -> None:
    asked = _wish_key("pausing", record)
    is_pausing = bool(st.session_state.get(asked))
    if st.button(
        "Pausing…" if is_pausing else "Pause",
        icon=":material/pause:",
        key="pause-run",
        disabled=is_pausing,
        help="Saves a checkpoint and frees the device. Resume goes on from the same step.",
    ):

        def pause() -> str:
            require("pause-run")
            command = run_commands.pause_run(workspace, record.id, current_author())
            st.session_state[asked] = True
            return command

        ask(record, "Pause", pause)


def _stop_button(workspace: Workspace, record: JobRecord) -> None:
    asked = _wish_key("stopping", record)
    is_stopping = bool(st.session_state.get(asked)) and record.state != PAUSED
    if st.button(
        "Stopping…" if is_stopping else "Stop",
        icon=":material/stop:",
        key="stop-run",
        disabled=is_stopping,
        help="Finishes the step, saves a checkpoint and ends. Resume goes on from there.",
    ):

        def stop() -> None:
            require("stop-run")
            run_commands.stop_run(workspace, record.id, current_author())

        if attempt(stop):
            st.session_state[asked] = True
            st.rerun()


def _resume_button(workspace: Workspace, record: JobRecord) -> None:
    if st.button("Resume", icon=":material/play_arrow:", key="resume-run", help="Goes on from the last checkpoint."):

        def resume() -> None:
            require("resume-run")
            run_commands.resume_run(workspace, record.id, author=current_author())

        if attempt(resume):
            st.session_state.pop(_wish_key("stopping", record), None)  # it may have been stopped while it waited
            st.rerun()


def _more_menu(workspace: Workspace, record: JobRecord) -> None:
    chosen = st.menu_button("More", [_CHECKPOINT_NOW, _SAMPLE_NOW, _STOP_UNSAVED], key="more-run")

    def save() -> str:
        require("checkpoint-run")
        return run_commands.checkpoint_run(workspace, record.id, current_author())

    def sample() -> str:
        require("sample-run")
        return run_commands.sample_run(workspace, record.id, current_author())

    def stop() -> None:
        require("stop-run")
        run_commands.stop_run(workspace, record.id, current_author(), save=False)

    if chosen == _CHECKPOINT_NOW:
        ask(record, _CHECKPOINT_NOW, save)
    elif chosen == _SAMPLE_NOW:
        ask(record, _SAMPLE_NOW, sample)
    elif chosen == _STOP_UNSAVED and attempt(stop):
        st.rerun()
