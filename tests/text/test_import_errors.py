"""Bad input: a plain message with the place and the remedy, and nothing left behind."""

from __future__ import annotations

import gzip
import importlib.util
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from llm_core.config.errors import NameTaken, NotFound, UserError
from llm_core.text import hub
from llm_core.text.cleaning import CleaningOptions
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus, list_datasets
from llm_core.text.progress import Cancelled
from llm_core.workspace.paths import Workspace
from tests.text.conftest import left_behind

TEXT = "The first line.\nThe second line, with café.\nThe third.\n"


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("text.txt", TEXT)
    return buffer.getvalue()


def as_parquet(values: list[object], column: str = "text") -> bytes:
    buffer = io.BytesIO()
    parquet.write_table(pa.table({column: values, "other": list(range(len(values)))}), buffer)
    return buffer.getvalue()


BAD_FILES: list[tuple[str, str, bytes, str]] = [
    ("empty", "a.txt", b"", r"empty \(0 bytes\)"),
    ("only a byte-order mark", "a.txt", b"\xef\xbb\xbf", "no text in it"),
    ("only white space", "a.txt", b" \n\n\t\n", "no text in it"),
    ("invalid byte", "a.txt", "你好\n好".encode() + b"\xff\n", r"0xFF at byte 10 \(line 2\).*iconv -c"),
    ("cut character", "a.txt", ("é" * 50 + "你").encode()[:-1], r"0xE4 at byte 100 \(line 1\)"),
    ("UTF-16 with mark", "a.txt", TEXT.encode("utf-16"), r"UTF-16LE.*iconv -f UTF-16LE -t UTF-8"),
    ("UTF-16 big-endian", "a.txt", b"\xfe\xff" + TEXT.encode("utf-16-be"), "UTF-16BE.*iconv -f UTF-16BE"),
    ("UTF-16 without mark", "a.txt", TEXT.encode("utf-16-le"), "UTF-16LE"),
    ("UTF-32", "a.txt", TEXT.encode("utf-32"), "UTF-32"),
    ("Latin-1", "a.txt", TEXT.encode("latin-1"), r"0xE9 at byte 41 \(line 2\).*Latin-1.*café.*iconv -f windows-1252"),
    (
        "GB18030",
        "a.txt",
        ("话说天下大势，分久必合，合久必分。\n" * 20).encode("gb18030"),
        "gb18030.*话说天下.*iconv -f gb18030",
    ),
    ("Shift JIS", "a.txt", ("吾輩は猫である。名前はまだ無い。\n" * 20).encode("shift_jis"), "shift_jis.*吾輩は猫"),
    ("NUL", "a.txt", b"one\ntwo\0three\nfour five six seven\n", r"NUL byte at byte 7 \(line 2\)"),
    ("zip", "a.txt", zipped(), "zip archive.*Unpack"),
    ("gzip", "a.txt", gzip.compress(TEXT.encode()), "gzip archive.*gunzip"),
    ("pickle", "a.txt", pickle.dumps({"text": TEXT}), "pickle, which can run code.*Never load it"),
    ("Parquet as text", "a.txt", as_parquet([TEXT]), "Parquet table.*ending .parquet"),
    ("PDF", "a.md", b"%PDF-1.7\n", "PDF"),
    ("text as Parquet", "a.parquet", TEXT.encode(), "no Parquet table"),
    ("zip as Parquet", "a.parquet", zipped(), "no Parquet table.*zip"),
    ("damaged Parquet", "a.parquet", as_parquet([TEXT] * 50)[:-200], "cannot be read"),
    (
        "Parquet without the column",
        "a.parquet",
        as_parquet([TEXT], "body"),
        r"no column “text” in a.parquet.*body, other",
    ),
    ("Parquet column of numbers", "a.parquet", as_parquet([1, 2]), "holds no text.*int64"),
    ("missing column", "a.csv", b"id,body,title\n1,x,y\n", r"no column “text” in a.csv.*columns: id, body, title"),
    ("no text in the header", "a.csv", b"\n", "columns: none"),
    ("ragged row", "a.csv", b"id,text\n1,one\n2,two,three\n", "line 3.*3 fields.*2 fields"),
    ("broken quote", "a.csv", b'id,text\n1,"one\n2,two\n', "broken at line 3"),
    ("Latin-1 table", "a.csv", "id,text\n1,café\n".encode("latin-1"), r"0xE9 at byte 13 \(line 2\)"),
    ("missing field", "a.jsonl", b'{"body": "x", "id": 1}\n', "columns: body, id"),
    ("field missing later", "a.jsonl", b'{"text": "x"}\n{"body": "y"}\n', "Line 2 has no field “text”.*body"),
    ("broken JSON", "a.jsonl", b'{"text": "x"}\n{"text": \n', "Line 2, column .* is no JSON"),
    ("deep JSON", "a.jsonl", b'{"text": ' + b"[" * 100_000 + b"\n", "Line 1.*no JSON"),
    ("JSON list", "a.jsonl", b'["x"]\n', "Line 1 is no JSON object"),
    ("number", "a.jsonl", b'{"text": 5}\n', "Line 1: “text” holds no text.*int 5"),
    (
        "half a surrogate pair",
        "a.jsonl",
        b'{"text": "ok \\ud83d"}\n',
        r"Line 1.*surrogate pair at character 4.*U\+D83D",
    ),
    ("escaped NUL", "a.jsonl", b'{"text": "a\\u0000b"}\n', "Line 1.*NUL character at character 2"),
    ("only null", "a.jsonl", b'{"text": null}\n', "no text in it"),
]


