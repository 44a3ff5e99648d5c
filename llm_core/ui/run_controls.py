"""The buttons of one run: pause, stop, resume, change, fork, go back, and what became of what was asked.

Outside the head's fragment, so that a form that somebody fills in is not drawn anew every second. Not here: the head (`run_head.py`),
what each button asks for (`llm_core.backend.run_commands`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from llm_core.backend import run_commands
from llm_core.config.live_settings import LIVE_SETTINGS, values_of
from llm_core.config.run import RunConfig
from llm_core.config.schema import SettingDescription, describe_run
from llm_core.models.families import families
from llm_core.quantities import size
from llm_core.ui.forms import setting_widget
from llm_core.ui.guards import may, require
from llm_core.ui.launch import intention, new_intention, open_started
from llm_core.ui.states import attempt, literal
from llm_core.workspace.checkpoints import CheckpointInfo, list_checkpoints
from llm_core.workspace.job_record import FINISHED, HELD, PAUSED, QUEUED, RUNNING, JobRecord
from llm_core.workspace.metrics_read import Event, acks, events
from llm_core.workspace.paths import Workspace
from llm_core.workspace.runs import run_folder

AUTHOR = "dashboard"
SHOWN_ANSWERS = 2
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
        elif record.state != FINISHED:
            _resume_button(workspace, record)
            if record.state == PAUSED:
                _stop_button(workspace, record)
        if is_network and record.state != QUEUED:
            with st.popover("Change", icon=":material/tune:", help="Settings from the next step on"):
                _change_form(workspace, record)
        if checkpoints:
            with st.popover("Fork", icon=":material/fork_right:", help="A new run that goes on from a checkpoint"):
                _fork_form(workspace, record, checkpoints)
            with st.popover("Go back", icon=":material/undo:", help="Train on from an earlier checkpoint"):
                _back_form(workspace, record, checkpoints)
        if is_busy and is_network:
            _more_menu(workspace, record)


def show_answers(workspace: Workspace, record: JobRecord) -> None:
    """What became of the last wishes of this session: done at which step, refused why, or waiting."""
    asked: dict[str, str] = st.session_state.get(_asked_key(record), {})
    if not asked:
        return
    answers = {ack.command_id: ack for ack in acks(run_folder(workspace, record.id))}
    for command, wish in list(asked.items())[-SHOWN_ANSWERS:]:
        answer = answers.get(command)
        if answer is None:
            st.caption(literal(f"{wish}: asked, done at the next step."))
        elif answer.accepted:
            st.caption(literal(f"{wish}: done at step {answer.step:,}."))
        else:
            st.caption(literal(f"{wish}: refused at step {answer.step:,}. {answer.reason}"))


def _ask(record: JobRecord, wish: str, tell: Callable[[], str]) -> None:
    """Send a command and remember what it was for; `tell` checks that it may and returns the command's id."""

    def send() -> None:
        command = tell()
        key = _asked_key(record)
        st.session_state[key] = {**st.session_state.get(key, {}), command: wish}

    if attempt(send):
        st.rerun()


def _asked_key(record: JobRecord) -> str:
    return f"asked-{record.id}"


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
            command = run_commands.pause_run(workspace, record.id, AUTHOR)
            st.session_state[asked] = True
            return command

        _ask(record, "Pause", pause)


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
            run_commands.stop_run(workspace, record.id, AUTHOR)

        if attempt(stop):
            st.session_state[asked] = True
            st.rerun()


def _resume_button(workspace: Workspace, record: JobRecord) -> None:
    if st.button("Resume", icon=":material/play_arrow:", key="resume-run", help="Goes on from the last checkpoint."):

        def resume() -> None:
            require("resume-run")
            run_commands.resume_run(workspace, record.id, author=AUTHOR)

        if attempt(resume):
            st.session_state.pop(_wish_key("stopping", record), None)  # it may have been stopped while it waited
            st.rerun()


def _more_menu(workspace: Workspace, record: JobRecord) -> None:
    chosen = st.menu_button("More", [_CHECKPOINT_NOW, _SAMPLE_NOW, _STOP_UNSAVED], key="more-run")

    def save() -> str:
        require("checkpoint-run")
        return run_commands.checkpoint_run(workspace, record.id, AUTHOR)

    def sample() -> str:
        require("sample-run")
        return run_commands.sample_run(workspace, record.id, AUTHOR)

    def stop() -> None:
        require("stop-run")
        run_commands.stop_run(workspace, record.id, AUTHOR, save=False)

    if chosen == _CHECKPOINT_NOW:
        _ask(record, _CHECKPOINT_NOW, save)
    elif chosen == _SAMPLE_NOW:
        _ask(record, _SAMPLE_NOW, sample)
    elif chosen == _STOP_UNSAVED and attempt(stop):
        st.rerun()


