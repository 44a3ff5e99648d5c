"""Which files a page may read: resolved, links included, and nothing is said about the others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llm_core.config.errors import NotFound, Refused, UserError
from llm_core.text.import_roots import check_import_path, import_roots
from llm_core.workspace.paths import Workspace


@pytest.fixture
def books(tmp_path: Path) -> Path:
    folder = tmp_path / "books"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "book.txt").write_text("some text", encoding="utf-8")
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    return folder.resolve()


def test_home_is_the_default_on_this_machine_alone(tmp_path: Path) -> None:
    assert import_roots(on_loopback=True, environment={}) == (Path.home().resolve(),)
    assert import_roots(on_loopback=False, environment={}) == ()
    for on_loopback in (True, False):
        assert import_roots(on_loopback=on_loopback, environment={"GLASSBOX_IMPORT_ROOTS": ""}) == ()
        given = {"GLASSBOX_IMPORT_ROOTS": f"{tmp_path}{os.pathsep}/nowhere"}
        assert import_roots(on_loopback=on_loopback, environment=given) == (tmp_path.resolve(), Path("/nowhere"))


def test_a_file_inside_is_found_also_through_a_link_that_stays_inside(workspace: Workspace, books: Path) -> None:
    book = books / "deep" / "book.txt"
    (books / "link.txt").symlink_to(book)
    for typed in (book, books / "link.txt", books / "deep" / ".." / "deep" / "book.txt", f"  {book}\n"):
        assert check_import_path(workspace, str(typed), [books]) == book


def test_a_file_outside_is_refused_however_it_is_spelled(workspace: Workspace, books: Path, tmp_path: Path) -> None:
    (books / "link.txt").symlink_to(tmp_path / "secret.txt")
    (books / "folder").symlink_to(tmp_path)
    (workspace.root / "signing.key").write_text("key", encoding="utf-8")
    (books / "home").symlink_to(workspace.root)
    spelled = [
        tmp_path / "secret.txt", tmp_path / "not-there.txt", books / ".." / "secret.txt", books / "link.txt",
        books / "folder" / "secret.txt", books / "home" / "signing.key", f"{books}-beside/book.txt",
    ]  # fmt: skip
    for typed in spelled:
        with pytest.raises(Refused, match="outside the import folders"):
            check_import_path(workspace, str(typed), [books])
    with pytest.raises(Refused, match="outside the import folders"):  # even where a root holds the workspace
        check_import_path(workspace, str(workspace.root / "signing.key"), [tmp_path.resolve()])


def test_what_is_no_path_or_not_there_is_said(workspace: Workspace, books: Path) -> None:
    (books / "loop").symlink_to(books / "loop")
    cases: list[tuple[str, type[UserError], str]] = [
        ("", UserError, "not complete"),
        ("book.txt", UserError, "not complete"),
        (f"{books}/a\0b", UserError, "NUL"),
        ("~nobody-of-this-name/book.txt", UserError, "cannot be followed"),
        (f"{books}/none.txt", NotFound, "no such file"),
        (f"{books}/deep", UserError, "folder"),
        (f"{books}/{'x' * 300}", UserError, "cannot be looked up"),
        (f"{books}/loop", UserError, "cannot be"),
    ]
    for typed, kind, message in cases:
        with pytest.raises(kind, match=message):
            check_import_path(workspace, typed, [books])
    with pytest.raises(Refused, match="reads no files by path"):
        check_import_path(workspace, str(books / "deep" / "book.txt"), [])
