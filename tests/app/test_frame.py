"""The frame around every page: it runs first, shows the status, asks for the role; and the rules its files keep."""

from __future__ import annotations

import ast
import importlib.util
import sys
import tomllib
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from llm_core.text.uploads import LARGEST_UPLOAD_BYTES
from llm_core.workspace.metrics import MetricsWriter
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.process_identity import this_process
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import run_folder

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "pages"
# A page that says nothing but its name: the frame is tested here, the pages in test_pages.py.
PAGE = "import streamlit as st\nst.title('A page')\n"


@pytest.fixture
def frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The real frame around pages that say nothing, over an empty workspace."""
    monkeypatch.setenv("GLASSBOX_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("GLASSBOX_PASSWORD", raising=False)
    copy = tmp_path / "pages"
    copy.mkdir()
    for path in PAGES.glob("*.py"):
        text = path.read_text(encoding="utf-8") if path.name == "main.py" else PAGE
        (copy / path.name).write_text(text, encoding="utf-8")
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    return AppTest.from_file(str(copy / "main.py"), default_timeout=20)


def page_names() -> list[str]:
    return sorted(path.stem for path in PAGES.glob("*.py") if path.stem != "main" and not path.stem.startswith("_"))


@pytest.mark.parametrize("name", page_names())
def test_the_frame_is_around_every_page(frame: AppTest, name: str) -> None:
    frame.run()
    frame.switch_page(f"{name}.py").run()
    assert not frame.exception
    assert [title.value for title in frame.title] == ["A page"]
    captions = [caption.value for caption in frame.sidebar.caption]
    assert any("Nothing is running" in caption for caption in captions)
    assert any(caption.startswith(":material/folder:") for caption in captions)


def test_running_work_is_shown_with_its_share_and_a_link(frame: AppTest, tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path / "home")
    with Registry(workspace) as registry:
        registry.add("train", "bold *run*", {})
        record = registry.claim(this_process(), ["train"])
        assert record is not None and record.lease_token is not None
        registry.move(record.id, "running", token=record.lease_token)
        registry.add("train", "waiting", {})
    with MetricsWriter(run_folder(workspace, record.id), record.lease_token) as writer:
        writer.heartbeat({"step": 620, "max_steps": 1000, "eta_seconds": 31.2, "phase": "training"})
    frame.run()
    assert not frame.exception
    (link,) = (link for link in frame.sidebar.get("page_link"))
    assert link.proto.label == r"bold \*run\* · 62 % · 0:31 left"
    assert link.proto.query_string == f"run={record.id}"
    assert any("1 waiting in the queue" in caption.value for caption in frame.sidebar.caption)


def test_without_a_session_no_page_runs(frame: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLASSBOX_PASSWORD", "correct horse")
    # AppTest has no browser, and what it gives for a browser's cookies is a stand-in for anything; here there are none.
    monkeypatch.setattr("streamlit.runtime.context._get_client_context", lambda: None)
    frame.run()
    assert not frame.exception
    assert [title.value for title in frame.title] == ["Signed out"]
    assert not frame.sidebar.caption


def test_a_page_that_stands_open_goes_with_its_session(frame: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    roles = iter(["viewer", None, None])
    monkeypatch.setattr("llm_core.ui.guards.current_role", lambda: next(roles))
    frame.run()
    assert not frame.exception
    assert [title.value for title in frame.title] == ["Signed out"]


def test_an_error_for_people_is_shown_with_its_remedy(frame: AppTest, tmp_path: Path) -> None:
    text = "from llm_core.config.errors import Refused\nraise Refused('Not *now*', remedy='Wait')\n"
    (tmp_path / "pages" / "home.py").write_text(text, encoding="utf-8")
    frame.run()
    assert not frame.exception
    assert "Not" in frame.error[0].value and "Wait" in frame.error[0].value


def test_a_page_that_asks_for_a_role_refuses_a_session_without_one(
    frame: AppTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "from llm_core.ui.guards import current_role, may, require\nimport streamlit as st\n"
    text += 'require("start-run")\nst.title(f"{current_role()} {may(\'start-run\')}")\n'
    (tmp_path / "pages" / "home.py").write_text(text, encoding="utf-8")
    frame.run()
    assert [title.value for title in frame.title] == ["trainer True"]


def test_no_page_shadows_a_module() -> None:
    """During a script run pages/ comes first on sys.path, so a page named like a module would take its place."""
    sys_path = [entry for entry in sys.path if Path(entry).resolve() != PAGES]
    for name in page_names():
        assert name not in sys.stdlib_module_names
        assert importlib.machinery.PathFinder.find_spec(name, sys_path) is None, f"pages/{name}.py hides a module"


def test_every_page_is_in_the_navigation_at_its_address() -> None:
    tree = ast.parse((PAGES / "main.py").read_text(encoding="utf-8"))
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "st.Page":
            keywords = {keyword.arg: ast.literal_eval(keyword.value) for keyword in node.keywords}
            assert keywords["icon"].startswith(":material/") and keywords["title"] and keywords["help"]
            (file,) = (ast.literal_eval(argument) for argument in node.args)
            stem = file.removesuffix(".py")
            found[stem] = "" if keywords.get("default") else keywords["url_path"]
    assert sorted(found) == page_names()
    assert found == {stem: "" if stem == "home" else stem.replace("_", "-") for stem in found}


def test_the_door_is_a_literal_that_streamlit_finds() -> None:
    tree = ast.parse((ROOT / "app.py").read_text(encoding="utf-8"))
    assignments = [node for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "app"]
    assert len(assignments) == 1
    assert isinstance(assignments[0].value, ast.Call) and ast.unparse(assignments[0].value.func) == "st.App"
    modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    modules += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    allowed = (
        "llm_core.web",
        "llm_core.ui.streamlit_accounts",
        "llm_core.backend",
        "streamlit",
        "starlette",
        "pathlib",
    )
    assert all(module is not None and module.startswith(allowed) for module in modules), modules


def test_the_server_is_closed_and_quiet_by_default() -> None:
    config = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    assert config["server"]["address"] == "127.0.0.1"
    assert set(config["server"]["allowedHosts"]) == {"localhost", "127.0.0.1", "::1"}
    assert config["server"]["headless"] is True and config["server"]["showEmailPrompt"] is False
    assert config["client"] == {"toolbarMode": "minimal", "showErrorDetails": "none"}
    assert config["browser"]["gatherUsageStats"] is False
    assert config["global"]["minCachedMessageSize"] > 1e9, (
        "no message is sent as a reference to one the page may have dropped"
    )
    assert "enableAgentApi" not in config["server"] and "enableStaticServing" not in config["server"]
    assert {"light", "dark"} <= set(config["theme"]), "both, so that the toggle stays"
    assert not any("http" in str(value) for value in config["theme"].values()), "no font is fetched"


def test_every_uploader_has_a_limit() -> None:
    """Streamlit holds a file in memory; its limit binds all uploaders while a file arrives, the smaller ones are asked at the click."""
    config = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    assert config["server"]["maxUploadSize"] * 1_000_000 == LARGEST_UPLOAD_BYTES
    found = 0
    for path in [*PAGES.glob("*.py"), *(ROOT / "llm_core" / "ui").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("file_uploader"):
                has_own = any(keyword.arg == "max_upload_size" for keyword in node.keywords)
                assert has_own or "up to 200 MB" in ast.unparse(node.args[0]), f"{path.name}: say how much it takes"
                found += 1
    assert found == 4
