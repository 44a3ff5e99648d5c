"""Jobs on text: what the worker does with a copy or a path, whatever happened between the click and now."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from llm_core.backend.exchange_jobs import import_run_zip
from llm_core.backend.text_jobs import (
    LARGEST_TOKENIZER_BYTES,
    delete_kept_tokenizer,
    delete_text,
    import_tokenizer_upload,
    import_upload,
)
from llm_core.backend.worker import run_in_foreground
from llm_core.config.errors import Refused, UserError
from llm_core.config.timing import Timing
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import find_dataset
from llm_core.text.tokenizer_library import list_tokenizers, train_tokenizer
from llm_core.text.uploads import LARGEST_UPLOAD_BYTES, keep_upload
from llm_core.workspace.job_progress import request_cancel
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry

TEXT = "Some text that is long enough to be kept.\n" * 50
OPTIONS = {"options": ImportOptions().model_dump(mode="json")}


def do(workspace: Workspace, kind: str, config: Mapping[str, Any], *, cancel: bool = False) -> JobRecord:
    with Registry(workspace) as registry:
        job = registry.add(kind, "job", config, foreground=True)
    if cancel:
        request_cancel(workspace, job.id)
    return run_in_foreground(workspace, job.id, Timing())


def uploads(workspace: Workspace) -> list[Path]:
    return list((workspace.root / "uploads").iterdir())


@pytest.mark.parametrize(
    ("content", "cancel", "state"), [(TEXT, False, "finished"), ("", False, "failed"), (TEXT, True, "stopped")]
)
def test_a_copy_is_gone_however_the_import_ended(workspace: Workspace, content: str, cancel: bool, state: str) -> None:
    token = keep_upload(workspace, "book.txt", io.BytesIO(content.encode()))
    job = do(workspace, "import", {"upload": token, **OPTIONS}, cancel=cancel)
    assert job.state == state, job.reason
    assert uploads(workspace) == []
    if state == "finished":
        assert job.result == {
            "dataset_id": find_dataset(workspace, "book").id,
            "dataset_name": "book",
            "existing": False,
        }
    if state == "failed":
        assert "empty" in job.reason and job.remedy


def test_a_copy_that_is_gone_is_said(workspace: Workspace) -> None:
    job = do(workspace, "import", {"upload": "1-nothing", **OPTIONS})
    assert (job.state, job.remedy) == ("failed", "Upload it again")


UPLOADS: dict[str, tuple[int, Callable[[Workspace, BinaryIO], object]]] = {
    "text": (LARGEST_UPLOAD_BYTES, lambda where, file: import_upload(where, "book.txt", file, ImportOptions())),
    "tokenizer": (LARGEST_TOKENIZER_BYTES, lambda where, file: import_tokenizer_upload(where, "a.json", file, "")),
    "run": (LARGEST_UPLOAD_BYTES, lambda where, file: import_run_zip(where, "run.zip", file)),
}


@pytest.mark.parametrize("kind", UPLOADS)
def test_what_is_too_large_is_refused_at_the_click(workspace: Workspace, tmp_path: Path, kind: str) -> None:
    """Also where the browser did not look: its limit is a courtesy."""
    largest_bytes, submit = UPLOADS[kind]
    with (tmp_path / "large").open("w+b") as file:
        file.truncate(largest_bytes + 1)
        with pytest.raises(UserError, match="too large to upload"):
            submit(workspace, file)
    assert not (workspace.root / "uploads").exists() or uploads(workspace) == []
    with Registry(workspace) as registry:
        assert [job.name for job in registry.jobs() if not job.is_final] == []


@pytest.mark.parametrize("kind", ["import", "tokenizer"])
def test_a_path_that_became_a_link_to_elsewhere_is_refused_by_the_worker(
    workspace: Workspace, tmp_path: Path, kind: str
) -> None:
    folder = tmp_path / "books"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text(TEXT, encoding="utf-8")
    (folder / "book.txt").symlink_to(tmp_path / "secret.txt")
    config = {"path": str(folder / "book.txt"), "roots": [str(folder)], "name": "book", **OPTIONS}
    job = do(workspace, kind, config)
    assert job.state == "failed"
    assert "outside the import folders" in job.reason


def test_a_text_is_kept_while_a_run_waits_for_it(workspace: Workspace) -> None:
    with Registry(workspace) as registry:
        run = registry.add("train", "waiting", {"data": {"dataset": "letters"}}, foreground=True)
    with pytest.raises(Refused, match="waiting"):
        delete_text(workspace, "letters")
    with Registry(workspace) as registry:
        registry.cancel(run.id)
    assert delete_text(workspace, "letters") > 4000


def test_a_tokenizer_is_kept_while_a_run_waits_for_it(workspace: Workspace) -> None:
    record = train_tokenizer(workspace, "letters", "bpe", 260, name="pieces")
    for reference in (record.id, "pieces"):
        with Registry(workspace) as registry:
            run = registry.add("train", f"waiting for {reference}", {"data": {"tokenizer": reference}}, foreground=True)
        with pytest.raises(Refused, match="waiting"):
            delete_kept_tokenizer(workspace, "pieces")
        with Registry(workspace) as registry:
            registry.cancel(run.id)
    assert delete_kept_tokenizer(workspace, "pieces") > 0
    assert [kept.name for kept in list_tokenizers(workspace)] == []
