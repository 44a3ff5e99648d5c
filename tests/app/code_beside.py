"""Runs what a page shows under "Do this from code", within this process: its libraries are loaded already.

Not here: that the same works in a fresh process (tests/test_documents.py, tests/packaging).
"""

from __future__ import annotations

import io
import json
import os
import runpy
import shlex
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from tests.cli.support import call


def run_python(python: str) -> str:
    """What the lines print."""
    output = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(output):
        script = Path(folder) / "beside.py"
        script.write_text(python, encoding="utf-8")
        runpy.run_path(str(script), run_name="__main__")
    return output.getvalue()


def run_command(command: str) -> dict[str, Any]:
    """The object that the command line, with --json, answers with."""
    program, *arguments = shlex.split(command)
    assert program == "glassbox"
    done = call(dict(os.environ), *arguments, "--json")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer
