"""The Attention page on real runs of every family and the real inference process: maps, titles, links, texts it cannot show."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from llm_core.inspection.attention import attention_weights
from llm_core.models.loading import load_checkpoint_model
from llm_core.workspace.checkpoints import find_checkpoint
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.runs import run_folder
from tests.app.code_beside import run_python
from tests.app.model_runs import CONTEXT, asked, open_page, rerun, train_each_family

TEXT = "the statement is"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    home = tmp_path_factory.mktemp("attention") / "home"
    return home, train_each_family(home)


@pytest.fixture(autouse=True)
def home(runs: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GLASSBOX_HOME", str(runs[0]))
    monkeypatch.setenv("GLASSBOX_IDLE_SECONDS", "8")
    return runs[0]


def numbers(values: Any) -> np.ndarray:
    """A figure's array."""
    if isinstance(values, dict):
        shape = [int(part) for part in str(values.get("shape", "-1")).split(",")]
        return np.frombuffer(base64.b64decode(values["bdata"]), dtype=values["dtype"]).reshape(shape)
    return np.array(values, dtype=float)


def chart(app: AppTest, place: int) -> dict[str, Any]:
    """The figures in the order in which they stand on the page."""
    return json.loads(app.get("plotly_chart")[place].proto.spec)


def title(app: AppTest) -> str:
    """What stands over the right-hand map."""
    return next(text.value for text in app.markdown if text.value.startswith("**layer"))


def test_a_transformer_shows_all_heads_one_head_and_where_a_token_looks(
    runs: tuple[Path, dict[str, str]], home: Path
) -> None:
    app = open_page("attention", run="transformer", step="20", layer="1", head="1", text=TEXT)
    assert not app.error and not app.warning
    query = {name: asked(app, name) for name in ("run", "step", "layer", "head", "text")}
    assert query == {"run": runs[1]["transformer"], "step": "20", "layer": "1", "head": "1", "text": TEXT}
    overview, head_map, bars, influence = (chart(app, place) for place in range(4))
    heads = overview["data"][1]["customdata"]
    assert heads == [[0, 0], [0, 1], [1, 0], [1, 1]], "layers × heads"

    loaded = load_checkpoint_model(find_checkpoint(run_folder(open_workspace(home), query["run"]), 20).path)
    expected = attention_weights(loaded.model, loaded.tokenizer.encode(TEXT))[1, 1]
    shown = numbers(head_map["data"][0]["z"])
    np.testing.assert_allclose(np.nan_to_num(shown), expected, atol=1e-6)
    assert np.isnan(shown[np.triu_indices(len(TEXT), 1)]).all()
    np.testing.assert_allclose(numbers(bars["data"][1]["y"]), expected[-1], atol=1e-6)
    np.testing.assert_allclose(np.nansum(numbers(influence["data"][0]["z"]), axis=1), 1, atol=1e-4)
    assert re.fullmatch(r"\*\*layer 1 · head 1 · “looks at .*” \d\\\.\d\d \\\(chance \d\\\.\d\d\\\)\*\*", title(app))

    app.selectbox(key="layer").set_value(0)
    rerun(app)
    assert title(app).startswith("**layer 0 · head 1") and asked(app, "layer") == "0"
    app.select_slider(key="attention-step").set_value(40)
    rerun(app)
    assert asked(app, "step") == "40" and asked(app, "head") == "1"


