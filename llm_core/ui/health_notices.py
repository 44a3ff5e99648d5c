"""What the rules of health saw in a run: what it was, what it usually means, and one click that does something about it.

Not here: the rules (`llm_core.training`), the sentence of figures (`run_verdict.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from llm_core.backend.run_commands import fork_run, present_config
from llm_core.config.overrides import flatten, write_value
from llm_core.config.schema import describe_run
from llm_core.ui.guards import may, require
from llm_core.ui.launch import open_started
from llm_core.ui.run_view import RunView
from llm_core.ui.states import attempt, literal
from llm_core.web.marks import is_given_up
from llm_core.workspace.metrics_read import Event, events, segments

SHOWN = 2
PROBLEM = "problem"


def show_health(view: RunView) -> None:
    """The newest notice of each rule, the latest first; more than a few are folded away."""
    found = newest_by_rule(events(view.folder), view)
    for event in found[:SHOWN]:
        _show(view, event)
    if len(found) > SHOWN:
        with st.expander(f"{len(found) - SHOWN} more notices"):
            for event in found[SHOWN:]:
                _show(view, event)


def newest_by_rule(happened: Sequence[Event], view: RunView) -> list[Event]:
    """One event for each rule that saw something in the run as it went, the latest first."""
    stretches = segments(view.folder)
    by_rule: dict[str, Event] = {}
    for event in happened:
        if event.kind == "health" and not is_given_up(event, stretches):
            rule = str(event.data.get("rule"))
            by_rule.pop(rule, None)
            by_rule[rule] = event
    return list(by_rule.values())[::-1]


def _show(view: RunView, event: Event) -> None:
    data = event.data
    is_problem = data.get("severity") == PROBLEM
    with st.container(border=True):
        icon = ":red[:material/error:]" if is_problem else ":orange[:material/warning:]"
        at = "" if event.step is None else f"Step {event.step:,}: "
        st.markdown(f"{icon} {literal(at + str(data.get('saw') or event.message))}")
        st.caption(literal(" ".join(str(data[part]) for part in ("means", "advice") if data.get(part))))
        action: Mapping[str, Any] | None = data.get("action")
        if action and action.get("kind") == "fork" and may("fork-run"):
            _fork_button(view, event, action)


def _fork_button(view: RunView, event: Event, action: Mapping[str, Any]) -> None:
    changes: Mapping[str, Any] = action.get("set") or {}
    place = f"health-{view.record.id}-{event.id}"
    present = flatten(present_config(view.workspace, view.record))
    label = fork_words(int(action["step"]), changes, present, _labels(view))
    if st.button(label, icon=":material/fork_right:", key=place):

        def fork() -> None:
            require("fork-run")
            assignments = [f"{name}={write_value(value)}" for name, value in changes.items()]
            made = fork_run(view.workspace, view.record.id, int(action["step"]), assignments, once=place)
            open_started(made.id, place)

        attempt(fork)


def fork_words(step: int, changes: Mapping[str, Any], present: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """What the button does: "Fork from step 1,200 with the learning rate divided by 3"."""
    parts = [_change_words(labels.get(name, name).lower(), present.get(name), value) for name, value in changes.items()]
    return f"Fork from step {step:,}" + (f" with {' and '.join(parts)}" if parts else "")


def _change_words(label: str, before: Any, after: Any) -> str:
    if isinstance(before, (int, float)) and isinstance(after, (int, float)) and before > 0 and after > 0:
        for verb, ratio in (("divided", before / after), ("multiplied", after / before)):
            if ratio > 1.5 and math.isclose(ratio, round(ratio), rel_tol=0.02):
                return f"the {label} {verb} by {round(ratio)}"
    shown = f"{after:g}" if isinstance(after, float) else str(after)
    return f"{label} {shown}"


def _labels(view: RunView) -> dict[str, str]:
    return {row.path: row.label for row in describe_run(view.config.model.kind, view.config.objective.kind)}
