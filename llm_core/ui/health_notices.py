"""What the rules of health saw in a run: what it was, what it usually means, and one click that does something about it.

Not here: the rules (`llm_core.training.health_rules`), the sentence of figures (`run_verdict.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from llm_core.backend.jobs import submit_run
from llm_core.backend.run_commands import fork_run, pause_run, present_config
from llm_core.config.overrides import apply_overrides, flatten, write_value
from llm_core.config.schema import describe_run
from llm_core.training.health_finding import RULES
from llm_core.training.health_verdict import Verdict
from llm_core.ui.guards import current_author, may, require
from llm_core.ui.launch import open_started
from llm_core.ui.run_view import RunView
from llm_core.ui.states import attempt, literal
from llm_core.web.marks import is_given_up
from llm_core.workspace.checkpoints import list_checkpoints
from llm_core.workspace.job_record import RUNNING
from llm_core.workspace.metrics_read import Event, Segment

SHOWN = 2
PROBLEM = "problem"
FORK, RESTART, PAUSE, TEXT = "fork", "restart", "pause", "text"


@dataclass(frozen=True)
class Notice:
    """One trouble: `data` holds rule, severity, saw, means, advice and action, as a finding writes them."""

    key: str
    """Names its button."""
    step: int | None
    data: Mapping[str, Any]


def notices_of(happened: Sequence[Event], stretches: Sequence[Segment], verdict: Verdict | None) -> list[Notice]:
    """The newest notice of each rule that saw something in the run as it went, the latest first.

    Args:
        verdict: on the whole curve; its finding counts where nobody watched while the run went on.
    """
    by_rule: dict[str, Notice] = {}
    for event in happened:
        if event.kind == "health" and not is_given_up(event, stretches):
            rule = str(event.data.get("rule"))
            by_rule.pop(rule, None)
            by_rule[rule] = Notice(str(event.id), event.step, {"saw": event.message, **event.data})
    finding = None if verdict is None else verdict.finding
    if finding is not None and finding.rule not in by_rule:
        by_rule[finding.rule] = Notice(finding.rule, finding.step, finding.to_event())
    return list(by_rule.values())[::-1]


def show_notices(view: RunView, notices: Sequence[Notice]) -> None:
    """Each in a frame of its own; more than a few are folded away."""
    for notice in notices[:SHOWN]:
        _show(view, notice)
    if len(notices) > SHOWN:
        with st.expander(f"{len(notices) - SHOWN} more to look at"):
            for notice in notices[SHOWN:]:
                _show(view, notice)


def _show(view: RunView, notice: Notice) -> None:
    data = notice.data
    with st.container(border=True):
        icon = ":red[:material/error:]" if data.get("severity") == PROBLEM else ":orange[:material/warning:]"
        at = "" if notice.step is None else f"Step {notice.step:,}: "
        title = RULES.get(str(data.get("rule")), "")
        st.markdown(f"{icon} {f'**{title}.** ' if title else ''}{literal(at + str(data.get('saw', '')))}")
        st.caption(literal(" ".join(str(data[part]) for part in ("means", "advice") if data.get(part))))
        action: Mapping[str, Any] | None = data.get("action")
        if action:
            _way_out(view, notice, action)


def _way_out(view: RunView, notice: Notice, action: Mapping[str, Any]) -> None:
    """One click that does something about it, where this run and this person can do it."""
    action = standing(action, [info.step for info in list_checkpoints(view.folder)])
    kind = action["kind"]
    if kind == FORK and may("fork-run"):
        _fork_button(view, notice, action)
    elif kind == RESTART and may("start-run"):
        _restart_button(view, notice, action)
    elif kind == PAUSE and view.record.state == RUNNING and may("pause-run"):
        _pause_button(view, notice)
    elif kind == TEXT:
        query = {"dataset": view.config.data.dataset}
        st.page_link("data.py", label="Look at the text", icon=":material/library_books:", query_params=query)


def standing(action: Mapping[str, Any], steps: Sequence[int]) -> Mapping[str, Any]:
    """The same way out from what is there now: the checkpoint it began at may have been thinned away since.

    Args:
        steps: of the checkpoints that there are.
    """
    if action["kind"] != FORK or action["step"] in steps:
        return action
    step = max((known for known in steps if known <= action["step"]), default=0)
    return {**action, "kind": FORK if step else RESTART, "step": step}


def _fork_button(view: RunView, notice: Notice, action: Mapping[str, Any]) -> None:
    place, step = _place(view, notice), int(action["step"])
    if st.button(f"Fork from step {step:,}{_with_changes(view, action)}", icon=":material/fork_right:", key=place):

        def fork() -> None:
            require("fork-run")
            made = fork_run(view.workspace, view.record.id, step, _assignments(action), once=place)
            open_started(made.id, place)

        attempt(fork)


def _restart_button(view: RunView, notice: Notice, action: Mapping[str, Any]) -> None:
    place = _place(view, notice)
    if st.button(f"Start anew{_with_changes(view, action)}", icon=":material/restart_alt:", key=place):

        def restart() -> None:
            require("start-run")
            config = apply_overrides(view.config.model_copy(update={"name": ""}), _assignments(action))
            made = submit_run(view.workspace, config, once=place, wish=f"{view.record.name[:50]}-again")
            open_started(made.id, place)

        attempt(restart)


def _pause_button(view: RunView, notice: Notice) -> None:
    if st.button("Pause until the machine is free", icon=":material/pause:", key=_place(view, notice)):

        def pause() -> None:
            require("pause-run")
            pause_run(view.workspace, view.record.id, current_author())

        if attempt(pause):
            st.rerun()


def _place(view: RunView, notice: Notice) -> str:
    """Names the button and its one run, however often it is clicked."""
    return f"health-{view.record.id}-{notice.key}"


def _assignments(action: Mapping[str, Any]) -> list[str]:
    return [f"{name}={write_value(value)}" for name, value in (action.get("set") or {}).items()]


def _with_changes(view: RunView, action: Mapping[str, Any]) -> str:
    present = flatten(present_config(view.workspace, view.record))
    labels = {row.path: row.label for row in describe_run(view.config.model.kind, view.config.objective.kind)}
    return changes_words(action.get("set") or {}, present, labels)


def changes_words(changes: Mapping[str, Any], present: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """What will be different: " with the learning rate divided by 3", empty where nothing is."""
    parts = [_change_words(labels.get(name, name).lower(), present.get(name), value) for name, value in changes.items()]
    return f" with {' and '.join(parts)}" if parts else ""


def _change_words(label: str, before: Any, after: Any) -> str:
    if isinstance(before, (int, float)) and isinstance(after, (int, float)) and before > 0 and after > 0:
        for verb, ratio in (("divided", before / after), ("multiplied", after / before)):
            if ratio > 1.5 and math.isclose(ratio, round(ratio), rel_tol=0.02):
                return f"the {label} {verb} by {round(ratio)}"
    shown = f"{after:g}" if isinstance(after, float) else str(after)
    return f"{label} {shown}"
