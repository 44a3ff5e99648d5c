"""Every action that changes something or asks a model: its name, who may do it, and what it does.

One list for the pages (`llm_core.ui.guards.require`) and for the routes under /api (`access.py`). An action that is not here can be
done by nobody, and `tests/test_actions.py` reads the pages: a change that asks for no action fails there. Not here: who somebody is
(`access_policy.py`). The command line asks nobody: whoever has the account owns the workspace.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.routing import compile_path

from llm_core.web.roles import TRAINER, VIEWER


@dataclass(frozen=True)
class Action:
    """Something that a button or a request does."""

    permission: str
    """The least role that may do it."""
    does: str
    """In a few words, as they follow "you may not"."""


def _trainer(does: str) -> Action:
    return Action(TRAINER, does)


ACTIONS: Mapping[str, Action] = {
    # Runs
    "start-run": _trainer("start a run"),
    "pause-run": _trainer("pause a run"),
    "resume-run": _trainer("let a run go on"),
    "stop-run": _trainer("stop a run"),
    "checkpoint-run": _trainer("ask a run for a checkpoint"),
    "sample-run": _trainer("ask a run for a sample"),
    "change-run": _trainer("change a setting of a run"),
    "fork-run": _trainer("branch a run off a checkpoint"),
    "roll-back-run": _trainer("take a run back to a checkpoint"),
    "delete-run": _trainer("delete a run"),
    "import-run": _trainer("bring in a run's folder"),
    "rename-run": _trainer("rename a run"),
    "edit-notes": _trainer("write notes and tags"),
    "race": _trainer("start a race"),
    "sweep": _trainer("start a sweep"),
    "measure": _trainer("measure how fast this machine is"),
    "measure-levels": _trainer("count n-grams to compare with"),
    # The queue
    "move-queued": _trainer("change the order of the queue"),
    "edit-queued": _trainer("change a run that waits"),
    "cancel-job": _trainer("cancel what waits or is under way"),
    # Texts, tokenizers, models of other programs
    "import-text": _trainer("bring in a text"),
    "make-text": _trainer("make a built-in text"),
    "delete-text": _trainer("delete a text"),
    "train-tokenizer": _trainer("train a tokenizer"),
    "import-tokenizer": _trainer("bring in a tokenizer"),
    "delete-tokenizer": _trainer("delete a tokenizer"),
    "import-model": _trainer("bring in a model"),
    "export-model": _trainer("write a model out"),
    "delete-export": _trainer("delete an exported model"),
    # Using a model
    "generate": _trainer("let a model write"),
    "stop-generation": _trainer("stop a model that writes"),
    # A viewer looks, inside a model too: that writes nothing down, but it starts the inference process and takes its time. What is asked
    # at once is bounded there.
    "look-inside": Action(VIEWER, "look inside a model"),
    "read-writing": Action(VIEWER, "read what a model wrote"),
    # Only reads, but it hands out whole runs and texts.
    "download": Action(VIEWER, "download it"),
}

_RANKS = {VIEWER: 0, TRAINER: 1}


def action_named(name: str) -> Action:
    """The declared action; what is not declared is a fault of ours, and is refused by this raising KeyError."""
    return ACTIONS[name]


def is_allowed(role: str | None, action: str) -> bool:
    """Whether somebody of this role (None: not signed in) may do it."""
    needed = action_named(action).permission
    return role is not None and _RANKS[role] >= _RANKS[needed]


# What can be asked of the inference process, by the method of `InferenceClient`; a method that is not here is asked by no page.
INFERENCE_ACTIONS: Mapping[str, str] = {
    "start_generation": "generate",
    "stop_generation": "stop-generation",
    "poll_generation": "read-writing",
    "kept_generation": "read-writing",
    "next_token": "look-inside",
    "fill": "look-inside",
    "attention": "look-inside",
    "influence": "look-inside",
    "units": "look-inside",
    "score": "look-inside",
    "step_batch": "look-inside",
}


# Requests that change something, by method and the route's path; a write to any other address below /api finds nothing there.
ROUTE_ACTIONS: Mapping[tuple[str, str], str] = {
    ("POST", "/api/generations/{id}/stop"): "stop-generation",
}


def may_write(role: str, method: str, path: str) -> bool:
    """Whether this role may send this request; what is no declared route (an upload, say) is for trainers."""
    for (route_method, route_path), action in ROUTE_ACTIONS.items():
        if method == route_method and compile_path(route_path)[0].match(path):
            return is_allowed(role, action)
    return role == TRAINER
