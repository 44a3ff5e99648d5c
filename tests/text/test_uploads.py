"""Private copies of uploads: under their own name, for the owner alone, bounded, and gone when nobody will read them."""

from __future__ import annotations

import io
import stat
from pathlib import Path

import pytest

from llm_core.config.errors import NotFound, UserError
from llm_core.text.uploads import (
    LARGEST_UPLOAD_BYTES,
    check_upload,
    discard_upload,
    keep_upload,
    sweep_uploads,
    upload_path,
)
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry

DEAD_PID = 4_194_304  # above the largest process number of Linux


def test_a_copy_has_its_own_name_and_is_private(workspace: Workspace) -> None:
    token = keep_upload(workspace, "book.txt", io.BytesIO(b"text" * 10**6))
    path = upload_path(workspace, token)
    assert (path.name, path.stat().st_size) == ("book.txt", 4 * 10**6)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    discard_upload(workspace, token)
    discard_upload(workspace, token)
    with pytest.raises(NotFound):
        upload_path(workspace, token)


@pytest.mark.parametrize("name", ["../up.txt", "a/b.txt", "a\0.txt", "x" * 300, "", ".."])
def test_a_name_that_is_none_is_refused_and_nothing_is_kept(workspace: Workspace, name: str) -> None:
    with pytest.raises(UserError, match="file name"):
        keep_upload(workspace, name, io.BytesIO(b"text"))
    assert list((workspace.root / "uploads").iterdir()) == []


class Broken(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        raise OSError("the connection broke")


def test_a_copy_that_breaks_off_is_removed(workspace: Workspace) -> None:
    with pytest.raises(OSError, match="broke"):
        keep_upload(workspace, "book.txt", Broken(b"text"))
    assert list((workspace.root / "uploads").iterdir()) == []


def test_sweeping_keeps_what_will_be_read_and_what_is_being_written(workspace: Workspace) -> None:
    waiting, cancelled, written = (keep_upload(workspace, "a.txt", io.BytesIO(b"text")) for _ in range(3))
    orphan = f"{DEAD_PID}-orphan"
    (workspace.root / "uploads" / orphan).mkdir()
    # The server that wrote it was started again meanwhile; its job waits.
    restarted = f"{DEAD_PID}-restarted"
    (workspace.root / "uploads" / restarted).mkdir()
    with Registry(workspace) as registry:
        registry.add("import", "waiting", {"upload": waiting})
        registry.add("tokenizer", "restarted", {"upload": restarted})
        registry.cancel(registry.add("import", "cancelled", {"upload": cancelled}).id)
    sweep_uploads(workspace)
    left = {folder.name for folder in (workspace.root / "uploads").iterdir()}
    assert left == {waiting, written, restarted}


def test_a_file_that_is_too_large_is_refused_before_it_is_copied(tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    for size_bytes, is_refused in ((LARGEST_UPLOAD_BYTES, False), (LARGEST_UPLOAD_BYTES + 1, True)):
        with path.open("wb") as file:
            file.truncate(size_bytes)  # no byte of it lies on the disk
        with path.open("rb") as stream:
            stream.seek(5)  # what was looked at before the click
            if is_refused:
                with pytest.raises(UserError, match=r"too large to upload.*200 MB.*Give its path"):
                    check_upload(stream, "Give its path")
            else:
                check_upload(stream, "Give its path")
            assert stream.tell() == 0


def test_all_kept_files_together_are_bounded(workspace: Workspace) -> None:
    first = keep_upload(workspace, "a.txt", io.BytesIO(b"x" * 600), largest_kept_bytes=1000)
    with pytest.raises(UserError, match=r"no room for another upload.*600 B.*1\.00 kB.*cancel one"):
        keep_upload(workspace, "b.txt", io.BytesIO(b"x" * 401), largest_kept_bytes=1000)
    assert [folder.name for folder in (workspace.root / "uploads").iterdir()] == [first], "nothing of it is left"
    keep_upload(workspace, "c.txt", io.BytesIO(b"x" * 400), largest_kept_bytes=1000)
    discard_upload(workspace, first)
    keep_upload(workspace, "d.txt", io.BytesIO(b"x" * 600), largest_kept_bytes=1000)


def test_copies_at_the_same_moment_share_the_room(workspace: Workspace) -> None:
    """A second copy that begins while the first is under way: neither may believe that it has the room for itself."""

    class Meanwhile(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if not self.tell():
                keep_upload(workspace, "other.txt", io.BytesIO(b"x" * 600), largest_kept_bytes=1000)
            return super().read(size)

    with pytest.raises(UserError, match="no room"):
        keep_upload(workspace, "book.txt", Meanwhile(b"x" * 600), largest_kept_bytes=1000)
