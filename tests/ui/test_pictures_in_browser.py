"""Pictures that people save: on a dark page too they have the page's ground, so that light ink can be read anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from llm_core.workspace.paths import open_workspace
from llm_core.workspace.registry import Registry
from tests.ui.conftest import Stage
from tests.web.live_run import LiveRun

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

STILL = """
import streamlit as st
from llm_core.figures.group_bands import Band, group_bands
from llm_core.ui.still_pictures import still_picture
band = Band("one", [0, 1], [1, 2], [0, 1], [2, 3], 2)
still_picture(group_bands([band], x_title="step", y_title="loss", dark=True), key="still", alt="One", file_name="loss-by-group")
"""
LIVE = """
import streamlit as st
from llm_core.ui.live_plot import live_plot
live_plot([{{"id": "{id}", "name": "one", "color": "#0072B2"}}], key="loss")
"""
DARK_GROUND = (0x14, 0x17, 0x1A, 255)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="dark")
    yield context.new_page()
    context.close()


def saved(page: Page, kind: str) -> Path:
    plot = page.locator(".js-plotly-plot").first
    plot.locator(".modebar-btn").first.wait_for(state="attached", timeout=30_000)
    plot.hover()
    with page.expect_download() as picture:
        plot.locator(f".modebar-btn[data-title$='{kind}' i]").click()
    return Path(picture.value.path())


def corner(picture: Path) -> object:
    return Image.open(picture).convert("RGBA").getpixel((1, 1))


def test_a_still_picture_has_a_camera_button_alone(page: Page, stage: Stage) -> None:
    stage.show(STILL)
    page.goto(stage.url)
    assert corner(saved(page, "PNG")) == DARK_GROUND
    assert page.locator(".js-plotly-plot .modebar-btn").count() == 1


def test_a_live_chart_is_saved_with_its_ground(page: Page, stage: Stage) -> None:
    with Registry(open_workspace(stage.home)) as registry:
        run = LiveRun(open_workspace(stage.home), registry, registry.free_name("train", "one"))
        run.running()
        run.points("train_loss", {step: 4 - step / 100 for step in range(1, 101)})
        stage.show(LIVE.format(id=run.id))
        page.goto(stage.url)
        assert corner(saved(page, "PNG")) == DARK_GROUND
        assert "rgb(20, 23, 26)" in saved(page, "SVG").read_text(encoding="utf-8")
        run.writer.close()
