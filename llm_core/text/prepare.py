"""`python -m llm_core.text.prepare <workspace> <DataConfig as JSON>`: cut a text into tokens in a process of its own.

So a training worker never imports pyarrow. Standard output is JSON lines: `{"phase", "done", "total"}` while it works, and
last `{"key", "path"}`, or `{"error": {"what", "value", "limit", "remedy"}}`. Exit code 0 done, 2 wrong input, 130 stopped by
SIGTERM or SIGINT; anything else is a fault of the program, told on standard error.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from pydantic import ValidationError

from llm_core.config.data import DataConfig
from llm_core.config.errors import UserError
from llm_core.config.run import user_error
from llm_core.text.progress import Cancelled
from llm_core.text.tokens import prepare_tokens
from llm_core.workspace.paths import open_workspace

WRONG_INPUT = 2
STOPPED = 130
_PROGRESS_SECONDS = 0.1


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    if len(arguments) != 2:
        _say({"error": UserError("Two arguments are needed: workspace, DataConfig as JSON").to_dict()})
        return WRONG_INPUT
    stop = _StopSignal()
    try:
        config = _read_config(arguments[1])
        workspace = open_workspace(Path(arguments[0]))
        token_set = prepare_tokens(workspace, config, progress=_Progress(), cancelled=stop.asked)
    except Cancelled:
        return STOPPED
    except UserError as error:
        _say({"error": error.to_dict()})
        return WRONG_INPUT
    _say({"key": token_set.key, "path": str(token_set.path)})
    return 0


class _StopSignal:
    """Turns SIGTERM and SIGINT into a wish, so that half-made folders are removed on the way out."""

    def __init__(self) -> None:
        self._asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True

    def asked(self) -> bool:
        return self._asked


class _Progress:
    """Prints progress at most ten times a second, and every new phase."""

    def __init__(self) -> None:
        self._phase = ""
        self._said_at = 0.0

    def __call__(self, phase: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        if phase == self._phase and now - self._said_at < _PROGRESS_SECONDS:
            return
        self._phase, self._said_at = phase, now
        _say({"phase": phase, "done": done, "total": total})


def _read_config(text: str) -> DataConfig:
    try:
        return DataConfig.model_validate_json(text)
    except ValidationError as error:
        raise user_error(error) from error


def _say(message: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps(message, ensure_ascii=False) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
