"""Tell me when it ends: a permission asked for on the click, one notice at the end, also after leaving the page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from streamlit.testing.v1 import AppTest

from llm_core.workspace.paths import open_workspace
from llm_core.workspace.registry import Registry
from tests.ui.conftest import Stage
from tests.web.live_run import LiveRun

PAGE = """
import streamlit as st
from llm_core.ui.run_notice import run_notice, watch_for_ends
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.registry import Registry
st.title("Watched")
with Registry(open_workspace()) as registry:
    record = registry.get("{id}")
with st.sidebar:
    watch_for_ends()
if not st.toggle("Elsewhere", "elsewhere" in st.query_params):
    run_notice(record)
"""
# The real Notification shows nothing in a browser without a screen; this one remembers.
REMEMBERING = """() => {
  const asked = Notification.requestPermission.bind(Notification);
  window.notices = [];
  window.Notification = class { constructor(title, options) { window.notices.push([title, options.body]); } };
  window.Notification.permission = 'granted';
  window.Notification.requestPermission = asked;
}"""


def notice_page(state: str) -> None:
    from dataclasses import fields

    from llm_core.ui.run_notice import run_notice
    from llm_core.workspace.job_record import JobRecord

    values = dict.fromkeys(field.name for field in fields(JobRecord))
    run_notice(JobRecord(**values | {"id": "a1", "name": "<b>one", "state": state}))


def test_the_switch_is_there_while_there_is_an_end_to_wait_for() -> None:
    app = AppTest.from_function(notice_page, kwargs={"state": "running"}).run()
    (element,) = app.get("bidi_component")
    assert json.loads(element.proto.json) == {"id": "a1", "name": "<b>one"}
    assert not AppTest.from_function(notice_page, kwargs={"state": "finished"}).run().get("bidi_component")
    script = Path(__file__).resolve().parents[2] / "llm_core" / "ui" / "run_notice.js"
    assert len(script.read_bytes()) < 3_000


@pytest.mark.e2e
@pytest.mark.timeout(240)
def test_a_notice_comes_when_the_run_ends_and_not_without_leave(browser: Browser, stage: Stage) -> None:
    with Registry(open_workspace(stage.home)) as registry:
        run = LiveRun(open_workspace(stage.home), registry, registry.free_name("train", "<b>one"))
        run.running()
        stage.show(PAGE.format(id=run.id))
        context = browser.new_context()
        page = context.new_page()
        page.goto(stage.url)
        box = page.get_by_label("Tell me when it ends")
        box.click()
        expect(page.get_by_text("does not let this page send notices")).to_be_visible()
        expect(box).not_to_be_checked()

        context.grant_permissions(["notifications"], origin=stage.url)
        page.evaluate(REMEMBERING)
        box.check()
        expect(page.get_by_text("does not let this page")).not_to_be_visible()
        page.get_by_text("Elsewhere").click()
        expect(box).not_to_be_attached()
        with page.expect_response("**/heartbeat"):
            pass
        assert page.evaluate("window.notices") == []

        # Another page after a reload, on a phone whose sidebar is shut, goes on waiting.
        page.set_viewport_size({"width": 390, "height": 844})
        with page.expect_response("**/heartbeat"):
            page.goto(f"{stage.url}?elsewhere=1")
        expect(page.get_by_text("Watched")).to_be_visible()
        expect(box).not_to_be_attached()
        page.evaluate(REMEMBERING)
        registry.move(run.id, "diverged", token=run.token, reason="The loss is not a finite number.")
        page.wait_for_function("window.notices.length")
        assert page.evaluate("window.notices") == [["<b>one diverged", "The loss is not a finite number."]]
        assert not page.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('glassbox-notice'))")
        context.close()
        run.writer.close()
