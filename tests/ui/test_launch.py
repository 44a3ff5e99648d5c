"""One intention, one run: also when the second half of a double click arrives after the first one was done; and a run that is gone."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from llm_core.workspace.paths import open_workspace

PAGE = """
import streamlit as st
from llm_core.ui.launch import intention, new_intention

new_intention("here", "go")
if st.button("Go", key="go"):
    st.session_state["made"] = [*st.session_state.get("made", []), intention("here")]
    st.session_state["started-here"] = "a run"  # as `open_started` does before the page is left
"""


def test_a_second_click_on_the_old_page_is_the_same_intention() -> None:
    app = AppTest.from_string(PAGE).run()
    app.button(key="go").click().run()
    app.button(key="go").click().run()
    first, second = app.session_state["made"]
    assert first == second
    app.run()  # the page was left and is shown afresh
    app.button(key="go").click().run()
    assert app.session_state["made"][2] != first


WATCHING = """
import streamlit as st
from llm_core.ui.states import record_or_rerun
from llm_core.workspace.paths import open_workspace

if st.session_state.setdefault("turn", 0) == 0:
    st.session_state["turn"] = 1
    record_or_rerun(open_workspace(), "0000000000")
st.write("shown anew")
"""


def test_a_run_that_was_deleted_meanwhile_shows_the_page_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLASSBOX_HOME", str(tmp_path / "home"))
    open_workspace()
    app = AppTest.from_string(WATCHING).run()
    assert not app.exception and app.markdown[0].value == "shown anew"
