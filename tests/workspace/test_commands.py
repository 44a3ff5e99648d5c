"""Commands: appended by many, read by one with a cursor, none lost and none twice."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from llm_core.config.errors import UserError
from llm_core.workspace.commands import append_command, read_commands


def test_commands_are_read_in_order_after_a_cursor(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert read_commands(folder) == []
    first = append_command(folder, "pause", author="page")
    second = append_command(folder, "set", {"path": "optimizer.learning_rate", "value": 0.1}, author="cli")
    commands = read_commands(folder)
    assert [command.id for command in commands] == [first, second]
    assert commands[1].kind == "set" and commands[1].author == "cli" and commands[1].created_at > 0
    assert commands[1].args == {"path": "optimizer.learning_rate", "value": 0.1} and commands[0].args == {}
    assert read_commands(folder, commands[0].rowid) == commands[1:]
    assert read_commands(folder, commands[1].rowid) == []


def test_an_unknown_command_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such command.*explode.*pause"):
        append_command(tmp_path / "run", "explode")
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_its_table_reads_as_empty(tmp_path: Path) -> None:
    (tmp_path / "commands.db").touch()
    assert read_commands(tmp_path) == []
    append_command(tmp_path, "stop")
    assert len(read_commands(tmp_path)) == 1


APPEND = """
import sys
from pathlib import Path
from llm_core.workspace.commands import append_command
for _ in range(int(sys.argv[2])):
    print(append_command(Path(sys.argv[1]), "checkpoint", {"text": "x" * 3_000}), flush=True)
"""


def test_many_writers_one_reader_and_kills(tmp_path: Path, start_python: Callable[..., Popen[str]]) -> None:
    writers = [start_python(APPEND, tmp_path, 20) for _ in range(3)]
    victim = start_python(APPEND, tmp_path, 1_000_000)
    assert victim.stdout is not None
    told = [victim.stdout.readline().strip() for _ in range(5)]
    victim.kill()
    told += victim.communicate()[0].split()
    seen: list[str] = []
    cursor = 0
    while any(writer.poll() is None for writer in writers) or read_commands(tmp_path, cursor):
        for command in read_commands(tmp_path, cursor):
            seen.append(command.id)
            cursor = command.rowid
    for writer in writers:
        output, errors = writer.communicate()
        assert writer.returncode == 0, errors
        told += output.split()
    counts = Counter(seen)
    assert set(counts.values()) == {1} and set(told) <= counts.keys() and len(counts) <= len(told) + 1


def test_the_journal_of_a_killed_writer_is_rolled_back_by_the_reader(
    tmp_path: Path, start_python: Callable[..., Popen[str]]
) -> None:
    append_command(tmp_path, "pause")
    # Dies within a transaction whose pages have reached the file: a hot journal lies beside it.
    code = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 1")
connection.execute("BEGIN IMMEDIATE")
for number in range(200):
    connection.execute("INSERT INTO commands (id, kind, args, author, created_at) VALUES (?, 'stop', ?, '', 0)", (str(number), "x" * 5_000))
os._exit(137)
"""
    child = start_python(code, tmp_path / "commands.db")
    child.communicate(timeout=60)
    assert (tmp_path / "commands.db-journal").stat().st_size > 0
    assert [command.kind for command in read_commands(tmp_path)] == ["pause"]
    connection = sqlite3.connect(tmp_path / "commands.db")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
