"""The components in Chromium on a real server: what a person sees and does, and what hostile text does not do."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from llm_core.workspace.metrics_read import read_points
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.registry import Registry
from tests.ui.conftest import Stage
from tests.web.live_run import LiveRun

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

PLOT = """
import streamlit as st
from llm_core.ui.live_plot import live_plot
st.title("Chart")
live_plot([{{"id": "{id}", "name": "one", "color": "#0072B2", "bytes_per_token": 1.0}}], key="loss", unit="{unit}",
          smooth={smooth}, guides=[{{"value": 4.0, "label": "chance: 4.0"}}])
st.button("Again")
for number in range(40): st.write(number)
"""
HOSTILE = """<img src=x onerror="window.hurt=1"></span><script>window.hurt=1</script>"""
TOKENS = f"""
import streamlit as st
from llm_core.ui.token_view import token_view
texts = ["The", " cat", "\\n", "\\u202e", "", {HOSTILE!r}, "$\\\\href{{javascript:alert(1)}}{{x}}$"]
others = [{{"text": {HOSTILE!r}, "p": 0.5}}] + [{{"text": chr(97 + n), "p": 0.04}} for n in range(9)]
token_view([{{"text": text, "id": n, "bytes": "e4", "p": 0.9 / (n + 1), "alternatives": others}} for n, text in enumerate(texts)],
           key="tokens", mode="probability")
