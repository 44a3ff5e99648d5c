"""The Playground on real runs of every family and the real inference process: texts, settings, links, what is not known."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from llm_core.backend.generation_files import FOLDER
from llm_core.backend.inference_client import InferenceClient
from llm_core.backend.jobs import stop_job, submit_run
from llm_core.workspace.checkpoints import list_checkpoints
from llm_core.workspace.locks import is_locked
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import run_folder
from tests.app.code_beside import run_command, run_python
from tests.app.model_runs import asked, open_page, rerun, train_each_family
from tests.backend.support import FAMILIES, FAST, tiny, wait_for


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    home = tmp_path_factory.mktemp("playground") / "home"
    return home, train_each_family(home)


@pytest.fixture(autouse=True)
def home(runs: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GLASSBOX_HOME", str(runs[0]))
    monkeypatch.setenv("GLASSBOX_IDLE_SECONDS", "8")
    return runs[0]


def component(app: AppTest) -> dict[str, Any]:
    """What the token view was handed; empty when it is not there."""
    elements = app.main.get("bidi_component")
    return json.loads(elements[0].proto.json) if elements else {}


def finished(home: Path, generation_id: str) -> dict[str, Any]:
    client = InferenceClient(open_workspace(home))
    wait_for("the text", lambda: client.poll_generation(generation_id)["state"] != "running")
    return client.poll_generation(generation_id)


def generate(app: AppTest) -> str:
    rerun(app.button(key="generate").click())
    assert not app.error, app.error[0].value
    return asked(app, "generation")


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_writes_and_a_link_brings_the_text_back(family: str, home: Path) -> None:
    app = open_page("playground", run=family)
    assert component(app) == {}
    app.number_input(key="sampling-max_tokens-0").set_value(12)
    app.text_area(key="prompt").set_value("the st")
    generation_id = generate(app)
    assert component(app)["generation"] == generation_id and component(app)["prompt"] == "the st"
    answer = finished(home, generation_id)
    assert (answer["state"], answer["new_tokens"], answer["step"]) == ("done", 12, 40)
    for token in answer["tokens"]:
        assert len(token["alternatives"]) == 10 and sum(other["p"] for other in token["alternatives"]) <= 1 + 1e-9

    app.slider(key="sampling-temperature-0").set_value(1.5)
    rerun(app)
    assert component(app)["generation"] == generation_id, "a slider loses no text"
    app.switch_page("monitor.py")
    rerun(app)
    app.switch_page("playground.py")
    rerun(app)
    assert component(app)["generation"] == generation_id, "nor does another page"
    assert app.text_area(key="prompt").value == "the st"
    assert app.slider(key="sampling-temperature-0").value == 1.5
    query = {name: asked(app, name) for name in ("run", "step", "text", "generation")}
    assert (query["step"], query["text"]) == ("newest", "the st")
    again = open_page("playground", **query)
    assert component(again) == component(app)
    assert again.text_area(key="prompt").value == "the st"
    assert again.number_input(key="sampling-max_tokens-0").value == 12, "the settings come back with the text"


def test_settings_have_a_way_back_and_move_the_picture() -> None:
    app = open_page("playground", run="transformer", text="the st")

    def shown() -> list[Any]:
        (chart,) = app.get("plotly_chart")
        return json.loads(chart.proto.spec)["data"][1]["y"]

    before = shown()
    assert not [button for button in app.button if button.key and button.key.startswith("reset-")]
    app.slider(key="sampling-temperature-0").set_value(0.0)
    app.number_input(key="sampling-top_k-0").set_value(3)
    rerun(app)
    assert shown() != before
    rerun(app.button(key="reset-temperature").click())
    rerun(app.button(key="reset-top_k").click())
    assert app.slider(key="sampling-temperature-1").value == 0.8
    assert shown() == before
    captions = " ".join(caption.value for caption in app.main.caption)
    for sentence in ("takes the likeliest token", "likely than this share", "already occurred", "draws a new one"):
        assert sentence in captions


def test_the_same_seed_writes_the_same_and_the_code_beside_it_too(home: Path) -> None:
    app = open_page("playground", run="lstm", text="the st")
    app.number_input(key="sampling-max_tokens-0").set_value(15)
    first = finished(home, generate(app))
    code = [block.value for block in app.code]
    command, python = (next(block for block in code if word in block) for word in ("glassbox generate", "import"))
    assert f"--seed={first['seed']}" in command and f"seed={first['seed']}" in python
    app.number_input(key="sampling-seed-0").set_value(first["seed"])
    assert finished(home, generate(app))["text"] == first["text"]
    assert run_python(python) == first["text"] + "\n"
    assert run_command(command)["text"] == first["text"]


def test_what_the_tokenizer_does_not_know_is_said_with_choices(runs: tuple[Path, dict[str, str]]) -> None:
    app = open_page("playground", run="lstm", text="thé st你")
    (warning,) = (warning.value for warning in app.warning)
    assert "This model knows" in warning and "é and 你 are not among them" in warning
    assert app.button(key="generate").disabled
    rerun(app.button(key="leave-out-prompt").click())
    assert app.text_area(key="prompt").value == "th st" and not app.warning
    assert not app.button(key="generate").disabled
    app.text_area(key="prompt").set_value("thé st你")
    rerun(app)
    rerun(app.button(key="other-run-prompt").click())
    assert asked(app, "run") == runs[1]["bytes"]
    assert not app.warning and app.text_area(key="prompt").value == "thé st你"


def test_a_run_that_is_still_training_is_talked_to_at_its_newest_checkpoint(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in FAST.items():
        monkeypatch.setenv(name, value)
    workspace = open_workspace(home)
    changes = ("name=living", "training.max_steps=100000", "training.checkpoint_interval=20")
    record = submit_run(workspace, tiny("gru", *changes))
    wait_for("two checkpoints", lambda: len(list_checkpoints(run_folder(workspace, record.id))) >= 2)
    app = open_page("playground", run="living", text="the st")
    app.number_input(key="sampling-max_tokens-0").set_value(5)
    answer = finished(home, generate(app))
    with Registry(workspace) as registry:
        assert registry.get(record.id).state == "running"
        stop_job(workspace, record.id, author="test")
        wait_for("the end", lambda: registry.get(record.id).is_final)
    assert (
        answer["state"] == "done"
        and 20 <= answer["step"] <= list_checkpoints(run_folder(workspace, record.id))[-1].step
    )


def test_links_to_what_is_not_there_say_so() -> None:
    app = open_page("playground", run="lstm", step="7")
    assert "There is no checkpoint at step 7" in app.warning[0].value and "20, 40" in app.warning[0].value
    assert not app.text_area
    rerun(app.button(key="instead-playground-step").click())
    assert not app.warning and app.text_area
    app = open_page("playground", run="lstm", step="20", generation="0123456789abcdef")
    assert "no longer kept" in app.info[0].value and app.selectbox(key="playground-step").value == 20


def test_a_text_whose_process_died_says_so_and_keeps_the_beginning(home: Path) -> None:
    workspace = open_workspace(home)
    client = InferenceClient(workspace)
    app = open_page("playground", run="lstm", text="the st")
    app.number_input(key="sampling-max_tokens-0").set_value(100_000)
    generation_id = generate(app)
    wait_for("some text", lambda: client.poll_generation(generation_id)["new_tokens"] > 5)
    os.kill(client.request("ping")["pid"], signal.SIGKILL)
    wait_for("its end", lambda: not is_locked(workspace.inference_lock))
    answer = client.poll_generation(generation_id)
    assert answer["state"] == "failed" and "ended before the text was complete" in answer["error"]
    assert answer["new_tokens"] > 5
    again = open_page("playground", run="lstm", generation=generation_id)
    assert again.text_area(key="prompt").value == "the st"
    assert component(again)["generation"] == generation_id
    assert (home / FOLDER / f"{generation_id}.jsonl").stat().st_size > 0
