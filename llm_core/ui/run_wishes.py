"""What this session asked of a run, and what became of it: waiting, done at which step, refused why.

Not here: the buttons that ask (`run_controls.py`, `run_control_forms.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from llm_core.backend.run_commands import waiting_wishes
from llm_core.config.schema import describe_run
from llm_core.ui.states import attempt, literal
from llm_core.workspace.commands import SET, Command
from llm_core.workspace.job_record import HELD, JobRecord
from llm_core.workspace.metrics_read import acks
from llm_core.workspace.paths import Workspace
from llm_core.workspace.runs import run_folder

SHOWN_ANSWERS = 2


def ask(record: JobRecord, wish: str, tell: Callable[[], str]) -> None:
    """Send a command and remember what it was for; `tell` checks that it may and returns the command's id."""

    def send() -> None:
        command = tell()
        key = _asked_key(record)
        st.session_state[key] = {**st.session_state.get(key, {}), command: wish}

    if attempt(send):
        st.rerun()


def show_answers(workspace: Workspace, record: JobRecord) -> None:
    """The answers to the last wishes of this session, and of a run that rests whatever waits for its next step, whoever asked."""
    folder = run_folder(workspace, record.id)
    asked: dict[str, str] = st.session_state.get(_asked_key(record), {})
    waiting = waiting_wishes(folder) if record.state not in HELD else []
    for command in waiting:
        st.caption(literal(f"{_wish_words(record, command)}: waits until the run goes on."))
    told = [command for command in asked if command not in {wish.id for wish in waiting}]
    answers = {ack.command_id: ack for ack in acks(folder)} if told else {}
    for command in told[-SHOWN_ANSWERS:]:
        answer, wish = answers.get(command), asked[command]
        if answer is None:
            st.caption(literal(f"{wish}: asked, done at the next step."))
        elif answer.accepted:
            st.caption(literal(f"{wish}: done at step {answer.step:,}."))
        else:
            st.caption(literal(f"{wish}: refused at step {answer.step:,}. {answer.reason}"))


def value_words(value: Any) -> str:
    """A value in a sentence."""
    if value is None:
        return "none"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _wish_words(record: JobRecord, command: Command) -> str:
    if command.kind != SET:
        return f"Back to step {int(command.args.get('step', 0)):,}"
    kinds = [str(record.config.get(part, {}).get("kind", "")) for part in ("model", "objective")]
    labels = {row.path: row.label for row in describe_run(*kinds)}
    return ", ".join(f"{labels.get(name, name)} → {value_words(value)}" for name, value in command.args.items())


def _asked_key(record: JobRecord) -> str:
    return f"asked-{record.id}"
