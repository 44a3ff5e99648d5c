"""Train: the form follows the settings, the card follows the form, links, files and code lead to the same run."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from llm_core.cli.main import build_parser
from llm_core.cli.run_verbs import read_config
from llm_core.config.presets import preset
from llm_core.config.run import RunConfig, config_from_dict
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus
from llm_core.text.tokenizer_library import train_tokenizer
from llm_core.ui.launch import train_command, train_python
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.registry import Registry

MAIN = Path(__file__).resolve().parents[2] / "pages" / "main.py"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """One small text. The machine counts as busy, so that no page starts a measurement of its own."""
    monkeypatch.setenv("GLASSBOX_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("os.getloadavg", lambda: (1e9, 1e9, 1e9))
    workspace = open_workspace(tmp_path / "home")
    import_corpus(workspace, "the statement is executed " * 400, ImportOptions(name="letters", kind="paste"))
    return workspace


def open_train(**query: str | list[str]) -> AppTest:
    app = AppTest.from_file(str(MAIN), default_timeout=30)
    app.run()
    app.switch_page("train.py")
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception, app.exception
    return app


def widget(app: AppTest, kind: str, ending: str) -> Any:
    (found,) = (element for element in app.get(kind) if str(element.key).endswith(ending))
    return found


def texts(app: AppTest) -> str:
    kinds = ("caption", "markdown", "error", "warning")
    return "\n".join(element.value for kind in kinds for element in app.get(kind)).replace("\\", "")


def saved(app: AppTest) -> RunConfig:
    """The configuration that the code shown on the page makes."""
    return parsed(shown_command(app))


def shown_command(app: AppTest) -> str:
    return next(code.value for code in app.code if code.value.startswith("glassbox train"))


def parsed(command: str) -> RunConfig:
    return read_config(build_parser().parse_args(shlex.split(command)[1:]))


def test_the_page_opens_on_the_pocket_preset(workspace: Workspace) -> None:
    app = open_train()
    assert saved(app) == preset("pocket-gpt")
    assert [metric.label for metric in app.metric] == ["Parameters", "Memory", "Speed", "Time"]
    assert "busy with other work" in texts(app)
    assert "are a guess" in texts(app), "the built-in text has not been made yet"
    assert not widget(app, "button", "start").disabled
    assert app.query_params["preset"] in ("pocket-gpt", ["pocket-gpt"])


def test_another_family_has_its_own_settings_and_keeps_those_of_the_first(workspace: Workspace) -> None:
    app = open_train()
    widget(app, "number_input", "model.num_layers").set_value(2).run()
    widget(app, "button_group", "-kind").set_value("lstm").run()
    assert not app.exception
    assert saved(app).model.kind == "lstm"
    assert "--set model.kind=lstm" in shown_command(app)
    assert any("c_t" in block.value for block in app.get("latex")) or "the cell, which only the gates" in texts(app)
    assert not [element for element in app.number_input if str(element.key).endswith("model.num_heads")]
    widget(app, "button_group", "-kind").set_value("transformer").run()
    assert saved(app).model.num_layers == 2


def test_the_card_follows_the_form(workspace: Workspace) -> None:
    app = open_train(dataset="letters")
    before = app.metric[0].value
    widget(app, "number_input", "model.hidden_size").set_value(256).run()
    assert app.metric[0].value != before
    assert "tokens for each parameter" in texts(app) and "are a guess" not in texts(app)


def test_settings_that_do_not_fit_together_leave_the_page_usable(workspace: Workspace) -> None:
    app = open_train()
    widget(app, "number_input", "model.num_heads").set_value(3).run()
    assert not app.exception
    assert "cannot be cut into 3 heads" in texts(app)
    assert not [button for button in app.button if button.key == "start"]
    widget(app, "number_input", "model.num_heads").set_value(2).run()
    assert "cannot be cut" not in texts(app)
    assert saved(app).model.num_heads == 2


def test_a_run_needs_an_end(workspace: Workspace) -> None:
    app = open_train()
    widget(app, "button_group", "-budget").set_value([]).run()
    assert "the run has no end" in texts(app)
    widget(app, "button_group", "-budget").set_value(["training.max_minutes"]).run()
    training = saved(app).training
    assert (training.max_steps, training.max_minutes) == (None, 2.0)


def test_a_limit_of_tokens_is_seen_where_an_n_gram_is_counted(workspace: Workspace) -> None:
    app = open_train()
    widget(app, "button_group", "-budget").set_value(["training.max_tokens"]).run()
    widget(app, "number_input", "training.max_tokens").set_value(5_000).run()
    widget(app, "button_group", "-kind").set_value("ngram").run()
    assert not app.exception and "From the beginning of the text" in texts(app)
    assert saved(app).training.max_tokens == 5_000
    widget(app, "button_group", "-counted").set_value([]).run()
    assert not app.exception and "the run has no end" not in texts(app)
    assert saved(app).training.max_tokens is None


def test_every_setting_is_in_the_advanced_form_with_its_sentence(workspace: Workspace) -> None:
    app = open_train()
    widget(app, "toggle", "train-advanced").set_value(True).run()
    assert not app.exception
    shown = texts(app)
    for words in ("Pulls the matrices", "Small number that keeps the norms", "CPU threads", "Memory of the squared"):
        assert words in shown
    assert "SGD only" not in shown, "momentum belongs to another optimizer"
    widget(app, "selectbox", "optimizer.kind").set_value("sgd").run()
    assert "SGD only" in texts(app) and "Memory of the squared" not in texts(app)


def test_a_link_sets_text_tokenizer_and_settings(workspace: Workspace) -> None:
    app = open_train(dataset="letters", tokenizer="bpe:300", preset="pocket-lstm", set=["model.hidden_size=32"])
    config = saved(app)
    assert (config.data.dataset, config.data.tokenizer) == ("letters", "bpe:300")
    assert (config.model.kind, config.model.hidden_size) == ("lstm", 32)
    assert app.query_params["set"] in ("model.hidden_size=32", ["model.hidden_size=32"])


def test_the_page_is_left_and_come_to_again(workspace: Workspace) -> None:
    app = open_train(dataset="letters")
    widget(app, "number_input", "model.num_layers").set_value(3).run()
    app.switch_page("data.py").run()
    app.switch_page("train.py").run()
    assert saved(app).model.num_layers == 3, "nothing is lost"
    app.switch_page("data.py").run()
    app.switch_page("train.py")
    app.query_params["dataset"] = "python-reference"
    app.run()
    config = saved(app)
    assert (config.data.dataset, config.model.num_layers) == ("python-reference", 3), "a link changes what it names"


def test_a_browser_that_names_a_link_of_before_loses_nothing(workspace: Workspace) -> None:
    """Two quick changes: the second one still comes with the address from before the first."""
    app = open_train(dataset="letters")
    widget(app, "number_input", "model.num_layers").set_value(3).run()
    app.query_params.clear()
    app.query_params["dataset"] = "letters"
    widget(app, "number_input", "model.hidden_size").set_value(64).run()
    assert (saved(app).model.num_layers, saved(app).model.hidden_size) == (3, 64)
    app.query_params.clear()
    app.query_params["dataset"] = "letters"
    widget(app, "selectbox", "-preset").set_value("pocket-rnn").run()
    assert saved(app).model.kind == "rnn"
    assert saved(app).data.dataset == "letters", "a text of one's own stays"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"preset": "nothing"}, "There is no preset of this name"),
        ({"dataset": "nothing"}, "There is no such text"),
        ({"tokenizer": "nothing", "dataset": "letters"}, "There is no such tokenizer"),
        ({"tokenizer": "bpe:5", "dataset": "letters"}, "not possible for byte-level BPE"),
        ({"set": "model.num_layers=100000"}, "at most 200"),
    ],
)
def test_a_link_to_what_is_not_there_says_so_and_lists_what_is(
    workspace: Workspace, query: dict[str, str], words: str
) -> None:
    app = open_train(**query)
    assert words in texts(app)


def test_tokenizers_of_the_workspace_are_offered(workspace: Workspace) -> None:
    record = train_tokenizer(workspace, "letters", "bpe", 280, "my pieces")
    app = open_train(dataset="letters", tokenizer="my pieces")
    assert saved(app).data.tokenizer == "my pieces"
    assert f"my pieces · {record.vocabulary_size} entries" in widget(app, "selectbox", "data.tokenizer").options


def test_a_configuration_is_loaded_and_a_wrong_file_changes_nothing(workspace: Workspace) -> None:
    app = open_train()
    values = preset("pocket-rnn").model_copy(update={"name": "old name", "seed": 7}).model_dump(mode="json")
    widget(app, "file_uploader", "-file").upload("config.json", json.dumps(values).encode(), "application/json").run()
    assert not app.exception
    assert saved(app) == preset("pocket-rnn").model_copy(update={"seed": 7})
    widget(app, "file_uploader", "-file").upload("photo.png", b"\x89PNG", "image/png").run()
    assert not app.exception
    assert "not JSON" in texts(app)
    assert saved(app).seed == 7


def test_start_makes_one_run_and_opens_monitor(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLASSBOX_IDLE_SECONDS", "0.1")
    app = open_train(dataset="letters", preset="pocket-lstm", set=["training.max_steps=2", "model.hidden_size=8"])
    wanted = saved(app)
    app.text_input(key="train-name").set_value("mine").run()
    widget(app, "button", "start").click().run()
    assert [title.value for title in app.title] == ["Monitor"]
    with Registry(workspace) as registry:
        (record,) = registry.jobs("train")
    assert record.name == "mine"
    assert config_from_dict({**record.config, "name": ""}) == wanted


def test_a_viewer_cannot_start(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The buttons are a courtesy; the action itself asks for the role."""
    monkeypatch.setattr("llm_core.ui.guards.current_role", lambda: "viewer")
    app = open_train(dataset="letters")
    widget(app, "button", "start").click().run()
    assert "opens Glassbox for reading" in texts(app)
    with Registry(workspace) as registry:
        assert registry.jobs() == []


def test_a_viewer_reads_that_nobody_has_measured(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_core.ui.guards.current_role", lambda: "viewer")
    monkeypatch.setattr("llm_core.ui.train_card.measurement_of", lambda *_: "possible")
    assert "nobody has measured it on this machine yet" in texts(open_train(dataset="letters"))


@pytest.mark.parametrize("name", ["pocket-gpt", "gpt-124m", "lstm-wikitext"])
def test_the_shown_code_makes_exactly_this_run(name: str) -> None:
    config = config_from_dict(
        {
            **preset("pocket-rnn").model_dump(mode="json"),
            "data": {"dataset": "two words; $HOME 'quoted'", "tokenizer": "my pieces"},
            "training": {"max_steps": None, "max_minutes": 0.5, "sample_prompts": ['"To be"', "é"]},
        }
    )
    assert parsed(train_command(name, config)) == config
    python = train_python(name, config).replace(
        "run = submit_run(open_workspace(), config,", "print(config.model_dump_json());("
    )
    python = python.rsplit(";(", 1)[0]
    done = subprocess.run([sys.executable, "-c", python], capture_output=True, text=True, check=True)
    assert config_from_dict(json.loads(done.stdout)) == config