@pytest.mark.parametrize("family", ["rnn", "gru", "lstm"])
def test_a_recurrent_network_shows_influence_and_units_that_can_be_chosen(family: str) -> None:
    app = open_page("attention", run=family, text=TEXT)
    assert not app.error and not app.warning
    assert asked(app, "layer") == "0"
    influence, _, units = (chart(app, place) for place in range(3))
    assert numbers(influence["data"][0]["z"]).shape == (len(TEXT), len(TEXT))
    assert len(units["data"][0]["y"]) == 16, "all that there are"
    states = numbers(units["data"][0]["z"])
    assert (np.diff(states.var(axis=1)) <= 1e-6).all(), "the most varied first"
    app.multiselect(key="units-0").set_value([3, 1])
    rerun(app)
    assert chart(app, 2)["data"][0]["y"] == ["unit 3", "unit 1"]
    app.selectbox(key="layer").set_value(1)
    rerun(app)
    assert asked(app, "layer") == "1" and len(chart(app, 2)["data"][0]["y"]) == 16


def test_every_link_carries_the_defaults_too() -> None:
    app = open_page("attention")
    for name in ("run", "step", "text", "layer"):
        assert asked(app, name)


@pytest.mark.parametrize(
    ("name", "value", "there_are"),
    [("step", "7", "20, 40"), ("layer", "2", "0, 1"), ("head", "x", "0, 1")],
)
def test_a_link_to_what_is_not_there_says_so_and_shows_nothing_else(name: str, value: str, there_are: str) -> None:
    app = open_page("attention", run="transformer", text=TEXT, **{name: value})
    assert f"{value}. There are: {there_are}" in app.warning[0].value.replace("\\", "")
    assert not app.get("plotly_chart")
    rerun(next(button for button in app.button if button.key and button.key.startswith("instead-")).click())
    assert not app.warning and app.get("plotly_chart")


def test_another_run_keeps_the_text_and_takes_its_own_checkpoint(runs: tuple[Path, dict[str, str]]) -> None:
    app = open_page("attention", run="transformer", step="20", text=TEXT)
    box = next(box for box in app.selectbox if box.label == "Run")
    rerun(box.set_value(runs[1]["lstm"]))
    assert not app.warning
    assert (asked(app, "run"), asked(app, "step"), asked(app, "text")) == (runs[1]["lstm"], "20", TEXT)


def test_texts_that_cannot_be_shown_are_met_with_a_plain_sentence() -> None:
    app = open_page("attention", run="transformer", text="thé")
    assert "é is not among them" in app.warning[0].value and not app.get("plotly_chart")
    rerun(app.button(key="leave-out-text").click())
    assert not app.warning and asked(app, "text") == "th"
    app.text_input(key="text").set_value("t")
    rerun(app)
    assert "too short to be looked at" in app.error[0].value and not app.get("plotly_chart")
    app.text_input(key="text").set_value("the " * CONTEXT)
    rerun(app)
    assert f"{CONTEXT} is as far as this model looks back" in app.warning[0].value and not app.get("plotly_chart")
    rerun(app.button(key="keep-first-text").click())
    assert not app.warning and not app.error
    assert app.text_input(key="text").value == ("the " * CONTEXT)[:CONTEXT] == asked(app, "text")


def test_a_long_text_is_shown_through_a_window_that_moves() -> None:
    text = "the statement is executed (or not) " * 2
    app = open_page("attention", run="transformer", text=text)
    assert len(chart(app, 1)["data"][0]["y"]) == 60
    app.slider(key="window-text").set_value(10)
    rerun(app)
    axis = chart(app, 1)["data"][0]["y"]
    assert "".join(axis).replace("\u200c", "").replace("·", " ") == text[10:70]
    assert any("lies outside of this window" in caption.value for caption in app.main.caption)


def test_an_example_fills_the_text() -> None:
    app = open_page("attention", run="bytes", text=TEXT)
    box = app.selectbox(key="example")
    example = box.options[-1]
    rerun(box.set_value(example))
    assert app.text_input(key="text").value == example == asked(app, "text")
    assert app.selectbox(key="example").value is None


@pytest.mark.parametrize("family", ["transformer", "lstm"])
def test_the_code_beside_it_runs(family: str) -> None:
    app = open_page("attention", run=family, text=TEXT)
    (python,) = (block.value for block in app.code)
    assert run_python(python).startswith("[[")
