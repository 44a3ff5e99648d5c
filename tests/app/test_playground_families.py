"""The Playground on real runs of the families beyond the causal networks: hidden tokens filled, sources answered, counts that write."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from llm_core.backend.inference_client import InferenceClient
from llm_core.backend.jobs import submit_run
from llm_core.backend.worker import run_in_foreground
from llm_core.config.errors import UserError
from llm_core.config.overrides import apply_overrides
from llm_core.config.run import RunConfig
from llm_core.config.timing import Timing
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.hidden_places import GAP, MASK
from llm_core.text.library import import_corpus
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.registry import Registry
from tests.app.code_beside import run_command, run_python
from tests.app.model_runs import asked, open_page, rerun
from tests.backend.support import wait_for
from tests.cli.support import call

WIDTH = ("model.hidden_size=16", "model.num_layers=1")
ATTENTION = (*WIDTH, "model.num_heads=2", "training.sample_tokens=8")
RUNS = {
    "encoder": ("model.kind=encoder", *ATTENTION),
    "gaps": ("model.kind=encoder-decoder", "objective.num_sentinels=8", *ATTENTION),
    "pairs": (
        *("model.kind=encoder-decoder", "objective.kind=sequence-to-sequence", *ATTENTION),
        *("data.dataset=synthetic-reversal", "data.context_length=24"),
    ),
    "ngram": ("model.kind=ngram", "model.order=4"),
    "mingru": ("model.kind=mingru", *WIDTH),
}
EVERY_RUN = (
    *("data.dataset=letters", "data.context_length=64", "training.batch_size=4", "training.max_steps=10"),
    *("training.eval_interval=5", "hardware.device=cpu", "hardware.num_threads=1"),
)
TEXT = "the statement is executed while the number of words is small\n\n"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    home = tmp_path_factory.mktemp("families") / "home"
    workspace = open_workspace(home)
    import_corpus(workspace, TEXT * 100, ImportOptions(name="letters", kind="paste"))
    ids: dict[str, str] = {}
    for name, changes in RUNS.items():
        config = apply_overrides(RunConfig(), [*EVERY_RUN, f"name={name}", *changes])
        record = submit_run(workspace, config, foreground=True)
        assert run_in_foreground(workspace, record.id, Timing()).state == "finished"
        ids[name] = record.id
    return home, ids


@pytest.fixture(autouse=True)
def home(runs: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GLASSBOX_HOME", str(runs[0]))
    monkeypatch.setenv("GLASSBOX_IDLE_SECONDS", "8")
    return runs[0]


def component(app: AppTest) -> dict[str, Any]:
    (element,) = app.main.get("bidi_component")
    return json.loads(element.proto.json)


def finished(home: Path, generation_id: str) -> dict[str, Any]:
    client = InferenceClient(open_workspace(home))
    wait_for("the text", lambda: client.poll_generation(generation_id)["state"] != "running")
    return client.poll_generation(generation_id)


def generate(app: AppTest) -> str:
    rerun(app.button(key="generate").click())
    assert not app.error, app.error[0].value
    return asked(app, "generation")


def text_box(app: AppTest) -> Any:
    (box,) = (area for area in app.text_area if area.key.startswith("prompt"))
    return box


def code(app: AppTest) -> tuple[str, str]:
    blocks = [block.value for block in app.code]
    command, python = (next(block for block in blocks if word in block) for word in ("glassbox ", "import"))
    return command, python


def heading(app: AppTest) -> list[str]:
    return [subheader.value for subheader in app.subheader]


def test_an_encoder_fills_what_is_hidden_and_has_no_settings_of_writing(home: Path) -> None:
    app = open_page("playground", run="encoder")
    first = text_box(app).value
    truth = next(block.value for block in app.code)
    assert MASK in first and truth in TEXT and all(piece in truth for piece in first.split(MASK))
    assert not app.slider and not app.number_input and not heading(app)
    text_box(app).set_value(f"the st{MASK}tement i{MASK} executed")
    rerun(app)
    view = component(app)
    filled = [token for token in view["tokens"] if "p" in token]
    assert len(filled) == 2 and view["presses"] and not view["generation"]
    for token in filled:
        shares = [other["p"] for other in token["alternatives"]]
        assert len(shares) == 10 and shares == sorted(shares, reverse=True) and shares[0] == token["p"]
        assert token["text"] == token["alternatives"][0]["text"]
    command, python = code(app)
    whole = "".join(token["text"] for token in view["tokens"])
    answer = run_command(command)
    assert answer.keys() == {"text", "places"} and answer["text"] == whole
    assert [place["position"] for place in answer["places"]] == [6, 15]
    told = answer["places"][0]["candidates"]
    assert [one["text"] for one in told] == [other["text"] for other in filled[0]["alternatives"]]
    assert [one["p"] for one in told] == pytest.approx([other["p"] for other in filled[0]["alternatives"]], abs=1e-6)
    assert told[0].keys() == {"token", "text", "p"}
    assert run_python(python).splitlines()[0] == whole


def test_nothing_hidden_and_unknown_letters_are_said(home: Path) -> None:
    app = open_page("playground", run="encoder", text="the statement")
    assert "Nothing is hidden yet" in " ".join(caption.value for caption in app.main.caption)
    assert [token["text"] for token in component(app)["tokens"]] == list("the statement")
    text_box(app).set_value(f"the ∞{MASK}")
    rerun(app)
    assert "∞ is not among them" in app.warning[0].value and app.button(key="fill").disabled
    rerun(app.button(key="leave-out-prompt-masked").click())
    assert text_box(app).value == f"the {MASK}" and not app.warning
    text_box(app).set_value(MASK + "t" * 80)
    rerun(app)
    assert "longer than the model's context" in app.error[0].value
    text_box(app).set_value("")
    rerun(app)
    assert not app.error and "Write a text" in " ".join(caption.value for caption in app.main.caption)


def test_gaps_are_filled_by_an_answer_that_names_them(home: Path) -> None:
    app = open_page("playground", run="gaps")
    first = text_box(app).value
    assert text_box(app).label == "What it reads" and 1 <= first.count(GAP) <= 8
    assert heading(app) == ["What the first gap may begin with"]
    text_box(app).set_value(f"the st{GAP}ment is {GAP}ted")
    app.number_input(key="sampling-max_tokens-0").set_value(30)
    app.number_input(key="sampling-seed-0").set_value(5)
    answer = finished(home, generate(app))
    view = component(app)
    assert view["source"] == ["the st", "ment is ", "ted"] and view["prompt"] == ""
    assert answer["state"] == "done" and answer["prompt_tokens"] == len("the st") + len("ment is ") + len("ted") + 3
    named = [token for token in answer["tokens"] if "gap" in token]
    assert all(token["text"] == f"⟨gap {token['gap']}⟩" for token in named)
    assert any(other["text"].startswith("⟨gap ") for token in answer["tokens"] for other in token["alternatives"])
    command, python = code(app)
    filled = run_command(command)["filled"]
    assert run_python(python) == filled + "\n" and filled.startswith("the st")
    again = open_page("playground", **{name: asked(app, name) for name in ("run", "text", "generation")})
    assert component(again) == view and text_box(again).value == f"the st{GAP}ment is {GAP}ted"
    text_box(app).set_value(GAP * 9)
    rerun(app)
    assert "more gaps than there are marks" in app.error[0].value


def test_a_source_of_a_pair_comes_with_its_true_answer(home: Path) -> None:
    app = open_page("playground", run="pairs")
    source = text_box(app).value
    assert source and GAP not in source and heading(app) == ["How the answer may begin"]
    truth = next(block.value for block in app.code)
    assert sorted(truth.replace(" ", "")) == sorted(source.replace(" ", "")) and truth != source
    app.number_input(key="sampling-max_tokens-0").set_value(100_000)
    app.slider(key="sampling-temperature-0").set_value(0.0)
    answer = finished(home, generate(app))
    assert component(app)["source"] == [source] and answer["finish"] in ("eos", "context")
    command, python = code(app)
    told = run_command(command)
    assert (told["text"], "filled" in told) == (answer["text"], False)
    assert run_python(python) == answer["text"] + "\n"
    text_box(app).set_value("")
    rerun(app)
    assert app.button(key="generate").disabled and not app.error


@pytest.mark.parametrize("family", ["ngram", "mingru"])
def test_counts_and_the_minimal_gru_go_on_like_any_causal_model(family: str, home: Path) -> None:
    app = open_page("playground", run=family)
    assert text_box(app).label == "Beginning" and text_box(app).value
    word = "order 4" if family == "ngram" else "step 10"
    assert app.selectbox(key="playground-step").options[0] == f"newest ({word})"
    text_box(app).set_value("the st")
    app.number_input(key="sampling-max_tokens-0").set_value(25)
    answer = finished(home, generate(app))
    assert (answer["state"], answer["new_tokens"], answer["finish"]) == ("done", 25, "length")
    (chart,) = app.get("plotly_chart")
    assert len(json.loads(chart.proto.spec)["data"]) == 2
    command, python = code(app)
    assert run_command(command)["text"] == answer["text"]
    assert run_python(python) == answer["text"] + "\n"
    if family == "ngram":
        assert component(app)["step"] == "order"
        assert InferenceClient(open_workspace(home)).score(run_id(home, "ngram"), None, TEXT.strip())["tokens"]


def run_id(home: Path, name: str) -> str:
    with Registry(open_workspace(home)) as registry:
        return registry.find(name).id


def test_each_kind_of_text_has_its_own_box(home: Path, runs: tuple[Path, dict[str, str]]) -> None:
    app = open_page("playground", run="ngram", text="the st")
    app.query_params["run"] = runs[1]["encoder"]
    rerun(app)
    assert MASK in text_box(app).value, "the beginning of before is no text with something hidden"
    app.query_params["run"] = runs[1]["ngram"]
    rerun(app)
    assert text_box(app).value == "the st"


@pytest.mark.parametrize(
    ("ask", "remedy"),
    [
        (lambda client, ids: client.fill(ids["ngram"], None, f"a{MASK}"), "glassbox generate"),
        (lambda client, ids: client.fill(ids["encoder"], None, "the"), MASK.replace("[", r"\[").replace("]", r"\]")),
        (lambda client, ids: client.score(ids["gaps"], None, "the statement"), "--prompt SOURCE"),
        (lambda client, ids: client.score(ids["encoder"], None, "the statement"), "glassbox fill RUN"),
    ],
)
def test_what_a_family_cannot_do_is_refused_with_what_it_can(
    ask: Callable[[InferenceClient, dict[str, str]], object],
    remedy: str,
    home: Path,
    runs: tuple[Path, dict[str, str]],
) -> None:
    with pytest.raises(UserError, match=remedy):
        ask(InferenceClient(open_workspace(home)), runs[1])


def test_generate_on_an_encoder_names_the_verb_that_works(home: Path) -> None:
    refused = call(dict(os.environ), "generate", "encoder", "--prompt", "the")
    assert refused.returncode != 0 and 'glassbox fill RUN --text "… [MASK] …"' in refused.stderr