@pytest.mark.parametrize(
    ("name", "content", "message"), [case[1:] for case in BAD_FILES], ids=[case[0] for case in BAD_FILES]
)
def test_a_bad_file_is_named_and_leaves_nothing(
    workspace: Workspace, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    options = ImportOptions(text_column="" if name.endswith((".txt", ".md")) else "text")
    with pytest.raises(UserError, match=message) as caught:
        import_corpus(workspace, path, options)
    assert caught.value.remedy, "a message always says what to do"
    assert left_behind(workspace) == []


def test_a_line_of_200_mb_is_measured_and_refused(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "line.txt"
    with path.open("wb") as file:
        file.write(b"short\n")
        for _ in range(200):
            file.write(b"x" * 2**20)
        file.write(b"\nend\n")
    with pytest.raises(UserError, match=r"Line 2 is 200 MB long \(it begins at byte 6\).*16 MB a line.*line breaks"):
        import_corpus(workspace, path, ImportOptions())
    assert left_behind(workspace) == []


def test_a_line_of_just_16_mb_is_read(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "line.txt"
    path.write_bytes(b"x" * (16 * 2**20) + b"\nend\n")
    assert import_corpus(workspace, path, ImportOptions()).characters == 16 * 2**20 + 5
    path.write_bytes(b"x" * (16 * 2**20 + 1) + b"\nend\n")
    with pytest.raises(UserError, match="Line 1 is 16 MB"):
        import_corpus(workspace, path, ImportOptions(name="longer"))


@pytest.mark.parametrize(
    "name", ["../up", "a/b", "a\0b", "x" * 300, "", ".", "..", " led by space", "a\nb", "right\u202eleft", "a\\b"]
)
def test_bad_names_are_refused(workspace: Workspace, tmp_path: Path, name: str) -> None:
    path = tmp_path / "good.txt"
    path.write_text(TEXT, encoding="utf-8")
    if name:  # an empty name takes the file's
        with pytest.raises(UserError):
            import_corpus(workspace, path, ImportOptions(name=name))
        assert left_behind(workspace) == []
    else:
        assert import_corpus(workspace, path, ImportOptions(name=name)).name == "good"


def test_what_is_no_file_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such file"):
        import_corpus(workspace, tmp_path / "none.txt", ImportOptions())
    with pytest.raises(UserError, match="folder"):
        import_corpus(workspace, tmp_path, ImportOptions(name="folder"))
    os.mkfifo(tmp_path / "pipe.txt")  # opening it would wait for ever
    with pytest.raises(UserError, match="not a regular file"):
        import_corpus(workspace, tmp_path / "pipe.txt", ImportOptions())
    assert left_behind(workspace) == []


@pytest.mark.parametrize("text", ["", "  \n", "a\0b", "half \ud83d"])
def test_bad_pasted_text_is_refused(workspace: Workspace, text: str) -> None:
    with pytest.raises(UserError):
        import_corpus(workspace, text, ImportOptions(kind="paste", name="pasted"))
    assert left_behind(workspace) == []


def test_the_hub_without_its_package_says_how_to_get_it(workspace: Workspace) -> None:
    if importlib.util.find_spec("datasets") is None:
        with pytest.raises(UserError, match=r"not installed.*glassbox-lm\[hub\]"):
            import_corpus(workspace, "owner/name", ImportOptions(kind="hub"))
    with pytest.raises(UserError, match="owner/name"):
        import_corpus(workspace, "../../etc", ImportOptions(kind="hub", name="x"))
    assert left_behind(workspace) == []


def cancel_after(calls: int) -> Callable[[], bool]:
    remaining = [calls]

    def cancelled() -> bool:
        remaining[0] -= 1
        return remaining[0] < 0

    return cancelled


@pytest.mark.parametrize("calls", [0, 2])
@pytest.mark.parametrize("ending", [".txt", ".csv", ".jsonl", ".parquet"])
def test_a_cancelled_import_leaves_nothing(workspace: Workspace, tmp_path: Path, ending: str, calls: int) -> None:
    path = tmp_path / f"long{ending}"
    rows = [f"row {number} " + "word " * 500 for number in range(1300)]
    if ending == ".parquet":
        parquet.write_table(pa.table({"text": rows}), path)
    elif ending == ".jsonl":
        path.write_text("".join(json.dumps({"text": row}) + "\n" for row in rows), encoding="utf-8")
    else:
        path.write_text("text\n" + "\n".join(rows) + "\n", encoding="utf-8")
    with pytest.raises(Cancelled):
        import_corpus(workspace, path, ImportOptions(), cancelled=cancel_after(calls))
    assert left_behind(workspace) == []
    assert import_corpus(workspace, path, ImportOptions()).existing is False


def test_a_build_that_was_killed_is_removed_by_the_next_one(workspace: Workspace) -> None:
    dead = workspace.datasets / ".building-4194304-dead"  # above the largest process number of Linux
    dead.mkdir()
    (dead / "text.arrow").write_bytes(b"half")
    alive = workspace.datasets / f".building-{os.getpid()}-alive"
    alive.mkdir()
    import_corpus(workspace, TEXT, ImportOptions(kind="paste", name="next"))
    assert not dead.exists()
    assert alive.exists()
    assert "next" in [record.name for record in list_datasets(workspace)]


def test_the_same_bytes_again_are_the_old_text_and_others_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(TEXT, encoding="utf-8")
    first = import_corpus(workspace, path, ImportOptions(name="mine"))
    again = import_corpus(workspace, path, ImportOptions(name="mine"))
    assert (again.id, again.existing, first.existing) == (first.id, True, False)
    with pytest.raises(NameTaken):
        import_corpus(workspace, path, ImportOptions(name="mine", cleaning=CleaningOptions(unicode_nfc=True)))
    path.write_text(TEXT + "more", encoding="utf-8")
    with pytest.raises(NameTaken):
        import_corpus(workspace, path, ImportOptions(name="mine"))
    with pytest.raises(NameTaken):
        import_corpus(workspace, path, ImportOptions(name="python-reference"))
    assert import_corpus(workspace, path, ImportOptions(name="other")).id != first.id


def test_a_cell_without_a_value_is_an_empty_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first row decides which columns hold text, and may itself lack one."""
    rows = [{"text": None, "stars": 5}, {"text": "good", "stars": 4}, {"text": 7, "stars": 3}]
    monkeypatch.setattr(hub, "_open", lambda *_: iter(rows))
    texts = hub.read_hub("owner/name", "")
    assert [next(texts), next(texts)] == ["", "good"]
    with pytest.raises(UserError, match="Row 3 of owner/name holds no text in “text”"):
        next(texts)
