"""A file from the visitor's disk becomes a text that is listed; its tokens open a card under the mouse; nothing is cut on a phone."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import PICTURES, Server, open_page, settled

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
STORY = "".join(f"第{number}回:话说天下大势,分久必合。\n" for number in range(400))


def overflows(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")


def test_an_upload_by_double_click_is_one_text_and_its_tokens_have_cards(
    browser: Browser, server: Server, tmp_path: Path
) -> None:
    path = tmp_path / "story.txt"
    path.write_text(STORY, encoding="utf-8")
    page = browser.new_page(viewport={"width": 1280, "height": 1100})
    open_page(page, server, "data")
    page.get_by_text("Add text", exact=True).click()
    page.locator("input[type=file]").set_input_files(path)
    expect(page.get_by_text("story.txt")).to_be_visible(timeout=20_000)
    page.get_by_role("button", name="Import", exact=True).dblclick()
    expect(page.get_by_text("story is ready.")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("radio", name="story")).to_be_checked()
    expect(page.get_by_text("第0回:话说天下大势")).to_be_visible()
    assert "dataset=story" in page.url
    assert len(list((server.home / "datasets").iterdir())) == 1, "a double click imports once"
    assert list((server.home / "uploads").iterdir()) == []
    page.reload()
    settled(page)
    expect(page.get_by_role("radio", name="story")).to_be_checked()
    PICTURES.mkdir(exist_ok=True)
    page.screenshot(path=PICTURES / "data-story.png", full_page=True)

    open_page(page, server, "tokenizer?text=你好%20ab&left=byte")
    tokens = page.locator(".gt-token")
    expect(tokens.first).to_be_visible(timeout=20_000)
    tokens.first.hover()
    card = page.locator(".gt-card:visible")
    expect(card).to_contain_text("number 228")
    expect(card).to_contain_text("bytes E4")
    page.screenshot(path=PICTURES / "tokenizer-card.png", full_page=True)
    page.close()


def test_both_pages_fit_a_phone(browser: Browser, server: Server) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 900}, color_scheme="dark")
    page = context.new_page()
    for address in ("data", "tokenizer"):
        open_page(page, server, address)
        page.get_by_text("Add text" if address == "data" else "Train or load a tokenizer", exact=True).click()
        settled(page)
        assert not overflows(page), f"{address} is wider than the phone"
        page.screenshot(path=PICTURES / f"phone-{address}.png", full_page=True)
    context.close()
