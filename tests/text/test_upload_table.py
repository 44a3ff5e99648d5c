"""Uploads as they come from anywhere: each becomes a text as it is, or is refused in words and leaves nothing.

Not here: damaged and foreign files one by one (`test_import_errors.py`), how copies are kept (`test_uploads.py`).
"""

from __future__ import annotations

import io
import zipfile

import pytest

from llm_core.config.errors import UserError
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus, preview
from llm_core.text.uploads import keep_upload, upload_path
from llm_core.workspace.paths import Workspace
from tests.text.conftest import left_behind

SCRIPT = "<script>alert(1)</script> $\\href{javascript:alert(1)}{x}$ \u202egnol \x1b[31mred =1+1\n"


def with_zip_behind() -> bytes:
    """A text to one reader and an archive to another."""
    buffer = io.BytesIO(b"A text as it seems.\n")
    buffer.seek(0, io.SEEK_END)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.txt", "hidden " * 100)
    return buffer.getvalue()


REFUSED: dict[str, tuple[str, bytes, str]] = {
    "a million empty lines": ("a.txt", b"\n" * 10**6, "no text in it"),
    "a text with an archive behind it": ("a.txt", with_zip_behind(), r"byte|NUL|no text"),
    "a table of a million empty rows": ("a.csv", b"text\n" + b"\n" * 10**6, "no text in it"),
    "a picture that is also a script": ("a.txt", b"GIF89a/*\x00\x00*/=1;alert(1)", r"byte|NUL|no text"),
    "objects of a million names": ("a.jsonl", b'{"a":1}\n' * 1000, "columns: a"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_text_is_refused_and_leaves_nothing(workspace: Workspace, case: str) -> None:
    name, content, words = REFUSED[case]
    path = upload_path(workspace, keep_upload(workspace, name, io.BytesIO(content)))
    with pytest.raises(UserError, match=words):
        import_corpus(workspace, path, ImportOptions(text_column="text" if name.endswith(("csv", "jsonl")) else ""))
    assert left_behind(workspace) == []


def test_hostile_text_is_text_to_the_last_character(workspace: Workspace) -> None:
    path = upload_path(workspace, keep_upload(workspace, "a.txt", io.BytesIO(SCRIPT.encode())))
    record = import_corpus(workspace, path, ImportOptions())
    assert "".join(preview(workspace, record.id)) == SCRIPT


@pytest.mark.parametrize(
    "name", ["CON.txt", "nul", "-rf.txt", "$(id).txt", "; touch x.txt", "x" * 251 + ".txt", ".hidden.txt"]
)
def test_a_strange_name_is_only_a_name(workspace: Workspace, name: str) -> None:
    token = keep_upload(workspace, name, io.BytesIO(b"A short text.\n"))
    path = upload_path(workspace, token)
    assert path.name == name and path.parent.name == token and path.parent.parent == workspace.root / "uploads"


def test_two_files_of_one_name_are_two_files(workspace: Workspace) -> None:
    tokens = [keep_upload(workspace, "same.txt", io.BytesIO(text)) for text in (b"The first.\n", b"The second.\n")]
    paths = [upload_path(workspace, token) for token in tokens]
    assert [path.read_bytes() for path in paths] == [b"The first.\n", b"The second.\n"] and paths[0] != paths[1]
