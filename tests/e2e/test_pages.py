"""Every page opens by deep link on a fresh server, in light and dark, wide and narrow; one click trains."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.conftest import PAGES, PICTURES, Server, open_page

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_page_opens_on_an_empty_workspace(browser: Browser, server: Server, scheme: str, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    outside: list[str] = []
    page.on(
        "request",
        lambda request: (
            outside.append(request.url) if not request.url.startswith((server.url, "data:", "blob:")) else None
        ),
    )
    PICTURES.mkdir(exist_ok=True)
    for name in PAGES:
        open_page(page, server, "" if name == "home" else name)
        page.screenshot(path=PICTURES / f"empty-{name}-{width}-{scheme}.png", full_page=True)
    context.close()
    assert outside == [], "no request leaves this machine"


def test_the_web_process_never_loads_torch(server: Server) -> None:
    maps = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert "libtorch" not in maps


def test_a_double_click_trains_one_model(browser: Browser, server: Server) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    open_page(page, server, "")
    page.get_by_role("button", name="Train a small Transformer now").dblclick()
    expect(page.get_by_role("heading", level=1, name="Monitor")).to_be_visible(timeout=30_000)
    page.wait_for_function(
        "() => { const plot = document.querySelector('.js-plotly-plot');"
        " return plot && plot.data && plot.data.some(trace => trace.x && trace.x.length > 2); }",
        timeout=240_000,
    )
    expect(page.locator("[data-testid='stException']")).to_have_count(0)
    page.screenshot(path=PICTURES / "monitor-live.png", full_page=True)
    assert len(list((server.home / "runs").iterdir())) == 1, "a double click makes one run"
    page.get_by_role("button", name="Stop").last.click()
    expect(page.get_by_text("Stopped on request").first).to_be_visible(timeout=60_000)
    for name in PAGES:
        open_page(page, server, "" if name == "home" else name)
        page.screenshot(path=PICTURES / f"full-{name}.png", full_page=True)
    page.close()
