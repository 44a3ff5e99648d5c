"""Files replaced as a whole, and JSON that every reader accepts."""

from __future__ import annotations

import json
import math
import resource
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from llm_core.workspace.json_files import json_text, read_json, write_json, write_text


def test_json_holds_no_nan_at_any_depth() -> None:
    text = json_text({"a": math.nan, "b": [1.5, (math.inf, -math.inf)], 3: {"c": True, "d": None, "e": "é"}})
    assert json.loads(text) == {"a": None, "b": [1.5, [None, None]], "3": {"c": True, "d": None, "e": "é"}}
    assert "é" in text


def test_read_json_is_none_for_everything_but_an_object(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    assert read_json(path) is None
    for content in (b"", b"[1]", b"{", b"\xff\xfe", b"null"):
        path.write_bytes(content)
        assert read_json(path) is None
    write_json(path, {"a": 1})
    assert read_json(path) == {"a": 1}


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError):
            write_text(path, "x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert read_json(path) == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]


def test_a_reader_never_sees_half_a_file_while_its_writer_is_killed(
    tmp_path: Path, start_python: Callable[..., Popen[str]]
) -> None:
    path = tmp_path / "x.json"
    code = """
import sys
from pathlib import Path
from llm_core.workspace.json_files import write_json
number = 0
while True:
    number += 1
    write_json(Path(sys.argv[1]), {"number": number, "text": str(number) * 20_000})
    print(number, flush=True)
"""
    writer = start_python(code, path)
    assert writer.stdout is not None
    announced = 0
    for _ in range(20):
        announced = int(writer.stdout.readline())
        value = read_json(path)
        assert value is not None and value["text"] == str(value["number"]) * 20_000
    writer.kill()
    writer.wait()
    value = read_json(path)
    assert value is not None and value["number"] >= announced
