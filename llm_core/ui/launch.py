"""Starting a run from a button: once however often it is clicked, then on to Monitor; and the same from code.

Not here: what a submission checks (`llm_core.backend.jobs`).
"""

from __future__ import annotations

import secrets
import shlex

import streamlit as st

from llm_core.backend.jobs import submit_run
from llm_core.config.errors import UserError
from llm_core.config.overrides import assignments
from llm_core.config.presets import find_preset
from llm_core.config.run import RunConfig
from llm_core.ui.guards import require
from llm_core.ui.states import from_code, show_error
from llm_core.workspace.paths import open_workspace


def start_and_watch(config: RunConfig, *, place: str, wish: str = "") -> None:
    """Queue the run and open Monitor on it. `place` names the button: two clicks before the page has left it are one intention."""
    once = intention(place)
    try:
        require("start-run")
        record = submit_run(open_workspace(), config, once=once, wish=wish)
    except UserError as error:
        show_error(error)
        return
    open_started(record.id, place)


def intention(place: str) -> str:
    """The key of this button's next run, the same for every click until its run has been opened."""
    once: str = st.session_state.setdefault(f"once-{place}", secrets.token_hex(8))
    return once


def open_started(run_id: str, place: str) -> None:
    """On to Monitor with the run that the button of this place has made."""
    st.session_state[f"started-{place}"] = run_id
    st.switch_page("monitor.py", query_params={"run": run_id})


def new_intention(place: str, *buttons: str) -> None:
    """Called when the page is shown afresh: the next click is a new run once the former click's run has been opened.

    Args:
        buttons: keys of the buttons that start it. A page that runs because of one of them is not shown afresh: it may be the second
            half of a double click, which reached the server while the first one was being done.
    """
    if any(st.session_state.get(button) for button in buttons):
        return
    if st.session_state.pop(f"started-{place}", None) is not None:
        st.session_state.pop(f"once-{place}", None)


def default_name(preset: str, config: RunConfig) -> str:
    """What a run without a name of its own is called: the preset's name while text and model are the preset's."""
    base = find_preset(preset).config
    if (base.data.dataset, base.model) == (config.data.dataset, config.model):
        return preset
    return f"{config.data.dataset}-{config.model.kind}"[:60]


def train_from_code(preset: str, config: RunConfig) -> None:
    """The command and the Python that start exactly this run."""
    from_code(train_command(preset, config), train_python(preset, config))


def train_command(preset: str, config: RunConfig) -> str:
    """One `glassbox train` line, ready for a shell."""
    sets = [part for value in assignments(find_preset(preset).config, config) for part in ("--set", value)]
    return shlex.join(["glassbox", "train", "--preset", preset, *sets])


def train_python(preset: str, config: RunConfig) -> str:
    """The same in Python."""
    changes = assignments(find_preset(preset).config, config)
    lines = [
        "from llm_core.backend.jobs import submit_run",
        *(["from llm_core.config.overrides import apply_overrides"] if changes else []),
        "from llm_core.config.presets import preset",
        "from llm_core.workspace.paths import open_workspace",
        "",
        f"config = preset({preset!r})",
        *(["config = apply_overrides(config, ["] if changes else []),
        *(f"    {change!r}," for change in changes),
        *(["])"] if changes else []),
        f"run = submit_run(open_workspace(), config, wish={default_name(preset, config)!r})",
    ]
    return "\n".join(lines)