def _change_form(workspace: Workspace, record: JobRecord) -> None:
    config = run_commands.present_config(workspace, record)
    rows = _live_rows(config)
    name = st.selectbox(
        "Setting", list(rows), format_func=lambda path: rows[path].label, key=f"change-which-{record.id}"
    )
    row = rows[name]
    present = values_of(config, {name: None})[name]
    value = setting_widget(row, present, key=f"change-{record.id}-{name}-{present}")
    if record.state not in HELD:
        st.caption("It takes effect when the run is resumed.")

    def change(setting: str, to: Any) -> Callable[[], str]:
        def tell() -> str:
            require("change-run")
            return run_commands.change_run(workspace, record.id, {setting: to}, AUTHOR)

        return tell

    if st.button("Change it", type="primary", key="change-run", disabled=value == present):
        _ask(record, f"{row.label} {_short(present)} → {_short(value)}", change(name, value))
    made = _last_change(workspace, record)
    if made is not None and made.data["setting"] in rows:
        setting, before = str(made.data["setting"]), made.data["before"]
        label = rows[setting].label
        words = f"{label} {_short(before)} → {_short(made.data['after'])} at step {made.step or 0:,}"
        st.caption(literal(f"Last: {words}"))
        if st.button("Undo it", icon=":material/undo:", key="undo-change"):
            _ask(record, f"{label} back to {_short(before)}", change(setting, before))


def _fork_form(workspace: Workspace, record: JobRecord, checkpoints: list[CheckpointInfo]) -> None:
    steps = [info.step for info in reversed(checkpoints)]
    step = st.selectbox(
        "From the checkpoint after step", steps, format_func="{:,}".format, key=f"fork-step-{record.id}"
    )
    config = run_commands.present_config(workspace, record)
    rows = {row.path: row for row in describe_run(config.model.kind, config.objective.kind)}
    names = ["optimizer.learning_rate", "training.max_steps"]
    present = values_of(config, dict.fromkeys(names))
    if present["training.max_steps"] is not None and present["training.max_steps"] <= step:
        present["training.max_steps"] = 2 * int(present["training.max_steps"])
    values = {path: setting_widget(rows[path], present[path], key=f"fork-{record.id}-{step}-{path}") for path in names}
    name = st.text_input("Name", placeholder=f"{record.name}-fork", key=f"fork-name-{record.id}")
    # Of this run alone: the second half of a double click may arrive when the page shows the fork already.
    if st.button("Fork", type="primary", key=f"fork-run-{record.id}"):

        def fork() -> None:
            require("fork-run")
            before = values_of(config, dict.fromkeys(names))
            changes = [
                f"{path}={value}" for path, value in values.items() if value is not None and value != before[path]
            ]
            place = f"fork-{record.id}"
            once = intention(place)
            made = run_commands.fork_run(workspace, record.id, step, changes, name.strip(), once=once)
            open_started(made.id, place)

        attempt(fork)


def _back_form(workspace: Workspace, record: JobRecord, checkpoints: list[CheckpointInfo]) -> None:
    step = st.selectbox(
        "To the checkpoint after step",
        [info.step for info in reversed(checkpoints)],
        format_func="{:,}".format,
        key=f"back-step-{record.id}",
    )
    later = [info for info in checkpoints if info.step > step]
    lost = (
        f"{len(later)} later checkpoints ({size(sum(info.size_bytes for info in later))}) are removed. "
        if later
        else ""
    )
    st.caption(
        f"{lost}The curve keeps the abandoned stretch as a pale line, and settings return to what they were. "
        "To keep both ways, fork instead."
    )
    if st.button("Go back and train on", type="primary", key="roll-back-run"):

        def back() -> None:
            require("roll-back-run")
            run_commands.roll_back_run(workspace, record.id, step, AUTHOR)

        if attempt(back):
            st.rerun()


def _live_rows(config: RunConfig) -> dict[str, SettingDescription]:
    """The settings that may change, in the order in which people look for them."""
    rows = {row.path: row for row in describe_run(config.model.kind, config.objective.kind)}
    return {path: rows[path] for path in LIVE_SETTINGS if path in rows}


def _last_change(workspace: Workspace, record: JobRecord) -> Event | None:
    made = [event for event in events(run_folder(workspace, record.id)) if event.kind == "changed"]
    return made[-1] if made else None


def _short(value: Any) -> str:
    """A value in a sentence."""
    if value is None:
        return "none"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else str(value)
