"""What the tests of this room share: a workspace in a folder of the test's own, and children that are always ended."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.registry import Registry

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path / "glassbox")


@pytest.fixture
def registry(workspace: Workspace) -> Iterator[Registry]:
    with Registry(workspace) as opened:
        yield opened


@pytest.fixture
def start_python() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a real Python process with the package importable: start_python(code, *arguments)."""
    children: list[subprocess.Popen[str]] = []

    def start(code: str, *arguments: object) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-c", code, *(str(argument) for argument in arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=CHECKOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()
        child.communicate()
