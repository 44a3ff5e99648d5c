"""What the two components hand to the browser, and what their scripts never do."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from llm_core.config.errors import UserError
from llm_core.ui.live_plot import SCRIPTS as SCRIPTS_OF_A_CHART
from llm_core.web.vendor import plotly_path

UI = Path(__file__).resolve().parents[2] / "llm_core" / "ui"
SCRIPTS = sorted(UI.glob("*.js"))


def sent(app: AppTest) -> dict[str, Any]:
    """The data of the one component on the page."""
    (element,) = app.get("bidi_component")
    return json.loads(element.proto.json)


def plot_page(unit: str, bytes_per_token: float | None) -> None:
    from llm_core.ui.live_plot import live_plot

    live_plot(
        [{"id": "a1", "name": "<b>one</b>", "color": "#0072B2", "state": "running"}],
        ["train_loss", "val_loss"],
        key="loss",
        unit=unit,
        smooth=0.6,
        guides=[{"value": 4.17, "label": "chance: ln 65 = 4.17"}],
        bytes_per_token=bytes_per_token,
    )


def token_page() -> None:
    from llm_core.ui.token_view import token_view

    token_view([{"text": "<b>", "id": 3, "bytes": "3c 62 3e"}], key="tokens")


def generation_page() -> None:
    from llm_core.ui.token_view import generation_view

    generation_view("abc", key="generation", prompt="To be")


def test_the_chart_is_told_what_to_ask_and_how_to_name_it() -> None:
    app = AppTest.from_function(plot_page, kwargs={"unit": "nats", "bytes_per_token": None}).run()
    assert not app.exception
    data = sent(app)
    assert data["plotly"] == plotly_path() and re.fullmatch(r"/vendor/plotly-[\d.]+\.min\.js", data["plotly"])
    assert data["keys"] == ["train_loss", "val_loss"] and data["exact"] == ["val_loss"]
    assert data["y_label"] == "loss, nats per token" and data["x_label"] == "step"
    assert (data["x"], data["axis"], data["picks"], data["band"]) == ("step", "step", False, None)
    assert data["labels"] == {"train_loss": "training", "val_loss": "validation"}
    run = {"id": "a1", "name": "<b>one</b>", "color": "#0072B2", "dash": "solid", "state": "running"}
    assert data["runs"] == [{**run, "bytes_per_token": None, "scale": 1.0}]
    assert data["guides"] == [{"value": 4.17, "label": "chance: ln 65 = 4.17"}]


def test_bits_per_byte_need_the_bytes_of_a_token() -> None:
    with pytest.raises(UserError, match="Bits per byte need the bytes of a token"):
        plot_page("bits/byte", None)
    app = AppTest.from_function(plot_page, kwargs={"unit": "bits/byte", "bytes_per_token": 3.7}).run()
    assert sent(app)["runs"][0]["bytes_per_token"] == 3.7 and sent(app)["y_label"] == "loss, bits per byte"


def test_epochs_and_flops_are_tokens_times_a_factor() -> None:
    from llm_core.ui.live_plot import PlottedRun, live_plot

    def page(x: str) -> None:
        from llm_core.ui.live_plot import live_plot

        run = {"id": "a", "name": "one", "color": "#0072B2", "tokens_per_epoch": 4000, "flops_per_token": 6e6}
        live_plot([run], key="loss", x=x, on_pick=print)  # pyright: ignore[reportArgumentType]

    for x, scale in (("epochs", 1 / 4000), ("flops", 6e6), ("tokens", 1.0)):
        data = sent(AppTest.from_function(page, kwargs={"x": x}).run())
        assert (data["x"], data["axis"], data["picks"]) == ("tokens", x, True)
        assert data["runs"][0]["scale"] == scale
    bare: PlottedRun = {"id": "a", "name": "one", "color": "#0072B2"}
    with pytest.raises(UserError, match="FLOPs need the operations"):
        live_plot([bare], key="loss", x="flops")


def test_the_chart_stays_itself_when_its_data_change() -> None:
    app = AppTest.from_function(plot_page, kwargs={"unit": "nats", "bytes_per_token": None}).run()
    first = app.get("bidi_component")[0].proto.id
    app.run()
    assert app.get("bidi_component")[0].proto.id == first
    other = AppTest.from_function(plot_page, kwargs={"unit": "perplexity", "bytes_per_token": None}).run()
    assert other.get("bidi_component")[0].proto.id == first


def test_tokens_and_generations_are_handed_over_as_they_are() -> None:
    data = sent(AppTest.from_function(token_page).run())
    assert data == {
        "mode": "ids",
        "tokens": [{"text": "<b>", "id": 3, "bytes": "3c 62 3e"}],
        "generation": "",
        "prompt": "",
    }
    assert sent(AppTest.from_function(generation_page).run())["generation"] == "abc"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_small_and_never_make_markup(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    assert len(text.encode()) <= 15_000, "it can be read in one sitting"
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|srcdoc|https?://"
    assert not re.search(forbidden, text)
    assert text.count("export default function") == (script.name != "live_plot_picture.js")


def test_a_chart_is_a_small_script() -> None:
    total = sum(len((UI / name).read_bytes()) for name in SCRIPTS_OF_A_CHART)
    assert total <= 21_000, "it is sent again with every change of data"
