"""Progress and cancellation of jobs that are not runs."""

from __future__ import annotations

import pytest

from llm_core.config.errors import UserError
from llm_core.workspace.job_progress import is_cancelled, job_folder, read_progress, request_cancel, write_progress
from llm_core.workspace.paths import Workspace


def test_progress_is_what_was_said_last(workspace: Workspace) -> None:
    assert read_progress(workspace, "abc") is None
    assert list(workspace.jobs.iterdir()) == [], "asking makes nothing"
    write_progress(workspace, "abc", {"phase": "reading", "done": 1})
    write_progress(workspace, "abc", {"phase": "cutting", "done": 2, "share": float("nan")})
    progress = read_progress(workspace, "abc")
    assert progress is not None and progress.pop("written_at") > 0
    assert progress == {"phase": "cutting", "done": 2, "share": None}
    assert [path.name for path in job_folder(workspace, "abc").iterdir()] == ["progress.json"]


def test_cancel_is_a_mark(workspace: Workspace) -> None:
    assert not is_cancelled(workspace, "abc")
    request_cancel(workspace, "abc")
    request_cancel(workspace, "abc")
    assert is_cancelled(workspace, "abc") and not is_cancelled(workspace, "def")


def test_ids_go_through_the_guard(workspace: Workspace) -> None:
    for act in (job_folder, read_progress, request_cancel, is_cancelled):
        with pytest.raises(UserError):
            act(workspace, "../runs")
    with pytest.raises(UserError):
        write_progress(workspace, "..", {})
