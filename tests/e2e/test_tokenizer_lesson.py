"""Merges are watched in a browser: the slider takes them back one by one, and the sentence falls apart again."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.conftest import PICTURES, Server, open_page

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def test_a_merge_is_taken_back_by_keyboard(browser: Browser, server: Server) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 1600})
    open_page(page, server, "tokenizer?text=low%20low%20lower&merges=2")
    expect(page.get_by_text("7 tokens of 258 kinds")).to_be_visible(timeout=20_000)
    page.get_by_role("slider", name="Merges so far").press("ArrowLeft")
    expect(page.get_by_text("10 tokens of 257 kinds")).to_be_visible(timeout=20_000)
    PICTURES.mkdir(exist_ok=True)
    page.screenshot(path=PICTURES / "tokenizer-lesson.png", full_page=True)
    page.close()
