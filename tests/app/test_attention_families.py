"""The Attention page on real runs of the families that look to both sides, of pairs, of counts and of the minimal GRU."""

from __future__ import annotations

import base64
import html
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from llm_core.backend.jobs import submit_run
from llm_core.backend.worker import run_in_foreground
from llm_core.config.overrides import apply_overrides
from llm_core.config.run import RunConfig
from llm_core.config.timing import Timing
from llm_core.generation.opening import OpenedModel, open_model
from llm_core.inspection.attention import attention_weights
from llm_core.inspection.influence import answer_influence_map
from llm_core.inspection.reading import read_text
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus
from llm_core.workspace.checkpoints import find_checkpoint
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.runs import run_folder
from tests.app.code_beside import run_python
from tests.app.model_runs import asked, open_page, rerun

WIDTH = ("model.hidden_size=16", "model.num_layers=2")
ATTENTION = (*WIDTH, "model.num_heads=2", "training.sample_tokens=8")
RUNS = {
    "encoder": ("model.kind=encoder", *ATTENTION, "model.window=8", "model.global_every=2"),
    "span": ("model.kind=encoder-decoder", *ATTENTION, "model.num_decoder_layers=3"),
    "pairs": (
        *(
            "model.kind=encoder-decoder",
            "objective.kind=sequence-to-sequence",
            *ATTENTION,
            "model.num_decoder_layers=3",
        ),
        *("data.dataset=synthetic-reversal", "data.context_length=16"),
    ),
    "ngram": ("model.kind=ngram", "model.order=3"),
    "mingru": ("model.kind=mingru", *WIDTH),
}
EVERY_RUN = (
    *("data.dataset=letters", "data.context_length=48", "training.batch_size=4", "training.max_steps=20"),
    *("training.eval_interval=10", "hardware.device=cpu", "hardware.num_threads=1"),
)
TEXT = "the statement is"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    home = tmp_path_factory.mktemp("families") / "home"
    workspace = open_workspace(home)
    import_corpus(workspace, "the statement is executed (or not)\n" * 120, ImportOptions(name="letters", kind="paste"))
    ids: dict[str, str] = {}
    for name, changes in RUNS.items():
        config = apply_overrides(RunConfig(), [*EVERY_RUN, *changes, f"name={name}"])
        record = submit_run(workspace, config, foreground=True)
        assert run_in_foreground(workspace, record.id, Timing()).state == "finished"
        ids[name] = record.id
    return home, ids


