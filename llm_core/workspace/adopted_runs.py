"""Run folders that somebody put among the runs by hand: found, and taken into the registry under the id that their folder has.

A folder is a run when it holds settings that can be read. One that is still being copied is left until nothing in it has changed for
a moment; one that holds no such settings (yet) is looked at again when it or they have changed: a slow transfer makes the folder first.
Not here: unpacking an archive (`llm_core.backend.run_import`), a registry that was lost (`registry_file.py`).
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from llm_core.config.errors import UserError
from llm_core.config.run import config_from_dict
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.json_files import read_json
from llm_core.workspace.paths import Workspace, safe_join
from llm_core.workspace.registry import Registry
from llm_core.workspace.registry_connection import RegistryUnavailable

SETTLED_SECONDS = 2.0
UNREADABLE_EVENT = "unreadable_run"
_CONFIG = "config.json"
# Folders that are no runs and are looked after; what comes into further ones is found when the next folder comes or goes.
_MOST_WAITING = 100

_Trace = tuple[int | None, int | None]


class CopiedRuns:
    """Looks for new folders among the runs; costs one `stat` while none has come or gone, and two for each that is no run.

    Args:
        settled_seconds: a folder is taken in when nothing in it has changed for so long.
    """

    def __init__(self, workspace: Workspace, settled_seconds: float = SETTLED_SECONDS) -> None:
        self._workspace = workspace
        self._settled_seconds = settled_seconds
        self._seen_at: int | None = None
        self._waiting: dict[Path, _Trace] = {}

    def take_in(self, registry: Registry) -> list[JobRecord]:
        """The runs that were found since the last look; what cannot be read is said once, as an event of the registry."""
        changed_at = self._workspace.runs.stat().st_mtime_ns
        if changed_at == self._seen_at and all(_trace(folder) == seen for folder, seen in self._waiting.items()):
            return []
        known = {record.id for record in registry.jobs("train")}
        found: list[JobRecord] = []
        is_settled = True
        waiting: dict[Path, _Trace] = {}
        for folder in sorted(self._workspace.runs.iterdir()):
            if folder.name in known or folder.name.startswith(".") or folder.is_symlink() or not folder.is_dir():
                continue
            trace = _trace(folder)  # before it is read, so that nothing comes in between unseen
            if time.time() - _changed_at(folder) < self._settled_seconds:
                is_settled = False
                continue
            try:
                record = adopt_run(self._workspace, registry, folder.name)
            except RegistryUnavailable:
                raise
            except (UserError, OSError) as error:
                record = None
                _note_once(registry, folder.name, error)
            if record is not None:
                found.append(record)
            elif len(waiting) < _MOST_WAITING:
                waiting[folder] = trace
        # What is still being copied changes itself, not the folder of runs, so it is looked at again.
        self._seen_at = changed_at if is_settled else None
        self._waiting = waiting
        return found


def adopt_run(workspace: Workspace, registry: Registry, run_id: str) -> JobRecord | None:
    """Take in one folder; None, with an event that says why, where it holds no run that this version can read."""
    folder = safe_join(workspace.runs, run_id)
    values = read_json(folder / _CONFIG)
    if values is None:
        return None  # a run that has not started, or something else; nobody is missing it
    try:
        config_from_dict(values)
    except UserError as error:
        _note_once(registry, run_id, error)
        return None
    return registry.adopt(run_id)


def _note_once(registry: Registry, folder_name: str, error: Exception) -> None:
    folder_name = folder_name.encode("utf-8", "replace").decode()  # a name need not be text
    said = {event.job_id for event in registry.events() if event.kind == UNREADABLE_EVENT}
    if folder_name not in said:
        registry.note(UNREADABLE_EVENT, f"The folder runs/{folder_name} is not taken in: {error}", folder_name)


def _trace(folder: Path) -> _Trace:
    """Another one whenever something has come into the folder or its settings were written; copying cannot set these times back."""
    return _changed(folder), _changed(folder / _CONFIG)


def _changed(path: Path) -> int | None:
    try:
        return path.lstat().st_ctime_ns
    except OSError:
        return None


def _changed_at(folder: Path) -> float:
    """When anything in the folder changed last, in seconds since the epoch; copying cannot set this time back."""
    newest = folder.stat().st_ctime
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            try:
                newest = max(newest, (Path(parent) / name).lstat().st_ctime)
            except FileNotFoundError:
                return time.time()
    return newest
