"""Every page opens by deep link on a fresh server, in light and dark, wide and narrow, with an empty and a full workspace."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import PAGES, PICTURES, Server, open_page

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
PLOT = ".stPlotlyChart .main-svg"
CONTENT = {"home": [PLOT], "tokenizer": [".gt-token"], "train": [PLOT], "data": ["[data-testid='stRadio']"]}
CONTENT_WITH_RUNS = {
    "monitor": [".gb-plot .main-svg", "[data-testid='stMetricValue']"],
    "runs": ["[data-testid='stDataFrame'] canvas"],
    "attention": [PLOT],
    "playground": [PLOT],
}
# Both widths and both colours, but not all pairs of them: no check depends on the colour.
LOOKS = [(1280, "light"), (390, "dark")]


def look_at_every_page(browser: Browser, server: Server, width: int, scheme: str, kind: str) -> None:
    """Open all pages and keep a picture of each; nothing is raised, nothing sticks out, nothing leaves this machine."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # pyright: ignore[reportArgumentType]
    page = context.new_page()
    outside: list[str] = []
    own = (server.url, server.url.replace("http", "ws"), "data:", "blob:")
    page.on("request", lambda request: None if request.url.startswith(own) else outside.append(request.url))
    page.on("websocket", lambda socket: None if socket.url.startswith(own) else outside.append(socket.url))
    PICTURES.mkdir(exist_ok=True)
    too_wide: list[str] = []
    for name in PAGES:
        open_page(page, server, "" if name == "home" else name)
        drawn(page, name, kind)
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            too_wide.append(name)
        page.screenshot(path=PICTURES / f"{kind}-{name}-{width}-{scheme}.png", full_page=True)
    context.close()
    assert outside == [], "no request leaves this machine"
    assert too_wide == [], "no page scrolls sideways"


def drawn(page: Page, name: str, kind: str) -> None:
    """Wait until what the page is about is there: its pieces arrive one by one after its script has ended."""
    for content in [*CONTENT.get(name, ()), *(CONTENT_WITH_RUNS.get(name, ()) if kind == "full" else ())]:
        expect(page.locator(content).first).to_be_visible(timeout=30_000)
    expect(page.locator("[data-testid='stSkeleton']")).to_have_count(0, timeout=30_000)
    page.wait_for_function(
        "() => [...document.querySelectorAll('.stPlotlyChart')].every(chart => chart.querySelector('.main-svg'))",
        timeout=30_000,
    )


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_every_page_opens_on_an_empty_workspace(browser: Browser, server: Server, width: int, scheme: str) -> None:
    look_at_every_page(browser, server, width, scheme, "empty")


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_every_page_opens_on_a_full_workspace(browser: Browser, studio: Server, width: int, scheme: str) -> None:
    look_at_every_page(browser, studio, width, scheme, "full")


def test_the_web_process_never_loads_torch(studio: Server) -> None:
    maps = Path(f"/proc/{studio.process.pid}/maps").read_text()
    assert "libtorch" not in maps
