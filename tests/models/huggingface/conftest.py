"""A workspace of its own for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_core.workspace.paths import Workspace, open_workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path / "home")
