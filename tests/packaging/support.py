"""What the tests of the wheel share: the installation under test, running a command, asking the server."""

from __future__ import annotations

import subprocess
import urllib.request
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Installation:
    """An environment that knows Glassbox by its wheel alone, an empty home, and an empty folder to stand in."""

    python: Path
    command: Path
    home: Path
    folder: Path
    environment: dict[str, str]


def run(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def fetch(url: str) -> tuple[int, str]:
    """Status and type of an answer."""
    with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310  our own address
        answer.read()
        return answer.status, answer.headers["content-type"]
