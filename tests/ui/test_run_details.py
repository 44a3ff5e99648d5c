"""The end of a long log: its lines keep the numbers that they have in the file, and what is left out is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from llm_core.ui import run_details
from llm_core.ui.run_details import log_part
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.registry import Registry

LINES = [f"line {number}" for number in range(1, 2_001)]


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(run_details, "SEARCHED_LOG_BYTES", 4_000)
    monkeypatch.setattr(run_details, "LOG_BLOCK_BYTES", 1_000)
    path = tmp_path / "log.txt"
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return path


def test_lines_keep_their_numbers_while_the_log_grows(log: Path) -> None:
    for more in range(3):
        part = log_part(log)
        lines = part.text.removesuffix("\n").split("\n")
        assert lines[0] == f"line {part.first_line}" and lines[-1] == f"line {2_000 + 100 * more}"
        assert part.left_out_bytes == len("".join(f"line {number}\n" for number in range(1, part.first_line)))
        assert len(part.text) <= 4_000
        with log.open("a", encoding="utf-8") as file:
            file.writelines(f"line {2_000 + 100 * more + number}\n" for number in range(1, 101))


def test_a_short_log_is_whole_and_a_missing_one_empty(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("one\ntwo\n", encoding="utf-8")
    assert log_part(tmp_path / "log.txt") == run_details.LogPart("one\ntwo\n", 1, 0)
    assert log_part(tmp_path / "none") == run_details.LogPart("", 1, 0)


def page(home: str, folder: str) -> None:
    from pathlib import Path

    from llm_core.ui.run_details import show_log
    from llm_core.workspace.paths import open_workspace
    from llm_core.workspace.registry import Registry

    with Registry(open_workspace(Path(home))) as registry:
        (ended,) = registry.jobs("train")
    show_log(ended, Path(folder))


def test_the_page_tells_what_is_cut_and_numbers_what_it_finds(log: Path, tmp_path: Path) -> None:
    with Registry(open_workspace(tmp_path / "home")) as registry:
        registry.add("train", "one", {"name": "one"}, state="finished")
    app = AppTest.from_function(page, kwargs={"home": str(tmp_path / "home"), "folder": str(log.parent)}).run()
    assert not app.exception
    assert "before line" in app.caption[0].value
    app.text_input[0].set_value("line 1990").run()
    assert [code.value.strip() for code in app.code] == ["1990  line 1990"]
    said = app.caption[0].value.replace("\\", "")
    assert said.startswith("1 of ") and "is in log.txt only" in said
