"""A run written down and taken away in a real browser: notes that stay, downloads that arrive, pages that need no server."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Download, Page, expect

from tests.e2e.conftest import Server, open_page, run_named, settled

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def downloaded(page: Page, link: str) -> Download:
    """What a link hands out."""
    with page.expect_download() as download:
        page.get_by_role("link", name=link).click()
    return download.value


def test_notes_stay_and_everything_can_be_taken_away(studio: Server, browser: Browser) -> None:
    run_id, _ = run_named(studio.home, "transformer")
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    open_page(page, studio, f"monitor?run={run_id}")
    page.get_by_role("tab", name="Notes").click()
    page.get_by_role("textbox", name="Notes").fill("<b>bold</b> $x$")
    page.get_by_role("combobox", name="Tags").fill("paper")
    page.keyboard.press("Enter")
    settled(page)
    open_page(page, studio, f"monitor?run={run_id}")
    page.get_by_role("tab", name="Notes").click()
    expect(page.get_by_role("textbox", name="Notes")).to_have_value("<b>bold</b> $x$")
    expect(page.get_by_text("paper", exact=True)).to_be_visible()

    chart = page.locator(".gb-plot")
    expect(chart.locator(".modebar-btn").first).to_be_attached(timeout=30_000)
    titles = [button.get_attribute("data-title") or "" for button in chart.locator(".modebar-btn").all()]
    assert not [title for title in titles if "Share" in title], "no button sends the curves to anybody"
    chart.hover()
    for kind, beginning in (("PNG", b"\x89PNG"), ("SVG", b"<svg")):
        with page.expect_download() as picture:
            chart.locator(f".modebar-btn[data-title$='{kind}']").click()
        assert Path(picture.value.path()).read_bytes().startswith(beginning)
        assert picture.value.suggested_filename == f"transformer.{kind.lower()}"

    page.get_by_role("tab", name="Export").click()
    points = downloaded(page, "All points (CSV)")
    assert points.suggested_filename == "transformer-points.csv"
    assert Path(points.path()).read_text(encoding="utf-8").startswith("key,step,tokens,seconds,value\n")
    archive = downloaded(page, "Whole run (zip)")
    with zipfile.ZipFile(archive.path()) as opened:
        assert opened.testzip() is None and f"{run_id}/notes.json" in opened.namelist()

    alone = browser.new_context(offline=True)
    for button in ("Report (HTML)", "This chart (HTML)"):
        with page.expect_download() as download:
            page.get_by_role("button", name=button).click()
        file = Path(download.value.path()).rename(studio.home.parent / f"{re.sub('[^a-z]', '', button.lower())}.html")
        opened_page, said = alone.new_page(), list[str]()
        opened_page.on("console", lambda message, said=said: said.append(message.text))
        opened_page.on("pageerror", lambda error, said=said: said.append(str(error)))
        opened_page.on("dialog", lambda dialog, said=said: said.append(dialog.message))
        asked = list[str]()
        opened_page.on("request", lambda request, asked=asked: asked.append(request.url))
        opened_page.goto(file.as_uri())
        expect(opened_page.locator(".scatterlayer .trace").first).to_be_attached(timeout=30_000)
        expect(opened_page.get_by_role("heading", name="transformer")).to_be_visible()
        assert said == [] and asked == [file.as_uri()], "one file, and nothing is asked for"
        if button.startswith("Report"):
            expect(opened_page.get_by_text("<b>bold</b> $x$")).to_be_visible()
    alone.close()
    page.close()
    for name in ("notes.json", "notes.lock"):
        (studio.home / "runs" / run_id / name).unlink()  # the next test finds the run as it was
