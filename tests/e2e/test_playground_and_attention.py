"""Talking to a model and looking into it, as a person does: writing and stopping, alternatives, heads by click, links and reloads."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from llm_core.backend.inference_client import InferenceClient
from llm_core.workspace.paths import open_workspace
from tests.e2e.conftest import Server, open_page, settled

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

TEXT = "the statement is"
HEADS = "() => [...document.querySelectorAll('.js-plotly-plot')][0].data[1].customdata.length"
# Where the invisible mark of a head lies on the screen.
PLACE = """([layer, head]) => {
  const plot = document.querySelector('.js-plotly-plot'), { xaxis, yaxis } = plot._fullLayout, marks = plot.data[1];
  const at = marks.customdata.findIndex(([l, h]) => l === layer && h === head);
  const box = plot.getBoundingClientRect();
  return [box.left + xaxis._offset + xaxis.d2p(marks.x[at]), box.top + yaxis._offset + yaxis.d2p(marks.y[at])];
}"""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    yield context.new_page()
    context.close()


def tokens(page: Page) -> Locator:
    return page.locator(".gt-token")


def set_length(page: Page, length: int) -> None:
    page.get_by_label("Length, tokens").fill(str(length))
    page.get_by_label("Length, tokens").press("Enter")
    settled(page)


def test_a_text_is_written_looked_at_and_found_again(page: Page, studio: Server) -> None:
    open_page(page, studio, "playground?run=transformer&text=the%20")
    expect(page.get_by_label("Beginning")).to_have_value("the ")
    set_length(page, 30)
    page.get_by_role("button", name="Generate").click()
    expect(tokens(page)).to_have_count(30, timeout=60_000)
    line = page.locator(".gt-line")
    expect(line).to_contain_text("ended at the length asked for")
    for part in ("4 tokens of prompt", "30 new", "tokens/s", "first after", "seed "):
        expect(line).to_contain_text(part)
    expect(page.locator(".gt-stop")).to_be_hidden()

    card = page.locator(".gt-card")
    tokens(page).nth(4).hover()
    expect(card).to_be_visible()
    expect(card.locator(".gt-row")).to_have_count(10)
    shares = card.locator(".gt-bar").evaluate_all("bars => bars.map(bar => parseFloat(bar.style.width))")
    assert shares == sorted(shares, reverse=True) and sum(shares) <= 100 + 10 * 0.5
    page.get_by_role("heading", level=1).hover()
    expect(card).to_be_hidden()
    tokens(page).nth(0).focus()
    expect(card).to_be_visible()
    expect(card.locator(".gt-row")).to_have_count(10)
    page.keyboard.press("ArrowRight")
    expect(tokens(page).nth(1)).to_be_focused()
    expect(card).to_be_visible()
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()

    text = page.locator(".gt-text").text_content()
    node = tokens(page).nth(0)
    node.evaluate("node => { node.dataset.tag = 'same'; }")
    page.get_by_role("slider", name="Temperature").press("ArrowRight")
    settled(page)
    assert node.get_attribute("data-tag") == "same", "a slider leaves the text where it is"
    page.reload()
    expect(tokens(page)).to_have_count(30, timeout=60_000)
    assert page.locator(".gt-text").text_content() == text
    expect(page.get_by_label("Beginning")).to_have_value("the ")
    second = page.context.new_page()
    second.goto(page.url)
    expect(tokens(second)).to_have_count(30, timeout=60_000)


def test_a_long_text_is_stopped_and_what_is_there_stays(page: Page, studio: Server) -> None:
    open_page(page, studio, "playground?run=lstm&text=the%20")
    set_length(page, 100_000)
    page.get_by_role("button", name="Generate").click()
    expect(page.locator(".gt-line")).to_contain_text("tokens/s", timeout=60_000)
    page.reload()
    expect(page.locator(".gt-line")).to_contain_text("tokens/s", timeout=60_000)
    page.locator(".gt-stop").click()
    expect(page.locator(".gt-line")).to_contain_text("stopped", timeout=30_000)
    count = tokens(page).count()
    assert count > 0
    page.reload()
    expect(tokens(page)).to_have_count(count, timeout=60_000)


def test_a_text_whose_process_dies_says_so_and_stays(page: Page, studio: Server) -> None:
    open_page(page, studio, "playground?run=lstm&text=the%20")
    set_length(page, 100_000)
    page.get_by_role("button", name="Generate").click()
    expect(page.locator(".gt-line")).to_contain_text("tokens/s", timeout=60_000)
    os.kill(InferenceClient(open_workspace(studio.home)).request("ping")["pid"], signal.SIGKILL)
    expect(page.locator(".gt-note")).to_contain_text("ended before the text was complete", timeout=30_000)
    page.reload()
    expect(page.locator(".gt-note")).to_contain_text("ended before the text was complete", timeout=60_000)
    assert tokens(page).count() > 0
    expect(page.get_by_label("Beginning")).to_have_value("the ")


def test_what_the_model_does_not_know_is_left_out_on_request(page: Page, studio: Server) -> None:
    open_page(page, studio, "playground?run=transformer&text=th%C3%A9%20%E4%BD%A0%20st")
    expect(page.get_by_text(re.compile(r"This model knows \d+ characters; .* not among them"))).to_be_visible()
    page.get_by_role("button", name="Leave them out").click()
    settled(page)
    expect(page.get_by_label("Beginning")).not_to_have_value(re.compile("[你]"))
    expect(page.get_by_role("button", name="Generate")).to_be_enabled()


def test_every_head_is_drawn_and_a_click_or_a_key_chooses_one(page: Page, studio: Server) -> None:
    open_page(page, studio, f"attention?run=transformer&text={TEXT.replace(' ', '%20')}")
    page.wait_for_function("() => document.querySelectorAll('.js-plotly-plot').length >= 4", timeout=60_000)
    assert page.evaluate(HEADS) == 2 * 2, "layers × heads"
    title = page.get_by_text(re.compile(r"^layer \d · head \d · “.*” \d\.\d\d \(chance \d\.\d\d\)$"))
    expect(title).to_contain_text("layer 0 · head 0")
    page.locator(".js-plotly-plot").first.evaluate("node => { node.dataset.tag = 'same'; }")
    page.mouse.click(*page.evaluate(PLACE, [1, 0]))
    expect(title).to_contain_text("layer 1 · head 0")
    settled(page)
    assert page.locator(".js-plotly-plot").first.get_attribute("data-tag") == "same", "the overview is not drawn anew"
    assert "layer=1" in page.url and "head=0" in page.url
    page.reload()
    expect(title).to_contain_text("layer 1 · head 0", timeout=60_000)
    expect(page.get_by_label("Text")).to_have_value(TEXT)

    head = page.get_by_role("combobox", name="Head")
    head.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(title).to_contain_text("layer 1 · head 1")
    settled(page)
    page.mouse.click(*page.evaluate(PLACE, [1, 0]))
    expect(title).to_contain_text("layer 1 · head 0")


@pytest.mark.parametrize(
    ("name", "run"), [("playground", "transformer"), ("attention", "transformer"), ("attention", "lstm")]
)
def test_on_a_phone_nothing_runs_over_the_edge(browser: Browser, studio: Server, name: str, run: str) -> None:
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, color_scheme="dark"
    )
    page = context.new_page()
    open_page(page, studio, f"{name}?run={run}")
    page.wait_for_function("() => document.querySelectorAll('.js-plotly-plot').length >= 1", timeout=60_000)
    assert page.evaluate("() => document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    for plot in page.locator(".js-plotly-plot").all():
        box = plot.bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 390
    if name == "playground":
        set_length(page, 5)
        page.get_by_role("button", name="Generate").tap()
        expect(tokens(page)).to_have_count(5, timeout=60_000)
        tokens(page).nth(2).tap()
        card = page.locator(".gt-card")
        expect(card).to_be_visible()
        expect(card.locator(".gt-row")).to_have_count(10)
        box = card.bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 390
    context.close()
