"""`glassbox` without a verb: it serves and says where, a second one finds the first, Ctrl-C ends it in order."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from llm_core.cli.dashboard import url_of
from tests.backend.support import wait_for

ROOT = Path(__file__).resolve().parents[2]


def glassbox(home: Path, log: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "GLASSBOX_HOME": str(home), "GLASSBOX_IDLE_SECONDS": "1", "PYTHONUNBUFFERED": "1"}
    environment.pop("GLASSBOX_PASSWORD", None)
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "llm_core.cli", "--no-browser"],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def test_serves_is_found_again_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    home, log, second_log = tmp_path / "home", tmp_path / "first.log", tmp_path / "second.log"
    first = glassbox(home, log)
    try:
        wait_for("the address", lambda: "Glassbox is at" in log.read_text() or first.poll() is not None)
        said = log.read_text()
        url = next(line.removeprefix("Glassbox is at ") for line in said.splitlines() if "Glassbox is at" in line)
        assert str(home) in said and "running trainings go on" in said
        with urllib.request.urlopen(f"{url}/_stcore/health", timeout=10) as answer:  # noqa: S310  our own address
            assert answer.status == 200
        second = glassbox(home, second_log)
        assert second.wait(60) == 0
        assert f"Glassbox already serves this workspace at {url}" in second_log.read_text()
        os.killpg(first.pid, signal.SIGINT)  # as a terminal does: to the server under it, too
        assert first.wait(30) == 0, log.read_text()
        assert "The dashboard has ended. Nothing is running." in log.read_text()
        assert "Traceback" not in log.read_text()
    finally:
        if first.poll() is None:
            first.kill()
    third = glassbox(home, second_log)
    wait_for("a new start where an old address lies", lambda: "Glassbox is at" in second_log.read_text())
    os.killpg(third.pid, signal.SIGINT)
    assert third.wait(30) == 0


@pytest.mark.skipif(not (ROOT / ".venv" / ".ready-run").exists(), reason="make would set up an environment first")
def test_in_a_terminal_ctrl_c_ends_make_run_well(tmp_path: Path) -> None:
    environment = {**os.environ, "GLASSBOX_HOME": str(tmp_path / "home"), "BROWSER": "true"}  # opens nothing
    keyboard, screen = pty.openpty()
    process = subprocess.Popen(
        # A session of its own whose terminal is the one above: what a person has who types `make run`.
        [sys.executable, "-c", _IN_A_TERMINAL, "make", "-C", str(ROOT), "run"],
        env=environment,
        stdin=screen,
        stdout=screen,
        stderr=screen,
        start_new_session=True,
    )
    os.close(screen)
    said = b""
    try:
        while b"running trainings go on" not in said:
            said += os.read(keyboard, 4096)
        os.write(keyboard, b"\x03")
        while b"Nothing is running" not in said:
            said += os.read(keyboard, 4096)
        assert process.wait(30) == 0, said.decode()
    finally:
        if process.poll() is None:
            process.kill()
        os.close(keyboard)


_IN_A_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
)


def test_an_address_of_the_sixth_version_stands_in_brackets() -> None:
    assert url_of("127.0.0.1", 8501) == "http://127.0.0.1:8501"
    assert url_of("::1", 8501) == "http://[::1]:8501"


def test_an_open_address_needs_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLASSBOX_PASSWORD", raising=False)
    done = subprocess.run(
        [sys.executable, "-m", "llm_core.cli", "--workspace", str(tmp_path / "home"), "--address", "0.0.0.0"],  # noqa: S104
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "0.0.0.0" in done.stderr and "GLASSBOX_PASSWORD" in done.stderr  # noqa: S104
