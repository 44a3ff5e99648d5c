"""What opens behind a run's buttons: changing settings on the way, forking from a checkpoint, going back to one.

Not here: the buttons (`run_controls.py`), what became of a wish (`run_wishes.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from llm_core.backend import run_commands
from llm_core.config.errors import UserError
from llm_core.config.live_settings import BUDGET_SETTINGS, LIVE_SETTINGS, is_forkable, values_of
from llm_core.config.overrides import write_value
from llm_core.config.run import RunConfig
from llm_core.config.schema import SettingDescription, describe_run
from llm_core.quantities import size
from llm_core.ui.forms import setting_widget
from llm_core.ui.guards import current_author, require
from llm_core.ui.launch import intention, open_started
from llm_core.ui.run_wishes import ask, value_words
from llm_core.ui.states import attempt, literal, show_error
from llm_core.workspace.checkpoints import CheckpointInfo
from llm_core.workspace.job_record import FINISHED, HELD, JobRecord
from llm_core.workspace.paths import Workspace
from llm_core.workspace.runs import run_folder

_RATE = "optimizer.learning_rate"


def change_form(workspace: Workspace, record: JobRecord) -> None:
    """One setting at a time, and the way to undo the last change. Of a finished run the budget alone can change; it then goes on."""
    config = run_commands.present_config(workspace, record)
    is_finished = record.state == FINISHED
    rows = _rows_of(config, BUDGET_SETTINGS if is_finished else LIVE_SETTINGS)
    name = st.selectbox(
        "Setting", list(rows), format_func=lambda path: rows[path].label, key=f"change-which-{record.id}"
    )
    row = rows[name]
    present = values_of(config, {name: None})[name]
    value = setting_widget(row, present, key=f"change-{record.id}-{name}-{present}")
    if record.state not in HELD and not is_finished:
        st.caption("It takes effect when the run goes on.")
    words = f"{row.label} {value_words(present)} → {value_words(value)}"

    def change() -> str:
        require("change-run")
        return run_commands.change_run(workspace, record.id, {name: value}, current_author())

    def raise_budget() -> None:
        require("change-run")
        require("resume-run")
        run_commands.resume_run(workspace, record.id, {name: value}, current_author())

    if is_finished:
        st.caption("It has used up its budget. With a larger one it goes on from its last step.")
        is_asked = st.button("Change it and go on", type="primary", key="change-run", disabled=value == present)
        if is_asked and attempt(raise_budget):
            st.rerun()
        return
    if st.button("Change it", type="primary", key="change-run", disabled=value == present):
        ask(record, words, change)
    _undo(workspace, record, {row.path: row.label for row in describe_run(config.model.kind, config.objective.kind)})


def _undo(workspace: Workspace, record: JobRecord, labels: Mapping[str, str]) -> None:
    made = run_commands.last_change(run_folder(workspace, record.id))
    if not made:
        return
    told = [
        f"{labels.get(change.setting, change.setting)} {value_words(change.before)} → {value_words(change.after)}"
        for change in made
    ]
    st.caption(literal(f"Last: {', '.join(told)} at step {made[0].step:,}"))

    def undo() -> str:
        require("change-run")
        return run_commands.undo_change(workspace, record.id, current_author())

    if st.button("Undo it", icon=":material/undo:", key="undo-change"):
        ask(record, f"Undo {', '.join(told)}", undo)


def fork_form(workspace: Workspace, record: JobRecord, checkpoints: list[CheckpointInfo]) -> None:
    """A checkpoint, and what shall be different from the settings that the run had there."""
    steps = [info.step for info in reversed(checkpoints)]
    step = st.selectbox(
        "From the checkpoint after step", steps, format_func="{:,}".format, key=f"fork-step-{record.id}"
    )
    try:
        begins = run_commands.fork_point(workspace, record.id, step)
    except UserError as error:  # damaged, or thinned away since the page was drawn
        show_error(error)
        return
    rows = {
        row.path: row
        for row in describe_run(begins.config.model.kind, begins.config.objective.kind)
        if is_forkable(row.path) and row.path != "name"
    }
    before = values_of(begins.config, dict.fromkeys(rows))
    budget = [name for name in BUDGET_SETTINGS if before[name] is not None]
    others = [name for name in rows if name not in (_RATE, *budget)]
    more = st.multiselect(
        "Other settings to change",
        others,
        format_func=lambda path: rows[path].label,
        key=f"fork-more-{record.id}",
        placeholder="none",
    )
    # From the last step on there would be nothing to do.
    shown = {**before, **({name: 2 * before[name] for name in budget} if begins.is_end else {})}
    values = {
        path: setting_widget(rows[path], shown[path], key=f"fork-{record.id}-{step}-{path}")
        for path in (_RATE, *budget, *more)
    }
    name = st.text_input("Name", placeholder=f"{record.name}-fork", key=f"fork-name-{record.id}")
    # Of this run alone: the second half of a double click may arrive when the page shows the fork already.
    if st.button("Fork", type="primary", key=f"fork-run-{record.id}"):

        def fork() -> None:
            require("fork-run")
            changes = [f"{path}={write_value(value)}" for path, value in values.items() if value != before[path]]
            place = f"fork-{record.id}"
            once = intention(place)
            made = run_commands.fork_run(workspace, record.id, step, changes, name.strip(), once=once)
            open_started(made.id, place)

        attempt(fork)


def back_form(
    workspace: Workspace, record: JobRecord, earlier: list[CheckpointInfo], checkpoints: list[CheckpointInfo]
) -> None:
    """One of the earlier checkpoints, and what of all of them going back to it removes."""
    step = st.selectbox(
        "To the checkpoint after step",
        [info.step for info in reversed(earlier)],
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

    def back() -> str:
        require("roll-back-run")
        return run_commands.roll_back_run(workspace, record.id, step, current_author())

    if st.button("Go back and train on", type="primary", key="roll-back-run"):
        ask(record, f"Back to step {step:,}", back)


def _rows_of(config: RunConfig, names: tuple[str, ...]) -> dict[str, SettingDescription]:
    """These settings, as far as this kind of run has them, in this order."""
    rows = {row.path: row for row in describe_run(config.model.kind, config.objective.kind)}
    return {path: rows[path] for path in names if path in rows}
