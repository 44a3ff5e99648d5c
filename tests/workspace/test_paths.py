"""The path guard against hostile names, names for people, and how a workspace is found and kept private."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_core.config.errors import NotFound, UserError
from llm_core.workspace.paths import HOME_VARIABLE, check_name, default_root, open_workspace, safe_join

HOSTILE = [
    *("", ".", "..", "/", "//", "/etc/passwd", "../x", "a/b", "a/../b", "a\\b", "..\\x", "C:\\x", "\\\\host\\share"),
    *("a\0", "\0", "a\nb", "\x1b[2J", "a\x7f", "x" * 256, "é" * 128, "/" + "x" * 300, "\ud800"),
]


@pytest.mark.parametrize("part", HOSTILE)
def test_safe_join_refuses_what_is_no_plain_name(tmp_path: Path, part: str) -> None:
    with pytest.raises(UserError, match="cannot be a file name"):
        safe_join(tmp_path, part)
    with pytest.raises(UserError, match="cannot be a file name"):
        safe_join(tmp_path, "fine", part)


def test_safe_join_decodes_nothing(tmp_path: Path) -> None:
    for part in ("%2e%2e", "%2e%2e%2fx", "%252e%252e", "...", "~", "~root", "-rf", "$HOME", "a b", "本"):
        assert safe_join(tmp_path, part) == tmp_path / part


@settings(deadline=None)
@given(parts=st.lists(st.text(max_size=12) | st.sampled_from(HOSTILE), min_size=1, max_size=3))
def test_safe_join_never_leaves_its_root(tmp_path_factory: pytest.TempPathFactory, parts: list[str]) -> None:
    root = tmp_path_factory.getbasetemp() / "root"
    try:
        path = safe_join(root, *parts)
    except UserError:
        return
    assert Path(os.path.normpath(path)) == path
    assert path.is_relative_to(root) and len(path.relative_to(root).parts) == len(parts)


def test_safe_join_refuses_links_that_lead_out(tmp_path: Path) -> None:
    root, sibling = tmp_path / "data", tmp_path / "data_evil"
    (root / "inner").mkdir(parents=True)
    sibling.mkdir()
    (root / "out").symlink_to(sibling)
    (root / "up").symlink_to("..")
    (root / "loop").symlink_to("loop")
    (root / "fine").symlink_to(root / "inner")
    for parts in (("out",), ("out", "x"), ("up", "data_evil"), ("loop", "x")):
        with pytest.raises(UserError, match="link"):
            safe_join(root, *parts)
    assert safe_join(root, "fine", "x") == root / "fine" / "x"


def test_safe_join_allows_a_root_that_is_itself_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert safe_join(tmp_path / "link", "x") == tmp_path / "link" / "x"


@pytest.mark.parametrize(
    "name", ["a", "pocket-gpt", "My run 2", "Тест", "莎士比亚", "naïve (v2)", "$(id)", "; touch x", "--flag"]
)
def test_check_name_accepts_what_people_write(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", " a", "a ", "a\n", "..", ".", "a/b", "a\\b", "a\0b", "a\tb", "x" * 101),
        *("a\u202eb", "a\u200bb", "a\u2028b", "a\u00a0b", "\ufeffa", "\x1b[31m", "\ue000"),
    ],
)
def test_check_name_refuses_what_deceives_or_breaks(name: str) -> None:
    with pytest.raises(UserError, match="name"):
        check_name(name)


def test_a_workspace_is_private_from_its_first_moment(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        workspace = open_workspace(tmp_path / "new" / "glassbox")
    finally:
        os.umask(before)
    assert stat.S_IMODE(workspace.root.stat().st_mode) == 0o700
    assert {path.name for path in workspace.root.iterdir()} == {"datasets", "tokenizers", "tokens", "runs", "jobs"}


def test_a_workspace_that_was_opened_up_is_closed_again(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path / "glassbox")
    workspace.root.chmod(0o755)
    open_workspace(workspace.root)
    assert stat.S_IMODE(workspace.root.stat().st_mode) == 0o700


def test_a_shared_folder_of_other_things_is_refused_and_left_alone(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    (shared / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="holds other things"):
        open_workspace(shared)
    assert stat.S_IMODE(shared.stat().st_mode) == 0o755
    assert [path.name for path in shared.iterdir()] == ["thesis.txt"]


def test_a_file_and_a_missing_folder_are_no_workspaces(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="not a folder"):
        open_workspace(tmp_path / "file")
    with pytest.raises(NotFound, match="no workspace here"):
        open_workspace(tmp_path / "missing", create=False)
    with pytest.raises(UserError, match="cannot be made"):
        open_workspace(tmp_path / "file" / "below")


def test_the_environment_names_the_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "from-environment"))
    assert open_workspace().root == tmp_path / "from-environment"
    assert open_workspace(tmp_path / "argument").root == tmp_path / "argument"


def test_a_checkout_keeps_its_workspace_beside_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(HOME_VARIABLE, raising=False)
    assert default_root() == Path(__file__).resolve().parents[2] / "workspace"
