"""The queue on Home: its order is shown and changed, a waiting run is opened on Train and given back, thirty are no problem."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from llm_core.config.overrides import apply_overrides
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus
from llm_core.ui.queue_view import CANCEL, DOWN, EDIT, FIRST, SHOWN_RUNS, UP
from llm_core.web.access_policy import AccessPolicy
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.process_identity import this_process
from llm_core.workspace.registry import Registry
from tests.backend.support import tiny

MAIN = Path(__file__).resolve().parents[2] / "pages" / "main.py"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """One small text; the machine counts as busy, so that Train starts no measurement."""
    monkeypatch.setenv("GLASSBOX_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("os.getloadavg", lambda: (1e9, 1e9, 1e9))
    workspace = open_workspace(tmp_path / "home")
    import_corpus(workspace, "the statement is executed " * 400, ImportOptions(name="letters", kind="paste"))
    return workspace


def add(workspace: Workspace, *names: str) -> list[str]:
    with Registry(workspace) as registry:
        return [registry.add("train", name, tiny("lstm", f"name={name}").model_dump(mode="json")).id for name in names]


def order(workspace: Workspace) -> list[str]:
    with Registry(workspace) as registry:
        return [record.name for record in registry.queue()]


def open_home() -> AppTest:
    app = AppTest.from_file(str(MAIN), default_timeout=30).run()
    assert not app.exception, app.exception
    return app


def texts(app: AppTest) -> str:
    kinds = ("caption", "markdown", "info", "error")
    return "\n".join(element.value for kind in kinds for element in app.main.get(kind)).replace("\\", "")


def menu(app: AppTest, run_id: str) -> Any:
    (found,) = (element for element in app.menu_button if element.key == f"change-waiting-{run_id}")
    return found


def test_the_order_is_shown_and_changed_and_a_run_taken_out(workspace: Workspace) -> None:
    a, b, c = add(workspace, "a", "*b*", "c")
    app = open_home()
    assert "3 runs wait in the queue" in texts(app) and "Nothing is running" in texts(app)
    assert [part in texts(app) for part in ("1. **a**", "2. ***b***", "LSTM on letters")] == [True, True, True]
    assert [menu(app, run_id).options for run_id in (a, b, c)] == [
        [DOWN, EDIT, CANCEL],
        [FIRST, UP, DOWN, EDIT, CANCEL],
        [FIRST, UP, EDIT, CANCEL],
    ]
    menu(app, c).click(FIRST).run()
    assert order(workspace) == ["c", "a", "*b*"]
    menu(app, b).click(UP).run()
    assert order(workspace) == ["c", "*b*", "a"]
    menu(app, c).click(DOWN).run()
    menu(app, c).click(DOWN).run()
    assert order(workspace) == ["*b*", "a", "c"]
    menu(app, a).click(CANCEL).run()
    assert order(workspace) == ["*b*", "c"] and "2 runs wait" in texts(app)
    with Registry(workspace) as registry:
        registry.claim(this_process(), ["train"], b)
    assert "1 run waits" in texts(app.run()), "what has begun leaves the list"
    assert menu(app, c).options == [EDIT, CANCEL]


def test_a_waiting_run_is_changed_on_train_and_keeps_its_place(workspace: Workspace) -> None:
    first, _ = add(workspace, "first", "second")
    app = open_home()
    menu(app, first).click(EDIT).run()
    assert not app.exception, app.exception
    assert [title.value for title in app.title] == ["Train"]
    assert "You are changing first, which waits in the queue." in texts(app)
    assert app.query_params["edit"] in (first, [first]) and "start" not in {button.key for button in app.button}
    app.text_input(key=f"train-name-{first}").set_value("renamed").run()
    (rows,) = (element for element in app.number_input if str(element.key).endswith("training.batch_size"))
    rows.set_value(8).run()
    app.button(key="save-waiting").click().run()
    assert [title.value for title in app.title] == ["Runs"]
    assert order(workspace) == ["renamed", "second"]
    with Registry(workspace) as registry:
        config = registry.get(first).config
    assert config["training"]["batch_size"] == 8
    expected = apply_overrides(tiny("lstm"), ["name=renamed", "training.batch_size=8"])
    assert config == expected.model_dump(mode="json"), "nothing else has changed"
    app.switch_page("train.py").run()
    assert "You are changing" not in texts(app) and "start" in {button.key for button in app.button}


def test_a_link_to_a_run_that_has_begun_makes_a_new_one_of_its_settings(workspace: Workspace) -> None:
    (run_id,) = add(workspace, "gone")
    with Registry(workspace) as registry:
        registry.claim(this_process(), ["train"], run_id)
    app = AppTest.from_file(str(MAIN), default_timeout=30).run()
    app.switch_page("train.py")
    app.query_params["edit"] = run_id
    app.query_params["preset"] = "pocket-lstm"
    app.run()
    assert "does not wait in the queue any more" in texts(app)
    assert {"start"} <= {button.key for button in app.button}


def test_thirty_runs_are_shown_when_asked_for_and_a_viewer_changes_none(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(workspace, *(f"run {number}" for number in range(30)))
    app = open_home()
    assert "30 runs wait in the queue" in texts(app)
    assert len([button for button in app.menu_button if str(button.key).startswith("change-waiting")]) == SHOWN_RUNS
    app.toggle(key="queue-shows-all").set_value(True).run()
    assert len([button for button in app.menu_button if str(button.key).startswith("change-waiting")]) == 30
    monkeypatch.setattr(AccessPolicy, "role_of", lambda *_: "viewer")
    app.run()
    assert "30. **run 29**" in texts(app)
    assert not [button for button in app.menu_button if str(button.key).startswith("change-waiting")]