@pytest.fixture(autouse=True)
def home(runs: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GLASSBOX_HOME", str(runs[0]))
    monkeypatch.setenv("GLASSBOX_IDLE_SECONDS", "8")
    return runs[0]


def opened(runs: tuple[Path, dict[str, str]], name: str) -> OpenedModel:
    return open_model(find_checkpoint(run_folder(open_workspace(runs[0]), runs[1][name]), None).path)


def drawn(app: AppTest, place: int) -> np.ndarray:
    """What the map at this place on the page shows; NaN where nothing can be seen."""
    values = json.loads(app.get("plotly_chart")[place].proto.spec)["data"][0]["z"]
    shape = [int(part) for part in values["shape"].split(",")]
    return np.frombuffer(base64.b64decode(values["bdata"]), dtype=values["dtype"]).reshape(shape)


def axes(app: AppTest, place: int) -> tuple[list[str], list[str]]:
    """Rows and columns of a map, without the marks that keep repeats apart."""
    data: dict[str, Any] = json.loads(app.get("plotly_chart")[place].proto.spec)["data"][0]
    rows, columns = ([html.unescape(label.rstrip("\u200c")) for label in data[axis]] for axis in ("y", "x"))
    return rows, columns


def words(app: AppTest) -> str:
    return " ".join(text.value for text in (*app.markdown, *app.caption))


def test_an_encoder_looks_to_both_sides_and_through_windows(runs: tuple[Path, dict[str, str]]) -> None:
    app = open_page("attention", run="encoder", text="the [MASK]tatement is", layer="0", head="1")
    assert not app.error and not app.warning
    model = opened(runs, "encoder")
    tokens = read_text(model, "the [MASK]tatement is", longest=48).tokens
    expected_LHTT = attention_weights(model.require_network(), tokens)
    np.testing.assert_allclose(drawn(app, 1), expected_LHTT[0, 1], atol=1e-6)
    rows, columns = axes(app, 1)
    assert rows == columns and rows[4] == "[MASK]" and len(rows) == len(TEXT)
    assert "to both sides, at the whole text" in words(app) and "answer" not in [field.key for field in app.text_input]
    influence = drawn(app, 3)
    assert np.isnan(np.diag(influence)).all() and np.isfinite(influence[0, -1])

    app.selectbox(key="layer").set_value(1)
    rerun(app)
    distance = np.abs(np.subtract.outer(np.arange(16), np.arange(16)))
    np.testing.assert_array_equal(np.isnan(drawn(app, 1)), distance > 4)
    assert "at most 4 tokens far: this layer is local" in words(app)
    title = next(text.value for text in app.markdown if text.value.startswith("**layer"))
    assert re.match(r"\*\*layer 1 · head 1 · “looks at .*” \d", title)


def test_no_word_about_causality_is_said_of_an_encoder() -> None:
    app = open_page("attention", run="encoder", text=TEXT)
    assert not re.search("causal|later|earlier", words(app))
    app.text_input(key="text").set_value("the st[MASK]t%ment")
    rerun(app)
    assert "%" in app.warning[0].value
    rerun(app.button(key="leave-out-text").click())
    assert asked(app, "text") == "the st[MASK]tment" and not app.warning
    app.text_input(key="text").set_value("[MASK]" * 50)
    rerun(app)
    assert "This text has 50 tokens; 48 is as much as this model sees" in app.warning[0].value
    rerun(app.button(key="keep-first-text").click())
    assert asked(app, "text") == "[MASK]" * 48 and not app.warning and not app.error


def test_three_attentions_of_a_pair_with_the_models_own_answer(runs: tuple[Path, dict[str, str]]) -> None:
    app = open_page("attention", run="pairs", text="abcd", layer="2", head="1")
    assert not app.error and not app.warning
    assert (asked(app, "part"), asked(app, "answer")) == ("cross", "")
    model = opened(runs, "pairs")
    reading = read_text(model, "abcd", longest=512)
    field = app.text_input(key="answer")
    assert field.value == "" and field.placeholder == (reading.answer or "nothing: the model ends at once")
    names = [model.tokenizer.token_text(token) for token in reading.tokens]
    assert axes(app, 1) == (names, ["a", "b", "c", "d", model.tokenizer.token_text(model.vocabulary.end_token or 0)])
    expected_LHTS = attention_weights(model.require_network(), reading.tokens, source=reading.source, part="cross")
    np.testing.assert_allclose(drawn(app, 1), expected_LHTS[2, 1], atol=1e-6)

    app.segmented_control(key="part").set_value("decoder")
    rerun(app)
    assert asked(app, "part") == "decoder" and asked(app, "layer") == "2"
    assert axes(app, 1) == (names, names)
    if len(names) > 1:
        assert np.isnan(drawn(app, 1)[0, 1])
    app.segmented_control(key="part").set_value("encoder")
    rerun(app)
    assert asked(app, "layer") == "0", "the encoder has two layers"
    assert drawn(app, 1).shape == (5, 5) and np.isfinite(drawn(app, 1)).all()


def test_a_typed_answer_is_looked_at_and_stays_in_the_link(runs: tuple[Path, dict[str, str]]) -> None:
    app = open_page("attention", run="pairs", text="abcd", answer="dcba", part="cross")
    model = opened(runs, "pairs")
    reading = read_text(model, "abcd", "dcba", longest=512)
    assert axes(app, 1)[0] == ["⟨start⟩", "d", "c", "b", "a"]
    influence = drawn(app, 3)
    assert influence.shape == (5, 5 + 5)
    expected = answer_influence_map(model.require_network(), reading.source or [], reading.tokens)
    np.testing.assert_allclose(np.nan_to_num(influence), expected, atol=1e-5)
    assert "Empty the field" in words(app)
    app.text_input(key="answer").set_value("d!")
    rerun(app)
    assert "! is not among them" in app.warning[0].value.replace("\\", "")
    rerun(app.button(key="leave-out-answer").click())
    assert asked(app, "answer") == "d" and len(axes(app, 1)[0]) == 2
    app.text_input(key="answer").set_value("abc" * 10)
    rerun(app)
    assert "answer is too long" in app.error[0].value


def test_gaps_are_marks_on_both_sides() -> None:
    app = open_page("attention", run="span", text="the [GAP] is [GAP]", answer="[GAP]state[GAP]not", part="cross")
    assert not app.error and not app.warning
    rows, columns = axes(app, 1)
    assert rows[:2] == ["⟨start⟩", "⟨gap·1⟩"] and rows[7] == "⟨gap·2⟩"
    assert columns[4] == "⟨gap·1⟩" and columns[-2] == "⟨gap·2⟩"
    rerun(app.text_input(key="answer").set_value(""))
    assert not app.error and "The model's own answer" in words(app)


def test_a_link_to_an_attention_that_is_not_there_says_so() -> None:
    app = open_page("attention", run="pairs", text="abcd", part="sideways")
    assert "There are: encoder, decoder, cross" in app.warning[0].value.replace("\\", "")
    assert not app.get("plotly_chart")


def test_another_run_takes_its_own_attention(runs: tuple[Path, dict[str, str]]) -> None:
    app = open_page("attention", run="span", text=TEXT, part="decoder", layer="2")
    box = next(box for box in app.selectbox if box.label == "Run")
    rerun(box.set_value(runs[1]["encoder"]))
    assert not app.warning and not app.error
    assert "part" not in app.query_params and asked(app, "layer") == "0"


def test_counts_have_nothing_inside_and_the_page_says_what_to_do() -> None:
    app = open_page("attention", run="ngram")
    assert not app.error and not app.warning and not app.get("plotly_chart")
    assert "no attention and no hidden units" in words(app)
    assert [link.proto.label for link in app.get("page_link")][-1] == "See them in the Playground"


def test_a_minimal_gru_shows_influence_units_and_gates() -> None:
    app = open_page("attention", run="mingru", text=TEXT, layer="1")
    assert not app.error and not app.warning
    assert np.isnan(drawn(app, 0)[0, 1])
    assert drawn(app, 2).shape == (16, len(TEXT))
    rerun(app.segmented_control(key="units").set_value("z"))
    assert asked(app, "units") == "z"
    gate = drawn(app, 2)
    assert 0 <= gate.min() <= gate.max() <= 1


@pytest.mark.parametrize("run", ["encoder", "pairs"])
def test_the_code_beside_it_runs(run: str) -> None:
    app = open_page("attention", run=run, text="the statement is" if run == "encoder" else "abcd")
    (python,) = (block.value for block in app.code)
    assert run_python(python).startswith("[[")
