"""Folders that come slowly: made first, filled later, and looked at again only when something has changed in them.

Whole runs that are copied in: `tests/backend/test_run_archive.py`.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection

import pytest

from llm_core.config.run import RunConfig
from llm_core.workspace.adopted_runs import CopiedRuns
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry
from tests.backend.support import wait_for

CONFIG = RunConfig(name="copied").model_dump_json()


@pytest.fixture
def copied(workspace: Workspace) -> CopiedRuns:
    return CopiedRuns(workspace, settled_seconds=0.0)


def test_a_folder_that_gets_its_settings_late_is_found(workspace: Workspace, copied: CopiedRuns) -> None:
    folder = workspace.runs / "slow"
    with Registry(workspace) as registry:
        folder.mkdir()
        assert copied.take_in(registry) == [] and copied.take_in(registry) == []
        (folder / "log.txt").write_text("said\n")
        assert copied.take_in(registry) == []
        (folder / "config.json").write_text(CONFIG)
        (found,) = copied.take_in(registry)
        assert (found.id, found.name) == ("slow", "copied")
        assert copied.take_in(registry) == []


def test_settings_that_come_in_two_parts_are_read_when_they_are_whole(workspace: Workspace, copied: CopiedRuns) -> None:
    path = workspace.runs / "slow" / "config.json"
    with Registry(workspace) as registry:
        path.parent.mkdir()
        path.write_text(CONFIG[:50])
        assert copied.take_in(registry) == []
        path.write_text('{"model": {"kind": "no-such-family"}}')
        found: list[JobRecord] = []

        def is_taken_in() -> bool:
            path.write_text(CONFIG)  # until the clock of the file system has moved on
            found.extend(copied.take_in(registry))
            return bool(found)

        wait_for("the run to be taken in", is_taken_in, 10)
    assert [record.id for record in found] == ["slow"]


def test_folders_that_are_no_runs_are_not_read_again(
    workspace: Workspace, copied: CopiedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("notes", "old"):
        (workspace.runs / name).mkdir()
    with Registry(workspace) as registry:
        assert copied.take_in(registry) == []
        looks: list[Collection[str]] = []
        monkeypatch.setattr(registry, "jobs", lambda *kinds: looks.append(kinds) or [])
        assert copied.take_in(registry) == [] and not looks
        (workspace.runs / "notes" / "readme.txt").write_text("x")
        assert copied.take_in(registry) == [] and len(looks) == 1
        shutil.rmtree(workspace.runs / "old")
        assert copied.take_in(registry) == [] and len(looks) == 2
        assert copied.take_in(registry) == [] and len(looks) == 2
