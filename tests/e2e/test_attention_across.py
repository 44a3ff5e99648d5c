"""The Attention page of a source and its answer in a browser: clicks on oblong heads, three attentions, the link, a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import Server, open_page, settled, train_here
from tests.e2e.test_playground_and_attention import PLACE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

RUN = (
    *("model.kind=encoder-decoder", "objective.kind=sequence-to-sequence", "model.num_layers=2"),
    *("model.num_decoder_layers=3", "model.num_heads=2", "model.hidden_size=16", "data.dataset=synthetic-reversal"),
    *("data.context_length=24", "training.batch_size=8", "training.max_steps=30", "training.eval_interval=30"),
)
ADDRESS = "attention?run=backwards&text=abcdefghij&answer=jih"


@pytest.fixture(scope="module")
def across(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server over a workspace with one run of pairs."""
    home: Path = tmp_path_factory.mktemp("across") / "home"
    train_here(home, "backwards", *RUN)
    server = Server(home)
    server.start()
    yield server
    server.stop_everything()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 1400}, color_scheme="light")
    yield context.new_page()
    context.close()


def test_a_click_on_an_oblong_head_chooses_it_and_the_link_keeps_it(page: Page, across: Server) -> None:
    open_page(page, across, ADDRESS)
    page.wait_for_function("() => document.querySelectorAll('.js-plotly-plot').length >= 4", timeout=60_000)
    page.mouse.click(*page.evaluate(PLACE, [2, 1]))
    expect(page.get_by_text("layer 2 · head 1")).to_be_visible()
    settled(page)
    for part in ("layer=2", "head=1", "part=cross", "answer=jih"):
        expect(page).to_have_url(re.compile(part))
    page.reload()
    expect(page.get_by_text("layer 2 · head 1")).to_be_visible(timeout=60_000)
    expect(page.get_by_label("Answer")).to_have_value("jih")

    page.get_by_role("radio", name="Encoder").click()
    expect(page.get_by_text("layer 0 · head 1")).to_be_visible()
    expect(page).to_have_url(re.compile("part=encoder"))
    page.get_by_label("Answer").fill("")
    page.get_by_label("Answer").press("Enter")
    expect(page.get_by_text("The model's own answer, its likeliest token at each place")).to_be_visible()


def test_on_a_phone_nothing_runs_over_the_edge(browser: Browser, across: Server) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, is_mobile=True, color_scheme="dark")
    page = context.new_page()
    open_page(page, across, ADDRESS)
    page.wait_for_function("() => document.querySelectorAll('.js-plotly-plot').length >= 4", timeout=60_000)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    context.close()
