"""A run from its click to its end, watched: one click, points, a zoom that stays, a server that dies and comes back, nothing left."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from llm_core.backend.run_commands import change_run
from llm_core.workspace.locks import is_locked
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.registry import Registry
from tests.e2e.conftest import PICTURES, Server, open_page, processes_of, settled

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
NUM_POINTS = (
    "() => Math.max(0, ...[...document.querySelectorAll('.gb-plot .js-plotly-plot, .gb-plot.js-plotly-plot')]"
    ".flatMap(plot => (plot.data || []).filter(trace => trace.name).map(trace => trace.x.length)))"
)


@pytest.fixture(scope="module")
def live(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose processes end soon after the last work."""
    server = Server(tmp_path_factory.mktemp("live") / "home")
    os.environ["GLASSBOX_COMMIT_SECONDS"] = "0.2"
    server.start()
    yield server
    del os.environ["GLASSBOX_COMMIT_SECONDS"]
    server.stop_everything()


def num_points(page: Page) -> int:
    return int(page.evaluate(NUM_POINTS))


def wait_for_points(page: Page, more_than: int) -> int:
    page.wait_for_function(f"() => ({NUM_POINTS})() > {more_than}", timeout=200_000)
    return num_points(page)


def test_from_one_click_to_a_zoom_that_stays(
    browser: Browser, live: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    open_page(page, live, "")
    page.get_by_role("button", name="Train a small Transformer now").dblclick()
    clicked = time.monotonic()
    expect(page.get_by_role("heading", level=1, name="Monitor")).to_be_visible(timeout=30_000)
    page.screenshot(path=PICTURES / "monitor-starting.png")
    wait_for_points(page, 0)
    with capsys.disabled():
        print(f"\nfrom the click to the first point: {time.monotonic() - clicked:.1f} s")
    (run,) = (live.home / "runs").iterdir()  # a double click makes one
    # However quick the machine, it is still under way in the tests below.
    change_run(open_workspace(live.home), run.name, {"training.max_steps": 1_000_000}, "a test")

    wait_for_points(page, 20)
    settled(page)
    chart = page.locator(".gb-plot .nsewdrag").first
    box = chart.bounding_box()
    assert box is not None
    page.evaluate("document.querySelector('.gb-plot').dataset.witness = 'the same node'")
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.7 * box["height"], steps=5)
    page.mouse.up()
    span = "() => JSON.stringify(['xaxis', 'yaxis'].map(axis => document.querySelector('.gb-plot').layout[axis].range))"
    page.wait_for_function("() => document.querySelector('.gb-plot').layout.xaxis.autorange === false")
    zoomed = page.evaluate(span)
    page.evaluate(
        "() => { window.updates = 0; document.querySelector('.gb-plot').on('plotly_afterplot', () => window.updates++); }"
    )
    page.wait_for_function("() => window.updates >= 3", timeout=60_000)
    assert page.evaluate(span) == zoomed, "three updates later the zoom is where it was"
    assert page.evaluate("document.querySelector('.gb-plot').dataset.witness") == "the same node"
    page.screenshot(path=PICTURES / "monitor-zoomed.png")
    page.close()


def test_a_killed_server_takes_no_run_with_it_and_an_open_page_reconnects(browser: Browser, live: Server) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    open_page(page, live, "monitor")
    before = wait_for_points(page, 20)
    with Registry(open_workspace(live.home)) as registry:
        (record,) = registry.jobs("train")
    owner = record.owner
    assert owner is not None and owner.alive()
    live.kill()
    expect(page.get_by_text("reconnecting…")).to_be_visible(timeout=30_000)
    assert owner.alive(), "the worker does not notice"
    live.start()
    wait_for_points(page, before)
    expect(page.get_by_text("reconnecting…")).to_have_count(0, timeout=30_000)
    assert owner.alive()

    other = browser.new_page(viewport={"width": 1280, "height": 900})
    open_page(other, live, f"monitor?run={record.id}")
    wait_for_points(other, before)
    expect(other.get_by_text("running", exact=True).first).to_be_visible()
    other.screenshot(path=PICTURES / "monitor-live.png", full_page=True)
    page.close()
    other.close()


def test_stop_from_the_page_then_nothing_of_the_workspace_remains(browser: Browser, live: Server) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    open_page(page, live, "monitor")
    page.get_by_role("main").get_by_role("button", name="Stop").last.click()
    expect(page.get_by_text("Stopped on request").first).to_be_visible(timeout=60_000)
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    settled(page)
    page.close()
    live.process.send_signal(signal.SIGTERM)
    assert live.process.wait(10) in (0, -signal.SIGTERM)
    deadline = time.monotonic() + 75
    while processes_of(live.home):
        assert time.monotonic() < deadline, "every process of the workspace has ended"
        time.sleep(0.2)
    workspace = open_workspace(live.home)
    locks = [workspace.supervisor_lock, workspace.web_lock, workspace.inference_lock]
    assert not any(is_locked(path) for path in locks)
    assert not list(Path(live.home).rglob("*.tmp-*")), "no half-written checkpoint is left"
