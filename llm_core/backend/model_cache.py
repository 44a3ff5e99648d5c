"""Checkpoints in memory, for as long as they are on disk as they were when they were read.

Not here: reading one (`llm_core.generation.opening`), who asks (`inference_server.py`).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from llm_core.config.errors import UserError
from llm_core.generation.opening import OpenedModel, open_model
from llm_core.workspace.checkpoints import MANIFEST, OPTIMIZER, find_checkpoint, verify_checkpoint
from llm_core.workspace.json_files import read_json
from llm_core.workspace.paths import Workspace
from llm_core.workspace.runs import run_folder

LOADED_BYTES = 2_000_000_000
# A run in training may thin its checkpoints between our choosing one and our reading it.
_ATTEMPTS = 3

Fingerprint = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Kept:
    loaded: OpenedModel
    fingerprint: Fingerprint


class ModelCache:
    """The models of checkpoints, the least recently used let go when they are too many bytes. Thread-safe."""

    def __init__(self, workspace: Workspace, budget_bytes: int = LOADED_BYTES) -> None:
        self._workspace = workspace
        self._budget_bytes = budget_bytes
        self._kept: OrderedDict[Path, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, run_id: str, step: int | None) -> tuple[OpenedModel, int]:
        """The model of a checkpoint and its step; None takes the newest there is at this moment.

        Raises:
            UserError: no such run or checkpoint, or one that cannot be read.
        """
        for attempt in range(_ATTEMPTS):
            checkpoint = find_checkpoint(run_folder(self._workspace, run_id), step)
            try:
                return self._load(checkpoint.path), checkpoint.step
            except (OSError, UserError):
                if attempt + 1 == _ATTEMPTS or checkpoint.path.exists():
                    raise
        raise AssertionError("the last attempt returns or raises")

    def forget_deleted(self) -> None:
        """Let go of models whose checkpoint is gone or is another one by now."""
        with self._lock:
            for path in [path for path, kept in self._kept.items() if fingerprint_of(path) != kept.fingerprint]:
                del self._kept[path]

    def __len__(self) -> int:
        return len(self._kept)

    def _load(self, path: Path) -> OpenedModel:
        self.forget_deleted()
        with self._lock:
            kept = self._kept.get(path)
            if kept is None:
                fingerprint = fingerprint_of(
                    path
                )  # before the weights: should they change meanwhile, they are read again
                problems = verify_checkpoint(path, without=(OPTIMIZER,))
                if problems:
                    what = f"This checkpoint is damaged. {problems[0].rstrip('.')}"
                    raise UserError(what, remedy="Choose an earlier one; a run that goes on writes this one anew")
                kept = _Kept(open_model(path), fingerprint)
                self._kept[path] = kept
            self._kept.move_to_end(path)
            while len(self._kept) > 1 and sum(map(_size_bytes, self._kept.values())) > self._budget_bytes:
                self._kept.popitem(last=False)
        return kept.loaded


def fingerprint_of(path: Path) -> Fingerprint:
    """Names and hashes of a checkpoint's files as its manifest has them, the optimizer's left out; empty when there is none."""
    manifest = read_json(path / MANIFEST) or {}
    files = manifest.get("files", {})
    return tuple(sorted((name, str(file["sha256"])) for name, file in files.items() if name != OPTIMIZER))


def _size_bytes(kept: _Kept) -> int:
    return kept.loaded.size_bytes
