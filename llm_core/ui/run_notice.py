"""A switch on Monitor: the browser tells when the run has ended, also from another tab.

The script (`run_notice.js`) asks the browser for permission on the click and then polls `/api/runs/{id}/heartbeat`. What is waited for is
kept in the browser, so that any page goes on with it after a reload.
Not here: telling another program, with no page open (`llm_core.backend.notices`).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from streamlit.components.v2 import component

from llm_core.workspace.job_record import JobRecord

_HTML = """
<label><input type="checkbox"> Tell me when it ends</label>
<small role="status"></small>
"""


def run_notice(record: JobRecord) -> None:
    """The switch, while there is an end to wait for. What was switched on stays so, for this browser."""
    if not record.is_final:
        _component()(key=f"notice-{record.id}", data={"id": record.id, "name": record.name})


def watch_for_ends() -> None:
    """In the frame of every page, nothing to see: goes on waiting for the ends that this browser was asked to tell of."""
    _frame()(key="notices", data={})


@cache
def _component() -> Any:
    """Registered once a process. It has no style of its own: not isolated, it reads like the text around it."""
    return component("glassbox_run_notice", html=_HTML, js=_script(), isolate_styles=False)


@cache
def _frame() -> Any:
    return component("glassbox_run_notices", js=_script(), isolate_styles=False)


def _script() -> str:
    return Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
