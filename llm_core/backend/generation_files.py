"""Generations on disk: a file for each, so that a text outlives the page that asked for it and the process that wrote it.

JSON lines: first what was asked, then every token as it came, last the figures of its end. One process writes a file; a file
without its last line was being written when that process died. Not here: writing text (`generations.py`).
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_core.config.errors import NotFound
from llm_core.workspace.paths import Workspace

FOLDER = "generations"
KEPT_GENERATIONS = 200
KEPT_BYTES = 200_000_000
INTERRUPTED = (
    "The process that was writing ended before the text was complete. What was written is kept; generate again"
)

_LOGGER = logging.getLogger(__name__)
_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class KeptGeneration:
    """One generation as its file has it."""

    asked: dict[str, Any]
    """`run_id`, `run_name`, `step`, `prompt`, `prompt_tokens`, `settings`, `seed`; of an answer also `source`, the prompt cut at its
    gaps."""
    tokens: list[dict[str, Any]]
    end: dict[str, Any] | None
    """The figures at its end; None while it is being written, and for ever when its process died."""

    def answer(self, after: int, *, is_alive: bool = False) -> dict[str, Any]:
        """What polling says, from the file alone. `is_alive`: the process that writes it is there and only too busy to answer."""
        end = self.end or {
            "state": "running" if is_alive else "failed",
            "error": "" if is_alive else INTERRUPTED,
            "text": "".join(token["text"] for token in self.tokens),
            "prompt_tokens": self.asked["prompt_tokens"],
            "new_tokens": len(self.tokens),
            "tokens_per_second": None,
            "first_token_seconds": None,
            "seed": self.asked["seed"],
            "finish": None,
            "truncated": False,
            "step": self.asked["step"],
        }
        return {**end, "tokens": self.tokens[after:]}


class GenerationFile:
    """The file of a generation while it is written. A full disk ends the keeping, never the writing."""

    def __init__(self, workspace: Workspace, generation_id: str, asked: Mapping[str, Any]) -> None:
        path = _path(workspace, generation_id)
        self._file = None
        try:
            path.parent.mkdir(exist_ok=True)
            self._file = path.open("xb")
        except OSError as error:
            _LOGGER.warning("The text %s is not kept on disk: %s", generation_id, error)
        self._add({"asked": dict(asked)})

    def token(self, token: Mapping[str, Any]) -> None:
        """Add one token."""
        self._add({"token": dict(token)})

    def end(self, figures: Mapping[str, Any]) -> None:
        """Add the figures of the end and close."""
        self._add({"end": dict(figures)})
        self._close()

    def _add(self, line: Mapping[str, Any]) -> None:
        if self._file is None:
            return
        try:
            self._file.write(json.dumps(line, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
            self._file.flush()
        except OSError as error:
            _LOGGER.warning("The rest of a text is not kept on disk: %s", error)
            self._close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def read_generation(workspace: Workspace, generation_id: str) -> KeptGeneration:
    """A generation by its id; raises NotFound when there is none."""
    asked: dict[str, Any] | None = None
    tokens: list[dict[str, Any]] = []
    end: dict[str, Any] | None = None
    try:
        with _path(workspace, generation_id).open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break  # its writer died within the line, or has not finished it yet
                values = json.loads(line)
                if "token" in values:
                    tokens.append(values["token"])
                elif "asked" in values:
                    asked = values["asked"]
                else:
                    end = values["end"]
    except FileNotFoundError:
        pass
    if asked is None:
        raise NotFound("This generation is no longer kept", value=generation_id, remedy="Generate again")
    return KeptGeneration(asked, tokens, end)


def forget_oldest(workspace: Workspace, *, keep: int = KEPT_GENERATIONS, keep_bytes: int = KEPT_BYTES) -> None:
    """Bring the folder within its bounds; the newest file always stays."""
    try:
        found = [(entry.stat(), entry) for entry in (workspace.root / FOLDER).glob("*.jsonl")]
    except OSError:
        return
    size_bytes = 0
    for index, (stat, entry) in enumerate(sorted(found, key=lambda pair: pair[0].st_mtime_ns, reverse=True)):
        size_bytes += stat.st_size
        if index and (index >= keep or size_bytes > keep_bytes):
            entry.unlink(missing_ok=True)


def _path(workspace: Workspace, generation_id: str) -> Path:
    if not _ID.fullmatch(generation_id):
        raise NotFound(
            "This is not the id of a generation",
            value=generation_id,
            limit="16 hexadecimal digits",
            remedy="Generate again",
        )
    return workspace.root / FOLDER / f"{generation_id}.jsonl"
