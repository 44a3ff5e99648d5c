"""What was changed on a run's way, as its events tell, and the settings that it has by it.

Reads those events alone and needs no model of a configuration, so that a page that lists many runs, of other versions too, can ask it.
Not here: making a change and whether it fits (`run_commands.py`, `run_control.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_core.config.overrides import flatten_values, nest_values
from llm_core.workspace.metrics_read import changes_in_force, events

_TOLD_BY = ("changed", "rolled_back")


@dataclass(frozen=True)
class RunChange:
    """A setting that got another value after a step; values are those of JSON."""

    step: int
    setting: str
    before: Any
    after: Any
    command: str = ""
    """Those of one command were changed together."""
    author: str = ""


def changes_of(folder: Path) -> list[RunChange]:
    """The changes that hold, oldest first: what a roll-back undid is left out."""
    return [
        RunChange(
            *(event.step or 0, str(event.data["setting"]), event.data.get("before"), event.data.get("after")),
            *(str(event.data.get("command", "")), str(event.data.get("author", ""))),
        )
        for event in changes_in_force(events(folder, kinds=_TOLD_BY))
    ]


def with_changes(config: Mapping[str, Any], changes: Sequence[RunChange]) -> dict[str, Any]:
    """The settings, as they lie on disk, that a run has now."""
    if not changes:
        return dict(config)
    return nest_values(flatten_values(config) | {change.setting: change.after for change in changes})


def spoken_changes(changes: Sequence[RunChange]) -> str:
    """All changes in one line; empty for none. Equal for runs that were changed alike."""
    return "; ".join(
        f"after step {change.step:,}: {change.setting} {change.before} → {change.after}" for change in changes
    )
