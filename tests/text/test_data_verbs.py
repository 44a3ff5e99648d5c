"""`glassbox data`: the command line says what the page says, leaves with 2 on wrong input and nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_core.cli.main import main
from llm_core.text.library import find_dataset, list_datasets
from llm_core.workspace.paths import Workspace
from tests.text.conftest import left_behind

TEXT = "A line that is there for the sake of its length.\n" * 60


def run(workspace: Workspace, *arguments: str) -> int:
    return main(["--workspace", str(workspace.root), "data", *arguments])


def test_a_file_is_added_listed_and_known_again(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "book.txt"
    path.write_text(TEXT, encoding="utf-8")
    assert run(workspace, "add", str(path), "--json") == 0
    first = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (first["name"], first["characters"], first["existing"], first["warnings"]) == ("book", len(TEXT), False, [])
    assert run(workspace, "add", str(path), "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["existing"] is True
    assert run(workspace, "list", "--json") == 0
    assert "book" in [row["name"] for row in json.loads(capsys.readouterr().out.splitlines()[-1])]


def test_every_option_of_cleaning_has_a_switch(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    path.write_bytes(("e\u0301one\r\n" * 20 + "===" + "two two two\r\n" * 20).encode())
    switches = ["--separator", "===", "--nfc", "--keep-line-ends", "--drop-repeated", "document"]
    assert run(workspace, "add", str(path), "--name", "mine", *switches) == 0
    record = find_dataset(workspace, "mine")
    assert record.documents == 2
    assert record.statistics is not None and record.statistics.line_ends_changed == 0
    assert record.options["cleaning"] == {
        "line_ends": False, "unicode_nfc": True, "duplicates": "document", "document_separator": "===",
    }  # fmt: skip


def test_a_text_shorter_than_the_usual_window_is_said_with_what_would_fit(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "short.txt"
    path.write_text("x" * 400, encoding="utf-8")
    assert run(workspace, "add", str(path)) == 0
    said = capsys.readouterr().out
    assert "too short for one window of 128 tokens" in said and "a context of at most 39" in said
    assert run(workspace, "add", str(path), "--name", "other", "--json") == 0
    (warning,) = json.loads(capsys.readouterr().out.splitlines()[-1])["warnings"]
    assert warning["value"] == "40 characters"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", "empty (0 bytes)"),
        ("a.txt", b"too short", "too short for one validation window"),
        ("a.txt", TEXT.encode("utf-16"), "iconv -f UTF-16LE"),
        ("a.txt", b"PK\x03\x04rest of it", "zip archive"),
        ("a.txt", b"\x80\x04rest of it", "pickle"),
        ("a.csv", b"id,body\n1,x\n", "columns: id, body"),
    ],
)
def test_wrong_input_ends_with_2_and_leaves_nothing(
    workspace: Workspace,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: bytes,
    message: str,
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert run(workspace, "add", str(path), "--column", "text" if name.endswith("csv") else "") == 2
    assert message in capsys.readouterr().err
    assert left_behind(workspace) == []


@pytest.mark.parametrize("name", ["../up", "a\0b", "x" * 300, " led by space", ""])
def test_a_bad_name_ends_with_2(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path = tmp_path / "book.txt"
    path.write_text(TEXT, encoding="utf-8")
    assert run(workspace, "add", str(path), "--name", name) == (2 if name else 0)
    assert ("name" in capsys.readouterr().err) is bool(name)
    assert len([record for record in list_datasets(workspace) if not record.builtin]) == (0 if name else 1)


@pytest.mark.parametrize("path", ["/nowhere/book.txt", "../../book.txt", "a\0b.txt", "/" + "x" * 300 + ".txt"])
def test_a_path_to_nothing_ends_with_2(workspace: Workspace, capsys: pytest.CaptureFixture[str], path: str) -> None:
    assert run(workspace, "add", path, "--name", "mine") == 2
    assert "file" in capsys.readouterr().err
    assert left_behind(workspace) == []


def test_the_hub_needs_a_name_of_its_own(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(workspace, "add", "not-a-name", "--hub") == 2
    assert "owner/name" in capsys.readouterr().err
    assert left_behind(workspace) == []
