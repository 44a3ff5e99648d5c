"""A workspace with a small text, and a check that no process and no lock of it remains."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus
from llm_core.workspace.locks import is_locked
from llm_core.workspace.paths import Workspace, open_workspace
from tests.backend.support import FAST, processes_of, wait_for


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    for name, value in {**FAST, "OMP_NUM_THREADS": "1"}.items():
        monkeypatch.setenv(name, value)
    workspace = open_workspace(tmp_path / "home")
    text = "".join(np.random.default_rng(0).choice(list("abcdefgh \n"), 4000))
    import_corpus(workspace, text, ImportOptions(name="letters", kind="paste"))
    yield workspace
    wait_for("every process of the workspace to end", lambda: not processes_of(workspace), 20)
    assert not is_locked(workspace.supervisor_lock)
    assert not is_locked(workspace.inference_lock)
