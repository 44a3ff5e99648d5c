"""Notes and tags of a run: bounded, whole, one writer at a time, and harmless whatever another program wrote there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from llm_core.config.errors import Refused, UserError
from llm_core.workspace.run_notes import MAXIMUM_TAGS, MAXIMUM_TEXT_CHARACTERS, RunNotes, change_notes, read_notes

WRITE = """
import sys
from pathlib import Path
from llm_core.workspace.run_notes import change_notes
for number in range(10):
    change_notes(Path(sys.argv[1]), tag=[f"{sys.argv[2]}{number}"])
"""


def test_notes_are_kept_and_changed_by_what_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert read_notes(folder) == RunNotes() and not folder.exists()
    change_notes(folder, text="The first one\nthat learns", tag=["good", " paper ", "good"])
    assert read_notes(folder) == RunNotes("The first one\nthat learns", ("good", "paper"))
    assert change_notes(folder, tag=["later"], untag=["good"]).tags == ("paper", "later")
    with pytest.raises(Refused, match="Somebody else"):
        change_notes(folder, text="mine", seen="what I saw long ago")
    assert change_notes(folder, text="mine", seen="The first one\nthat learns").text == "mine"
    assert change_notes(folder, text="mine", seen="what I saw long ago").text == "mine", "the same text is no quarrel"
    assert sorted(path.name for path in folder.iterdir()) == ["notes.json", "notes.lock"]


@pytest.mark.parametrize(
    "change",
    [
        {"text": "x" * (MAXIMUM_TEXT_CHARACTERS + 1)},
        {"text": "turned \u202e round"},
        {"text": "a\0b"},
        {"tag": ["x" * 41]},
        {"tag": [""]},
        {"tag": ["a,b"]},
        {"tag": ["\u200bhidden"]},
        {"tag": [str(number) for number in range(MAXIMUM_TAGS + 1)]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_cannot_be_shown_or_is_too_much_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    change_notes(tmp_path, text="before", tag=["kept"])
    with pytest.raises(UserError):
        change_notes(tmp_path, **change)  # pyright: ignore[reportArgumentType]
    assert read_notes(tmp_path) == RunNotes("before", ("kept",))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("no json", RunNotes()),
        ('{"text": 5, "tags": "abc"}', RunNotes()),
        ('{"text": "a\\u0000b\\u202e", "tags": [1, "", "ok", "ok", "a,b", "\\u202e"]}', RunNotes("ab", ("ok",))),
        ('{"text": "' + "x" * 100_000 + '"}', RunNotes("x" * MAXIMUM_TEXT_CHARACTERS)),
    ],
)
def test_a_file_of_somebody_else_is_read_within_bounds(tmp_path: Path, content: str, expected: RunNotes) -> None:
    (tmp_path / "notes.json").write_text(content, encoding="utf-8")
    assert read_notes(tmp_path) == expected


def test_two_writers_lose_nothing(tmp_path: Path, start_python: Callable[..., Popen[str]]) -> None:
    children = [start_python(WRITE, tmp_path, name) for name in "ab"]
    for child in children:
        _, errors = child.communicate(timeout=60)
        assert child.returncode == 0, errors
    assert set(read_notes(tmp_path).tags) == {f"{name}{number}" for name in "ab" for number in range(10)}