"""
TRACE = """(key) => {
  const trace = document.querySelector('.js-plotly-plot').data.find((t) => t.meta.key === key && !t.meta.band);
  return [trace.x, trace.y];
}"""
STATE = "() => { const d = document.querySelector('.js-plotly-plot'); return [d.layout.xaxis.range, d.dataset.tag]; }"


@pytest.fixture
def run(stage: Stage) -> Iterator[LiveRun]:
    workspace = open_workspace(stage.home)
    with Registry(workspace) as registry:
        run = LiveRun(workspace, registry, registry.free_name("train", "one"))
        run.running()
        run.points("val_loss", {0: 4.1})
        run.points("train_loss", {step: 4 - step / 100 for step in range(1, 101)})
        yield run
        run.writer.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    page = context.new_page()
    yield page
    context.close()


def open_plot(page: Page, stage: Stage, run: LiveRun, unit: str = "nats", smooth: float = 0.0) -> None:
    stage.show(PLOT.format(id=run.id, unit=unit, smooth=smooth))
    page.goto(stage.url)
    page.wait_for_function("() => document.querySelector('.js-plotly-plot')?.data?.length >= 3", timeout=30_000)


def drawn(page: Page, key: str = "train_loss") -> list[Any]:
    return page.evaluate(TRACE, key)


def wait_for_points(page: Page, count: int) -> None:
    page.wait_for_function(f"() => ({TRACE})('train_loss')[0].at(-1) >= {count}", timeout=20_000)


def test_zoom_and_node_outlive_updates_reruns_and_themes(page: Page, stage: Stage, run: LiveRun) -> None:
    open_plot(page, stage, run)
    stored = read_points(run.folder, "train_loss")
    assert drawn(page) == [stored.step.tolist(), stored.value.tolist()], "the drawn points are the stored ones"
    page.evaluate("() => { document.querySelector('.js-plotly-plot').dataset.tag = 'same'; }")
    box = page.locator(".nsewdrag").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + box["height"] - 60, steps=5)
    page.mouse.up()
    page.wait_for_function("() => document.querySelector('.js-plotly-plot').layout.xaxis.autorange === false")
    zoomed = page.evaluate(STATE)
    for update in range(3):
        with page.expect_response(lambda answer: "/series?" in answer.url and answer.status == 200):
            run.points("train_loss", {101 + update: 3.0})
    page.get_by_role("button", name="Again").click()
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(
        "() => document.querySelector('.js-plotly-plot').layout.font.color.toUpperCase() === '#E6E4DE'"
    )
    assert page.evaluate(STATE) == zoomed
    inside = [step for step in drawn(page)[0] if zoomed[0][0] <= step <= zoomed[0][1]]
    assert len(drawn(page)[0]) <= len(inside) + 2, "the server was asked for the visible stretch"
    page.locator(".gb-box").focus()
    page.keyboard.press("0")
    wait_for_points(page, 103)
    assert page.evaluate(STATE)[1] == "same"


def test_units_guides_and_band(page: Page, stage: Stage, run: LiveRun) -> None:
    open_plot(page, stage, run, unit="bits/byte", smooth=0.9)
    assert drawn(page, "val_loss")[1][0] == pytest.approx(4.1 / 0.6931471805599453)
    layout = page.evaluate("() => document.querySelector('.js-plotly-plot').layout")
    assert [shape["y0"] for shape in layout["shapes"]] == [4.0]
    assert [note["text"] for note in layout["annotations"]] == ["chance: 4.0"]
    assert page.evaluate("() => document.querySelector('.js-plotly-plot').data.filter(t => t.meta.band).length") == 2
    said = page.evaluate(
        "() => document.querySelector('.js-plotly-plot').data.find(t => t.meta.key === 'train_loss' && t.name).text[5]"
    )
    measured = read_points(run.folder, "train_loss").value[5] / math.log(2)
    assert said == f" ({measured:#.5g} measured)", "beside the smoothed value stands what was measured"
    label = page.locator(".gb-box").get_attribute("aria-label")
    assert label is not None and label.startswith("loss, bits per byte by step: training ")


def test_an_open_page_comes_back_after_the_server_does_and_rests_at_the_end(
    page: Page, stage: Stage, run: LiveRun
) -> None:
    open_plot(page, stage, run)
    page.evaluate("() => { document.querySelector('.js-plotly-plot').dataset.tag = 'same'; }")
    stage.stop()
    expect(page.locator(".gb-line")).to_have_text("reconnecting…", timeout=20_000)
    run.points("train_loss", {150: 2.0})
    stage.start()
    wait_for_points(page, 150)
    expect(page.locator(".gb-line")).to_have_text("")
    assert page.evaluate(STATE)[1] == "same"
    with page.expect_response(lambda answer: "/series?" in answer.url and answer.status == 200):
        run.finish()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/series?" in request.url else None)
    page.wait_for_timeout(2500)
    assert asked == []


def test_before_the_first_point_the_phase_is_shown(page: Page, stage: Stage) -> None:
    workspace = open_workspace(stage.home)
    with Registry(workspace) as registry:
        run = LiveRun(workspace, registry, "phases")
        run.running()
        run.writer.heartbeat({"phase": "building 0.8 M parameters"})
        stage.show(PLOT.format(id=run.id, unit="nats", smooth=0))
        page.goto(stage.url)
        expect(page.locator(".gb-phases")).to_contain_text("Building 0.8 M parameters", timeout=30_000)
        run.points("train_loss", {1: 4.0})
        expect(page.locator(".gb-phases")).to_be_hidden(timeout=10_000)
        run.writer.close()


def test_on_a_phone_a_swipe_scrolls_the_page(browser: Browser, stage: Stage, run: LiveRun) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    open_plot(page, stage, run)
    assert page.evaluate("() => document.querySelector('.js-plotly-plot').layout.dragmode") is False
    expect(page.locator(".modebar-btn")).to_have_count(0)
    box = page.locator(".js-plotly-plot").bounding_box()
    assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 390
    touch = context.new_cdp_session(page)
    x, y = 200, round(box["y"] + box["height"] - 80)
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for moved in range(20, 220, 20):
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x, "y": y - moved}]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_function("() => document.querySelector('[data-testid=stMain]').scrollTop > 50")
    assert page.evaluate("() => document.querySelector('.js-plotly-plot').layout.xaxis.autorange") is True
    context.close()


def test_hostile_tokens_stay_text(page: Page, stage: Stage) -> None:
    stage.show(TOKENS)
    page.goto(stage.url)
    tokens = page.locator(".gt-token")
    expect(tokens).to_have_count(7, timeout=30_000)
    assert tokens.nth(1).text_content() == " cat" and tokens.nth(2).text_content() == "\n"
    assert tokens.nth(5).text_content() == HOSTILE
    tokens.nth(0).focus()
    card = page.locator(".gt-card")
    expect(card).to_be_visible()
    expect(card.locator(".gt-row")).to_have_count(10)
    expect(card).to_contain_text("90 %")
    expect(card).to_contain_text("onerror")
    page.keyboard.press("ArrowRight")
    expect(tokens.nth(1)).to_be_focused()
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()
    tokens.nth(5).hover()
    expect(card).to_be_visible()
    assert page.evaluate("() => window.hurt") is None
    assert page.locator(".gt-root img, .gt-root script, .gt-root a").count() == 0
