"""Races in a browser: a double click makes one race, and a phone holds it. How quick many points are: `benchmarks.overlay_speed`."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from llm_core.workspace.job_record import QUEUED
from llm_core.workspace.locks import FileLock
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.registry import Registry
from tests.e2e.conftest import Server, open_page, settled

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
PATIENCE = 30_000


@pytest.fixture(scope="module")
def still(studio_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server over a copy of the workspace with finished runs, whose queue nobody works off."""
    home = tmp_path_factory.mktemp("races") / "home"
    shutil.copytree(studio_home, home, ignore=shutil.ignore_patterns("*.sock", "*.lock"))
    with FileLock(open_workspace(home).supervisor_lock) as lock:
        assert lock.try_acquire()
        server = Server(home)
        server.start()
        yield server
        server.stop_everything()


def test_a_double_click_makes_one_race_and_a_phone_holds_it(browser: Browser, still: Server) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    open_page(page, still, "runs")
    page.get_by_role("button", name="Race").click()
    page.get_by_text("steps", exact=True).last.click()
    expect(page.get_by_label("Steps", exact=True)).to_be_visible(timeout=PATIENCE)
    settled(page)
    page.get_by_role("button", name="Start the race").dblclick()
    expect(page.get_by_text("5 runs were queued")).to_be_visible(timeout=PATIENCE)
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Side by side")).to_be_visible(timeout=PATIENCE)
    expect(page).to_have_url(re.compile("run="), timeout=PATIENCE)
    settled(page)
    width = page.evaluate("() => document.documentElement.scrollWidth")
    context.close()
    assert width <= 390
    with Registry(open_workspace(still.home)) as registry:
        queued = registry.jobs("train", [QUEUED])
    assert len(queued) == 5 and len({record.config["group"] for record in queued}) == 1, "a double click makes one race"
