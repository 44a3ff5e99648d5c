"""A process is told apart from whoever gets its number next, and only it is ever signalled."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from llm_core.workspace import process_identity
from llm_core.workspace.process_identity import ProcessIdentity, identify, this_process


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield child
    child.kill()
    child.wait()


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


def identity_of(pid: int) -> ProcessIdentity:
    identity = identify(pid)
    assert identity is not None
    return identity


def test_this_process_lives_and_its_identity_survives_json() -> None:
    identity = this_process()
    assert identity.alive() and identity.pid == os.getpid()
    assert ProcessIdentity.from_json(json.loads(json.dumps(identity.to_json()))) == identity


def test_a_reused_number_is_a_stranger_and_is_not_signalled(sleeper: subprocess.Popen[bytes]) -> None:
    identity = identity_of(sleeper.pid)
    predecessor = dataclasses.replace(identity, start_time=str(int(identity.start_time) - 1))
    before_reboot = dataclasses.replace(identity, boot_id="00000000-0000-0000-0000-000000000000")
    for gone in (predecessor, before_reboot):
        assert not gone.alive()
        assert gone.send_signal(signal.SIGKILL) is False
    assert sleeper.poll() is None and identity.alive()


def test_a_signal_reaches_exactly_the_process(sleeper: subprocess.Popen[bytes]) -> None:
    identity = identity_of(sleeper.pid)
    assert identity.send_signal(signal.SIGTERM) is True
    assert sleeper.wait(10) == -signal.SIGTERM
    assert not identity.alive() and identity.send_signal(signal.SIGTERM) is False


def test_a_zombie_is_dead(sleeper: subprocess.Popen[bytes]) -> None:
    identity = identity_of(sleeper.pid)
    os.kill(sleeper.pid, signal.SIGKILL)
    until(lambda: not identity.alive())
    os.kill(sleeper.pid, 0)  # its number is still taken: it was never waited for
    assert identify(sleeper.pid) is None


def test_a_stopped_process_lives_and_can_be_killed(sleeper: subprocess.Popen[bytes]) -> None:
    identity = identity_of(sleeper.pid)
    identity.send_signal(signal.SIGSTOP)
    assert identity.alive()
    assert identity.send_signal(signal.SIGKILL)
    assert sleeper.wait(10) == -signal.SIGKILL


def test_a_program_name_with_parentheses_does_not_confuse(tmp_path: object) -> None:
    code = "import ctypes, time; ctypes.CDLL(None).prctl(15, b') R 1 (', 0, 0, 0); print(flush=True); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        before = identity_of(child.pid)
        assert child.stdout is not None
        child.stdout.readline()
        assert identify(child.pid) == before and before.alive()
    finally:
        child.kill()
        child.communicate()


def test_ps_tells_the_same_story_where_there_is_no_proc(sleeper: subprocess.Popen[bytes]) -> None:
    """What macOS uses, checked here because `ps` speaks the same on Linux."""
    started = process_identity._start_time_from_ps(sleeper.pid)  # pyright: ignore[reportPrivateUsage]
    assert started is not None and len(started.split()) == 5
    assert process_identity._start_time_from_ps(sleeper.pid) == started  # pyright: ignore[reportPrivateUsage]
    sleeper.send_signal(signal.SIGKILL)
    until(lambda: process_identity._start_time_from_ps(sleeper.pid) is None)  # pyright: ignore[reportPrivateUsage]
    assert process_identity._start_time_from_ps(2**22 + 1) is None  # pyright: ignore[reportPrivateUsage]
