"""Calling `glassbox` as a person or a script does: most verbs within this process, which has its libraries loaded already; what is about
processes (signals, pipes, terminals) in one of its own, through `start`.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from llm_core.cli.main import main
from llm_core.workspace.paths import Workspace, open_workspace
from tests.backend.support import FAST

TINY_SETTINGS = (
    *(
        "model.num_layers=1",
        "model.num_heads=2",
        "model.hidden_size=16",
        "data.dataset=letters",
        "data.context_length=16",
    ),
    *("training.batch_size=4", "training.max_steps=20", "training.log_interval=1", "training.eval_interval=10"),
    *("training.sample_tokens=8", "hardware.device=cpu", "hardware.num_threads=1"),
)
TINY = tuple(part for setting in TINY_SETTINGS for part in ("--set", setting))
LONG = (*TINY, "--set", "training.max_steps=1000000", "--set", "training.eval_interval=1000000")


@dataclass
class Command:
    """The command over one workspace."""

    home: Path
    trained: dict[str, Any] = field(default_factory=dict)

    @property
    def workspace(self) -> Workspace:
        return open_workspace(self.home)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, **FAST, "OMP_NUM_THREADS": "1", "GLASSBOX_HOME": str(self.home)}

    def line(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "llm_core.cli", *arguments]

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start without waiting, in a session of its own, as a terminal would."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen(self.line(*arguments), env=self.environment, text=True, start_new_session=True, **pipes)

    def run(self, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run to the end; the exit status must be as said."""
        done = call(self.environment, *arguments)
        assert done.returncode == status, (arguments, done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def json(self, *arguments: str, status: int = 0) -> Any:
        """The object on the last line of standard output, with --json."""
        done = self.run(*arguments, "--json", status=status)
        assert done.stdout.count("\n") == 1, "nothing but the object is written"
        return json.loads(done.stdout, parse_constant=lambda name: pytest_fail(name))

    def error(self, *arguments: str) -> dict[str, Any]:
        """What a wrong input is answered with: exit status 2, a sentence on standard error, the parts as JSON."""
        done = self.run(*arguments, "--json", status=2)
        found = json.loads(done.stdout.splitlines()[-1])["error"]
        assert set(found) == {"what", "value", "limit", "remedy"}
        assert done.stderr.startswith("glassbox: ") and found["what"] in done.stderr
        return found


def call(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command within this process, under another environment; what it wrote and its exit status."""
    output, errors = io.StringIO(), io.StringIO()
    with mock.patch.dict(os.environ, environment), redirect_stdout(output), redirect_stderr(errors):
        try:
            status = main(arguments)
        except SystemExit as ended:  # argparse leaves like this
            status = int(ended.code or 0)
    return subprocess.CompletedProcess(arguments, status, output.getvalue(), errors.getvalue())


def pytest_fail(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")
