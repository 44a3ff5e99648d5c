"""Train, Home and Runs in a browser: the form leads to a run, a file leads back to a form, runs are compared and deleted."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from llm_core.config.presets import preset
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.registry import Registry
from tests.e2e.conftest import Server, open_page, run_named, settled

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
PATIENCE = 30_000


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    yield page
    page.close()


@pytest.fixture(scope="module")
def own_studio(studio_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server over a copy of the workspace with finished runs, to start and delete runs in."""
    home = tmp_path_factory.mktemp("own") / "home"
    # A socket and locks of running processes are no part of a workspace.
    shutil.copytree(studio_home, home, ignore=shutil.ignore_patterns("*.sock", "*.lock"))
    server = Server(home)
    server.start()
    yield server
    server.stop_everything()


def test_the_card_follows_the_form_and_start_opens_monitor(page: Page, own_studio: Server) -> None:
    open_page(page, own_studio, "train?dataset=python-reference")
    card = page.locator(".st-key-card")
    expect(card.get_by_text("Attention")).to_be_visible(timeout=PATIENCE)
    before = card.get_by_test_id("stMetricValue").first.inner_text()
    width = page.get_by_label("Width, units")
    width.fill("64")
    width.press("Enter")
    expect(card.get_by_test_id("stMetricValue").first).not_to_have_text(before, timeout=PATIENCE)
    page.get_by_role("radio", name="LSTM").click()
    expect(card.get_by_text("LSTM layer")).to_be_visible(timeout=PATIENCE)
    expect(page).to_have_url(re.compile("model.kind"), timeout=PATIENCE)
    steps = page.get_by_label("Steps", exact=True)
    steps.fill("3")
    steps.press("Enter")
    expect(page).to_have_url(re.compile("training.max_steps"), timeout=PATIENCE)
    settled(page)
    page.reload()
    expect(page.get_by_label("Steps", exact=True)).to_have_value("3", timeout=PATIENCE)
    settled(page)
    page.get_by_label("Name of the run").fill("from the form")
    page.get_by_label("Name of the run").press("Enter")
    settled(page)
    page.get_by_role("button", name="Start", exact=True).dblclick()
    expect(page.get_by_role("heading", level=1, name="Monitor")).to_be_visible(timeout=PATIENCE)
    _, config = run_named(own_studio.home, "from the form")
    assert (config.model.kind, config.training.max_steps) == ("lstm", 3)
    with Registry(open_workspace(own_studio.home)) as registry:
        assert len(registry.jobs("train")) == 3, "a double click makes one run"


def test_a_saved_configuration_comes_back_and_a_wrong_file_is_named(page: Page, studio: Server, tmp_path: Path) -> None:
    open_page(page, studio, "train")
    saved = tmp_path / "config.json"
    saved.write_text(json.dumps(preset("pocket-rnn").model_dump(mode="json")))
    wrong = tmp_path / "photo.png"
    wrong.write_bytes(b"\x89PNG")
    page.get_by_role("button", name="Load config.json").click()
    page.locator("input[type=file]").set_input_files(wrong)
    expect(page.get_by_test_id("stAlert").get_by_text("not JSON")).to_be_visible(timeout=PATIENCE)
    page.locator("input[type=file]").set_input_files(saved)
    expect(page.locator(".st-key-card").get_by_text("RNN layer")).to_be_visible(timeout=PATIENCE)
    settled(page)
    page.keyboard.press("Escape")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save config.json").click()
    assert json.loads(Path(download.value.path()).read_bytes()) == preset("pocket-rnn").model_dump(mode="json")


def test_two_runs_are_laid_over_each_other(page: Page, studio: Server) -> None:
    ids = [run_named(studio.home, name)[0] for name in ("lstm", "transformer")]
    open_page(page, studio, f"runs?run={','.join(ids)}")
    expect(page.get_by_role("heading", name="Side by side")).to_be_visible(timeout=PATIENCE)
    page.wait_for_function(
        "() => { const plot = document.querySelector('.js-plotly-plot');"
        " return plot && plot.data && plot.data.filter(trace => trace.x && trace.x.length > 2).length >= 2; }",
        timeout=PATIENCE,
    )
    expect(page.get_by_text("Delete 2 runs")).to_be_visible()


def test_a_run_is_deleted_after_one_question(page: Page, own_studio: Server) -> None:
    run_id, _ = run_named(own_studio.home, "lstm")
    open_page(page, own_studio, "runs?run=lstm")
    page.get_by_role("button", name="Delete this run").click()
    expect(page.get_by_text("It cannot be undone")).to_be_visible(timeout=PATIENCE)
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_text("are free again")).to_be_visible(timeout=PATIENCE)
    assert not (own_studio.home / "runs" / run_id).exists()
    expect(page).to_have_url(re.compile(r"/runs$"), timeout=PATIENCE)


def test_two_runs_side_by_side_are_no_wider_than_a_phone(browser: Browser, studio: Server) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark")
    page = context.new_page()
    open_page(page, studio, "runs?run=lstm,transformer")
    width = page.evaluate("() => document.documentElement.scrollWidth")
    context.close()
    assert width <= 390
