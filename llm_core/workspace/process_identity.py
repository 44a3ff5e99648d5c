"""Who a process is, so that a number used again by a stranger is never taken for it, waited for or signalled.

A process is known by its number, the boot it lives in and the moment it started. Linux answers from /proc, macOS through
`ps` and `sysctl`. Not for: processes of another machine, or of another container that shares the folder.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PROC = Path("/proc")


@dataclass(frozen=True)
class ProcessIdentity:
    """One process, now or in the past."""

    pid: int
    boot_id: str
    start_time: str

    def alive(self) -> bool:
        """Whether exactly this process still runs; a zombie is dead, a stopped one (SIGSTOP) lives."""
        return self.boot_id == _boot_id() and _start_time(self.pid) == self.start_time

    def was_started_with(self, argument: str) -> bool:
        """Whether this is among the process's arguments, word for word."""
        if not (_PROC / "self/cmdline").exists():
            return argument in _output("ps", "-o", "command=", "-p", str(self.pid))
        return os.fsencode(argument) in _arguments(self.pid)

    def send_signal(self, signal_number: int) -> bool:
        """Signal exactly this process; False when it is gone (nobody else is ever signalled)."""
        with contextlib.ExitStack() as stack:
            descriptor = _open_process(self.pid)
            if descriptor is not None:
                stack.callback(os.close, descriptor)
            # The descriptor pins the process behind the number, so the check below and the signal meet the same one.
            if not self.alive():
                return False
            try:
                if descriptor is not None:
                    signal.pidfd_send_signal(descriptor, signal_number)
                else:
                    os.kill(self.pid, signal_number)
            except ProcessLookupError:
                return False
        return True

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"pid": self.pid, "boot_id": self.boot_id, "start_time": self.start_time}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> ProcessIdentity:
        """The identity that `to_json` wrote; raises KeyError or ValueError for other values."""
        return cls(int(values["pid"]), str(values["boot_id"]), str(values["start_time"]))


def this_process() -> ProcessIdentity:
    """The identity of the calling process."""
    identity = identify(os.getpid())
    assert identity is not None, "a running process finds itself"
    return identity


def identify(pid: int) -> ProcessIdentity | None:
    """The process that has this number now; None when there is none, or only a zombie."""
    start_time = _start_time(pid)
    return None if start_time is None else ProcessIdentity(pid, _boot_id(), start_time)


def _open_process(pid: int) -> int | None:
    """A descriptor of the process (Linux 5.3 and later); None elsewhere or when it is gone."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def _boot_id() -> str:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return _output("sysctl", "-n", "kern.bootsessionuuid")


def _arguments(pid: int) -> list[bytes]:
    """The words of a process's command line; none where it is gone."""
    try:
        return (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def _start_time(pid: int) -> str | None:
    """When the process started, in the system's own words; None when it is gone or a zombie."""
    if not (_PROC / "self/stat").exists():
        return _start_time_from_ps(pid)
    try:
        stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name in parentheses and may itself hold spaces and parentheses.
    fields = stat.rpartition(")")[2].split()
    state, start_time = fields[0], fields[19]
    return None if state in ("Z", "X", "x") else start_time


def _start_time_from_ps(pid: int) -> str | None:
    state, _, start_time = _output("ps", "-o", "stat=", "-o", "lstart=", "-p", str(pid)).partition(" ")
    return None if not state or state.startswith("Z") else " ".join(start_time.split())


def _output(*command: str) -> str:
    environment = {**os.environ, "LC_ALL": "C"}
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10, env=environment)
    return finished.stdout.strip()
