"""The charts of Monitor in a browser: marks along them, and a click on a point that opens the step it belongs to."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import PICTURES, Server, open_page, run_named, settled

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

DRAWN = "() => (document.querySelector('.gb-plot')?.data ?? []).some((trace) => trace.name && trace.x.length > 3)"
MARKS = """() => {
  const marks = document.querySelector('.gb-plot').data.find((trace) => trace.meta.marks);
  return marks.text.map((text, index) => [text, marks.marker.symbol[index], marks.customdata[index]]);
}"""
LAYERS_ARE_DRAWN = """() => {
  const named = document.querySelector('.gb-plot').data.filter((trace) => trace.name);
  return named.length === 4 && named.every((trace) => trace.meta.key.startsWith('update_ratio/'));
}"""
# Where the pixel of a stored point is in the window.
PLACE = """([key, step]) => {
  const plot = document.querySelector('.gb-plot');
  const trace = plot.data.find((trace) => trace.meta.key === key && !trace.meta.band);
  const at = trace.customdata.indexOf(step);
  const { xaxis, yaxis } = plot._fullLayout;
  const box = plot.getBoundingClientRect();
  return [box.left + xaxis._offset + xaxis.d2p(trace.x[at]), box.top + yaxis._offset + yaxis.d2p(trace.y[at])];
}"""


def click_point(page: Page, key: str, step: int) -> None:
    page.locator(".gb-plot").first.scroll_into_view_if_needed()
    x, y = page.evaluate(PLACE, [key, step])
    page.mouse.move(x - 3, y + 2)
    page.mouse.move(x, y)
    expect(page.locator(".hoverlayer .legend, .hoverlayer .hovertext").first).to_be_attached()
    page.mouse.click(x, y)


def test_marks_are_told_and_a_click_opens_the_step(browser: Browser, studio: Server) -> None:
    run_id, _ = run_named(studio.home, "transformer")
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    open_page(page, studio, f"monitor?run={run_id}")
    page.wait_for_function(DRAWN, timeout=30_000)
    marks: list[Any] = page.evaluate(MARKS)
    assert ["Checkpoint at step 20.", "triangle-up", 20] in marks
    click_point(page, "train_loss", 35)
    expect(page.get_by_role("heading", name="Step 35")).to_be_visible(timeout=30_000)
    tokens = page.locator(".gt-token")
    expect(tokens.first).to_be_visible(timeout=60_000)
    expect(page.get_by_text("Scored by the checkpoint at step 20, 14 steps earlier")).to_be_visible()
    assert tokens.count() == 65
    assert "step=35" in page.url
    settled(page)
    page.screenshot(path=PICTURES / "monitor-step.png", full_page=True)
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("heading", name="Step 35")).to_have_count(0)

    page.get_by_role("radio", name="Layers").click()
    page.wait_for_function(LAYERS_ARE_DRAWN, timeout=20_000)
    expect(page.get_by_text("One line for each part of the network")).to_be_visible()
    page.close()
