"""What is left of a page's messages when a part of it begins anew before they were sent still makes a page.

The queue is Streamlit's own; the browser is stood in for by its rule that an element's place must be there or be the next one.
"""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.local_script_runner import LocalScriptRunner

from llm_core.backend.jobs import submit_run
from llm_core.backend.worker import run_in_foreground
from llm_core.config.timing import Timing
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus
from llm_core.workspace.paths import open_workspace
from tests.backend.support import tiny

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("home", "data", "tokenizer", "train", "monitor", "runs", "attention", "playground")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("refreshing") / "home"
    workspace = open_workspace(home)
    import_corpus(workspace, "the statement is executed " * 200, ImportOptions(name="letters", kind="paste"))
    record = submit_run(workspace, tiny("lstm", "name=done", "training.max_steps=4"), foreground=True)
    assert run_in_foreground(workspace, record.id, Timing()).state == "finished"
    return home


def messages_of(page: str, monkeypatch: pytest.MonkeyPatch) -> list[ForwardMsg]:
    """All that one run of the page sends."""
    sent: list[list[ForwardMsg]] = []
    forward_msgs = LocalScriptRunner.forward_msgs

    def recorded(self: LocalScriptRunner) -> list[ForwardMsg]:
        sent.append(forward_msgs(self))
        return sent[-1]

    monkeypatch.setattr(LocalScriptRunner, "forward_msgs", recorded)
    app = AppTest.from_file(str(ROOT / "pages" / "main.py"), default_timeout=60).run()
    app.switch_page(f"{page}.py").run()
    assert not app.exception, app.exception
    return sent[-1]


def misplaced(messages: list[ForwardMsg]) -> str:
    """The first element whose place is not there, as the browser would say; empty for a page that can be drawn."""
    roots: dict[int, dict[Any, Any]] = {place: {} for place in range(4)}  # main, sidebar, event, bottom
    for message in messages:
        if message.WhichOneof("type") != "delta":
            continue
        path, block = list(message.metadata.delta_path), roots
        for place in path[:-1]:
            if place not in block:
                return f"nothing at {path}"
            block = block[place]
        if path[-1] > len(block):
            return f"index {path[-1]} of {path} (should be between 0 and {len(block)})"
        block.setdefault(path[-1], {})
    return ""


@pytest.mark.parametrize("page", PAGES)
def test_a_part_that_begins_anew_takes_no_place_away(page: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLASSBOX_HOME", str(home))
    messages = messages_of(page, monkeypatch)
    parts = sorted({message.delta.fragment_id for message in messages if message.WhichOneof("type") == "delta"} - {""})
    assert parts, "the frame alone has one"
    for count in range(len(parts) + 1):
        for anew in combinations(parts, count):
            queue = ForwardMsgQueue()
            for message in messages:
                queue.enqueue(message)
            queue.clear(retain_lifecycle_msgs=True, fragment_ids_this_run=list(anew))
            assert misplaced(queue.flush()) == ""


def test_parts_are_made_in_one_place() -> None:
    """Where each gets a place of its own."""
    sources = [*(ROOT / "llm_core").rglob("*.py"), *(ROOT / "pages").glob("*.py")]
    found = {path.name for path in sources if re.search(r"\bst\.fragment\b|import fragment", path.read_text("utf-8"))}
    assert found == {"refreshing.py"}
