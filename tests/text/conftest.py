"""What the tests of the text room share: an empty workspace, and the public texts where they lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llm_core.workspace.paths import Workspace, open_workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path / "workspace")


@pytest.fixture
def public_text() -> Path:
    """The folder of public texts; a test that needs it is skipped where it is missing."""
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    folder = Path(os.environ.get("GLASSBOX_DATA", str(default)))
    if not folder.is_dir():
        pytest.skip(f"no public texts at {folder} (set GLASSBOX_DATA)")
    return folder


def left_behind(workspace: Workspace) -> list[str]:
    """Everything in the workspace's text folders, also hidden and unfinished."""
    folders = (workspace.datasets, workspace.tokenizers, workspace.tokens)
    return sorted(str(path.relative_to(workspace.root)) for folder in folders for path in folder.rglob("*"))
