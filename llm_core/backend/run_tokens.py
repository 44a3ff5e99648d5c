"""The text of a run in tokens; cut first, in a process of its own, where it is not there yet.

Not here: the cutting (`llm_core.text.prepare`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from llm_core.backend.endings import Cancelled
from llm_core.backend.run_control import RunControl
from llm_core.backend.run_progress import RunProgress
from llm_core.config.data import DataConfig
from llm_core.config.errors import UserError
from llm_core.config.run import RunConfig
from llm_core.text.token_set import TokenSet
from llm_core.text.tokens import find_tokens
from llm_core.workspace.paths import Workspace


def tokens_of_run(workspace: Workspace, config: RunConfig, progress: RunProgress, control: RunControl) -> TokenSet:
    """The encoded text; made first, in a process of its own, where it is not there yet."""
    found = find_tokens(workspace, config.data)
    if found is None:
        _prepare(workspace, config.data, progress, control)
        found = find_tokens(workspace, config.data)
        assert found is not None, "preparing ended well, so the tokens are there"
    return found


def _prepare(workspace: Workspace, data: DataConfig, progress: RunProgress, control: RunControl) -> None:
    """Cut the text in a child process, which alone loads the table library, and pass its progress on."""
    command = [sys.executable, "-m", "llm_core.text.prepare", str(workspace.root), data.model_dump_json()]
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONSAFEPATH": "1"}
    last: dict[str, Any] = {}
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, encoding="utf-8", env=environment
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if control.stop_is_wanted():
                child.terminate()
                raise Cancelled
            last = json.loads(line)
            if "phase" in last:
                progress.phase = last["phase"]
                progress.fraction = last["done"] / last["total"] if last.get("total") else None
    if child.returncode == 0:
        return
    error = last.get("error")
    if error is None:
        raise RuntimeError(f"the process that cuts the text ended with status {child.returncode}")
    raise UserError(error["what"], value=error["value"], limit=error["limit"], remedy=error["remedy"] or "")
