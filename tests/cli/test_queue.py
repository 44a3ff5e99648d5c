"""`glassbox queue`: the order is listed and changed, a run that waits is edited; what is asked wrongly changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_core.cli.main import main
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.process_identity import this_process
from llm_core.workspace.registry import Registry
from tests.backend.support import tiny


def test_the_queue_is_listed_reordered_and_edited(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = open_workspace(tmp_path / "home")
    import_corpus(workspace, "a short text to learn from " * 200, ImportOptions(name="letters", kind="paste"))

    def queue(*arguments: str, status: int = 0) -> str:
        assert main(["--workspace", str(workspace.root), "queue", *arguments]) == status
        said = capsys.readouterr()
        return said.out + said.err

    def order() -> list[str]:
        return [run["name"] for run in json.loads(queue("--json"))]

    assert queue() == "Nothing waits.\n"
    with Registry(workspace) as registry:
        for name in ("one", "two", "three"):
            registry.add("train", name, tiny("lstm", f"name={name}").model_dump(mode="json"))
    assert [line.split()[:2] for line in queue().splitlines()[1:]] == [["1", "one"], ["2", "two"], ["3", "three"]]
    assert "lstm" in queue() and "letters" in queue()
    queue("three", "--first")
    assert order() == ["three", "one", "two"]
    queue("three", "--last")
    queue("two", "--before", "one")
    assert order() == ["two", "one", "three"]
    queue("one", "--set", "training.max_steps=7", "--set", "name=uno", "--first")
    assert order() == ["uno", "two", "three"]
    with Registry(workspace) as registry:
        assert registry.find("uno").config["training"]["max_steps"] == 7
        registry.claim(this_process(), ["train"])
    for arguments, said in (
        (["two"], "Say what to do"),
        (["--first"], "Say which run"),
        (["two", "--before", "nobody"], "no run with this id or name"),
        (["uno", "--first"], "does not wait in the queue any more"),
        (["uno", "--set", "training.max_steps=8"], "does not wait in the queue any more"),
        (["two", "--set", "training.max_steps=-1"], "training.max_steps"),
    ):
        assert said in queue(*arguments, status=2)
    assert order() == ["two", "three"]
