"""Filling in what is hidden, as a person does: words hidden by a click and by a key, ten alternatives of each, put back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from llm_core.text.hidden_places import GAP, MASK
from tests.e2e.conftest import Server, open_page, settled, train_here

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

RUN = (
    *("data.dataset=python-reference", "data.context_length=64", "model.num_layers=1", "model.hidden_size=32"),
    *("model.num_heads=2", "training.batch_size=8", "training.max_steps=20", "training.eval_interval=10"),
    *("training.eval_tokens=1000", "training.sample_tokens=8", "hardware.device=cpu"),
)


@pytest.fixture(scope="module")
def families(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server over a workspace with an encoder and an encoder-decoder that fills gaps."""
    home = tmp_path_factory.mktemp("families") / "home"
    for kind in ("encoder", "encoder-decoder"):
        train_here(home, kind, f"model.kind={kind}", *RUN)
    server = Server(home)
    server.start()
    yield server
    server.stop_everything()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, color_scheme="light")
    yield context.new_page()
    context.close()


def test_hidden_letters_are_filled_and_more_are_hidden_by_a_click(page: Page, families: Server) -> None:
    open_page(page, families, f"playground?run=encoder&text=the%20st{MASK}tement")
    tokens, places, card = page.locator(".gt-token"), page.locator(".gt-place"), page.locator(".gt-card")
    box = page.get_by_role("textbox", name="Text with something hidden")
    expect(tokens).to_have_count(len("the statement"))
    expect(places).to_have_count(1)
    places.first.tap()
    expect(card.locator(".gt-row")).to_have_count(10)
    at = card.bounding_box()
    assert at is not None and at["x"] >= 0 and at["x"] + at["width"] <= 390
    page.keyboard.press("Escape")
    tokens.nth(0).tap()
    settled(page)
    expect(box).to_have_value(f"{MASK}he st{MASK}tement")
    expect(places).to_have_count(2)
    tokens.nth(1).focus()
    page.keyboard.press("Enter")
    expect(places).to_have_count(3)
    expect(box).to_have_value(f"{MASK}{MASK}e st{MASK}tement")
    page.get_by_role("button", name="Put the last one back").click()
    expect(places).to_have_count(2)
    expect(box).to_have_value(f"{MASK}he st{MASK}tement")
    page.reload()
    expect(places).to_have_count(2, timeout=60_000)
    expect(box).to_have_value(f"{MASK}he st{MASK}tement")
    assert page.evaluate("() => document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_an_answer_is_shown_in_the_gaps_of_its_source(page: Page, families: Server) -> None:
    open_page(page, families, f"playground?run=encoder-decoder&text=the%20{GAP}tement%20is%20{GAP}%20now")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator(".gt-line")).to_contain_text("ended", timeout=60_000)
    expect(page.locator(".gt-line")).to_contain_text("tokens of source")
    filled = page.locator(".gt-filled .gt-page")
    expect(filled).to_be_visible()
    expect(filled).to_contain_text("tement is ")
    whole, answer = filled.text_content() or "", page.locator(".gt-text").text_content() or ""
    assert whole.startswith("the ") and whole.endswith(" now")
    for number in (1, 2):
        assert (f"⟨gap {number}⟩" in answer) != (f"⟨gap {number}⟩" in whole)
