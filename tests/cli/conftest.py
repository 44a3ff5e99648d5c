"""One workspace with a small text and one trained run, made by the command itself and shared by all its tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.backend.support import processes_of, wait_for
from tests.cli.support import TINY, Command


@pytest.fixture(scope="session")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4,000 random letters of ten kinds."""
    path = tmp_path_factory.mktemp("text") / "letters.txt"
    path.write_text("".join(np.random.default_rng(0).choice(list("abcdefgh \n"), 4000)), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def glassbox(tmp_path_factory: pytest.TempPathFactory, text_file: Path) -> Command:
    """The command over the shared workspace, which knows the text `letters` and the finished run `first`."""
    command = Command(tmp_path_factory.mktemp("cli") / "home")
    command.json("data", "add", str(text_file), "--name", "letters")
    command.trained = command.json("train", *TINY, "--name", "first", "--foreground")
    return command


@pytest.fixture(autouse=True, scope="session")
def nothing_remains(glassbox: Command) -> object:
    """Supervisor and workers that the tests called for have gone at the end."""
    yield
    wait_for("every process of the workspace to end", lambda: not processes_of(glassbox.workspace), 30)
