"""Locks between real processes: exclusive, shared, given back by death, never inherited."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

from llm_core.workspace.locks import FileLock, is_locked

HOLD = """
import sys
from pathlib import Path
from llm_core.workspace.locks import FileLock
lock = FileLock(Path(sys.argv[1]))
print(lock.try_acquire(shared=sys.argv[2] == "shared"), flush=True)
sys.stdin.read()
"""


def line(child: Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def test_one_holder_and_its_death_frees_the_lock(tmp_path: Path, start_python: Callable[..., Popen[str]]) -> None:
    path = tmp_path / "x.lock"
    assert not is_locked(path) and not path.exists()
    holder = start_python(HOLD, path, "exclusive")
    assert line(holder) == "True"
    assert is_locked(path)
    lock = FileLock(path)
    assert lock.try_acquire() is False and lock.try_acquire(shared=True) is False
    holder.kill()
    holder.wait()
    assert not is_locked(path)
    assert lock.try_acquire()
    lock.release()
    lock.release()
    assert not is_locked(path)


def test_shared_holders_go_together_and_keep_an_exclusive_one_out(
    tmp_path: Path, start_python: Callable[..., Popen[str]]
) -> None:
    path = tmp_path / "web.lock"
    first, second = start_python(HOLD, path, "shared"), start_python(HOLD, path, "shared")
    assert line(first) == line(second) == "True"
    with FileLock(path) as lock:
        assert not lock.try_acquire()
        assert lock.try_acquire(shared=True)
    for child in (first, second):
        assert is_locked(path)
        child.kill()
        child.wait()
    assert not is_locked(path)


def test_a_child_does_not_keep_its_parents_lock(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "x.lock")
    assert lock.try_acquire()
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, close_fds=False
    )
    try:
        lock.release()
        assert not is_locked(lock.path)
    finally:
        child.communicate(b"")


def test_asking_often_never_keeps_a_holder_out(tmp_path: Path, start_python: Callable[..., Popen[str]]) -> None:
    path = tmp_path / "x.lock"
    path.touch()
    code = """
import sys
from pathlib import Path
from llm_core.workspace.locks import is_locked
print("ready", flush=True)
while True:
    is_locked(Path(sys.argv[1]))
"""
    asking = start_python(code, path)
    assert line(asking) == "ready"
    for _ in range(300):
        with FileLock(path) as lock:
            assert lock.try_acquire()
