"""A workspace with runs written by the real writer, and the real ASGI pieces over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.registry import Registry
from tests.web.live_run import LiveRun


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path / "home")


@pytest.fixture
def registry(workspace: Workspace) -> Iterator[Registry]:
    with Registry(workspace) as opened:
        yield opened


@pytest.fixture
def live_run(workspace: Workspace, registry: Registry) -> Iterator[Callable[[str], LiveRun]]:
    runs: list[LiveRun] = []

    def start(name: str) -> LiveRun:
        runs.append(LiveRun(workspace, registry, name))
        runs[-1].running()
        return runs[-1]

    yield start
    for run in runs:
        run.writer.close()
