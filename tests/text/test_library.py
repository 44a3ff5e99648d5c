"""Bringing texts in and finding them again: every kind of source, cleaning, preview, built-in texts, deletion."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from llm_core.config.data import DataConfig
from llm_core.config.errors import NotFound, Refused
from llm_core.text import builtin
from llm_core.text.cleaning import CleaningOptions
from llm_core.text.corpus_file import ROW_CHARACTERS
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import (
    LONGEST_PREVIEW_CHARACTERS,
    delete_dataset,
    ensure_dataset,
    find_dataset,
    import_corpus,
    list_datasets,
    open_documents,
    preview,
    preview_length,
)
from llm_core.text.progress import progress_words
from llm_core.text.tokens import prepare_tokens
from llm_core.workspace.paths import Workspace
from tests.text.conftest import left_behind

DOCUMENTS = [
    "One, with a comma.",
    'Two says "hello".\nOn two lines.',
    "第三：话说天下大势，分久必合。",
    "Four\u2028is one line\x0c.",
]


SYNTHETIC_HASHES = ["58316593ac7651d9", "61266cdca9b76768", "f3cc1199a3ca06d5", "6e0b7323d6b8de0f"]


def write_table(path: Path, column: str = "text") -> None:
    if path.suffix == ".parquet":
        parquet.write_table(pa.table({"id": list(range(len(DOCUMENTS))), column: DOCUMENTS}), path)
    elif path.suffix == ".jsonl":
        lines = [json.dumps({"id": number, column: text}) for number, text in enumerate(DOCUMENTS)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writerows([["id", column], *enumerate(DOCUMENTS)])


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("column", ["text", "body"])
def test_every_row_of_a_table_is_a_document(workspace: Workspace, tmp_path: Path, ending: str, column: str) -> None:
    path = tmp_path / f"table{ending}"
    write_table(path, column)
    record = import_corpus(workspace, path, ImportOptions(text_column="" if column == "text" else column))
    assert list(open_documents(workspace, record.id)) == DOCUMENTS
    assert record.documents == len(DOCUMENTS)
    assert record.characters == sum(map(len, DOCUMENTS))
    assert record.bytes == sum(len(text.encode()) for text in DOCUMENTS)


def test_equal_documents_have_equal_content_whatever_the_format(workspace: Workspace, tmp_path: Path) -> None:
    hashes: set[str] = set()
    for ending in (".csv", ".tsv", ".jsonl", ".parquet"):
        path = tmp_path / f"table{ending}"
        write_table(path)
        hashes.add(import_corpus(workspace, path, ImportOptions(name=f"from {ending[1:]}")).content_hash)
    assert len(hashes) == 1


def test_a_table_with_semicolons_and_a_mark_is_read(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes('\ufeffid;text\r\n1;eins, zwei\r\n2;"drei;\r\nvier"\r\n'.encode())
    import_corpus(workspace, path, ImportOptions())
    assert list(open_documents(workspace, "table")) == ["eins, zwei", "drei;\nvier"]


def test_a_text_file_is_one_document_and_only_line_ends_change(workspace: Workspace, tmp_path: Path) -> None:
    text = "\n  Two  spaces\t\r\nand\rmore \u2028 é e\u0301\r\n\r\n"
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    record = import_corpus(workspace, path, ImportOptions())
    assert list(open_documents(workspace, "a")) == [text.replace("\r\n", "\n")]
    assert record.statistics is not None
    assert record.statistics.line_ends_changed == 3
    kept = import_corpus(
        workspace, path, ImportOptions(name="kept", cleaning=CleaningOptions(line_ends=False, unicode_nfc=True))
    )
    assert list(open_documents(workspace, kept.id)) == [text.replace("e\u0301", "é")]


def test_a_large_text_comes_back_whole_across_rows(workspace: Workspace, tmp_path: Path) -> None:
    text = "".join(f"行 {number}: some text that ends in a Windows line end\r\n" for number in range(60_000))
    assert len(text) > 8 * ROW_CHARACTERS
    path = tmp_path / "large.md"
    path.write_bytes(text.encode())
    record = import_corpus(workspace, path, ImportOptions(cleaning=CleaningOptions(unicode_nfc=True)))
    clean = text.replace("\r\n", "\n")
    assert list(open_documents(workspace, "large")) == [clean]
    assert record.characters == len(clean)
    pages = preview_length(record)
    assert pages == -(-len(clean) // LONGEST_PREVIEW_CHARACTERS)
    for page in (0, 63, 64, 100, pages - 1):
        start = page * LONGEST_PREVIEW_CHARACTERS
        assert "".join(preview(workspace, "large", page, 2)) == clean[start : start + 2 * LONGEST_PREVIEW_CHARACTERS]
    assert preview(workspace, "large", pages, 2) == []


def test_a_preview_of_many_documents_starts_anywhere(workspace: Workspace, tmp_path: Path) -> None:
    texts = [f"document {number} " + "long " * (60_000 if number == 7 else 4_000) for number in range(500)]
    path = tmp_path / "many.parquet"
    parquet.write_table(pa.table({"text": texts}), path)
    record = import_corpus(workspace, path, ImportOptions())
    assert preview_length(record) == len(texts)
    for offset in (0, 6, 7, 8, *range(195, 210), 498):
        expected = [text[:LONGEST_PREVIEW_CHARACTERS] for text in texts[offset : offset + 3]]
        assert preview(workspace, "many", offset, 3) == expected
    assert preview(workspace, "many", 500, 3) == []


def test_a_separator_makes_documents_also_in_windows_files(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\r\nstill one\r\n\r\n\r\n\r\ntwo\r\n\r\n  \r\n\r\nthree")
    record = import_corpus(workspace, path, ImportOptions(cleaning=CleaningOptions(document_separator="\\n\\n")))
    assert list(open_documents(workspace, "a")) == ["one\nstill one", "two", "three"]
    assert record.statistics is not None
    assert record.statistics.dropped_empty_documents == 2


def test_repetitions_are_dropped_by_document_or_line_and_counted(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    texts = ["a\n\nb\n", "c", "a\n\nb\n", "b\n\nd", "c "]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    by_document = import_corpus(
        workspace, path, ImportOptions(name="by document", cleaning=CleaningOptions(duplicates="document"))
    )
    assert list(open_documents(workspace, by_document.id)) == ["a\n\nb\n", "c", "b\n\nd", "c "]
    by_line = import_corpus(workspace, path, ImportOptions(name="by line", cleaning=CleaningOptions(duplicates="line")))
    assert list(open_documents(workspace, by_line.id)) == ["a\n\nb\n", "c", "\nd", "c "]
    kept = import_corpus(workspace, path, ImportOptions(name="kept"))
    assert by_document.statistics is not None and by_line.statistics is not None and kept.statistics is not None
    assert by_document.statistics.dropped_repeated_documents == 1
    assert by_line.statistics.dropped_repeated_lines == 3
    assert by_line.statistics.dropped_empty_documents == 1
    assert kept.statistics.repeated_documents_share == pytest.approx(1 / 5)


def test_built_in_texts_are_there_and_the_same_every_time(workspace: Workspace) -> None:
    listed = list_datasets(workspace)
    assert [record.id for record in listed] == [corpus.id for corpus in builtin.builtin_corpora()]
    assert all(record.builtin and not record.materialised and record.sentence and record.look_for for record in listed)
    assert left_behind(workspace) == []
    for corpus in builtin.builtin_corpora():
        record = ensure_dataset(workspace, corpus.title)
        assert list(open_documents(workspace, corpus.id)) == list(builtin.documents(corpus.id))
        assert record.content_hash
        assert bool(record.python_version) == corpus.depends_on_python
        assert ensure_dataset(workspace, corpus.id) == find_dataset(workspace, corpus.title)
    reference, source, *synthetic = list_datasets(workspace)
    assert 400_000 < reference.characters < 600_000
    assert reference.documents == 1
    assert 2_000_000 < source.bytes <= 4_000_000
    # The made-up texts do not depend on Python's version or the platform.
    assert [record.content_hash[:16] for record in synthetic] == SYNTHETIC_HASHES


def test_texts_are_found_by_id_name_title_and_prefix(workspace: Workspace) -> None:
    record = import_corpus(workspace, "some text that is long enough", ImportOptions(kind="paste", name="mine"))
    for reference in (record.id, "mine", record.id[:4]):
        assert find_dataset(workspace, reference).id == record.id
    assert find_dataset(workspace, "Python language reference").id == "python-reference"
    for reference in ("nothing", record.id[:3], "", "../mine"):
        with pytest.raises(NotFound, match=r"mine"):
            find_dataset(workspace, reference)


def test_a_deleted_text_takes_its_tokens_with_it(workspace: Workspace) -> None:
    record = import_corpus(workspace, "some text " * 100, ImportOptions(kind="paste", name="mine"))
    prepare_tokens(workspace, DataConfig(dataset="mine", context_length=8))
    ensure_dataset(workspace, "synthetic-addition")
    freed = delete_dataset(workspace, "mine")
    assert freed > 2 * record.bytes
    assert {Path(path).parts[1] for path in left_behind(workspace)} == {"synthetic-addition"}
    delete_dataset(workspace, "synthetic-addition")
    assert left_behind(workspace) == []
    assert not find_dataset(workspace, "synthetic-addition").materialised
    with pytest.raises(Refused):
        delete_dataset(workspace, "synthetic-addition")
    with pytest.raises(NotFound):
        delete_dataset(workspace, "mine")


def test_a_damaged_record_hides_one_text_only(workspace: Workspace) -> None:
    first = import_corpus(workspace, "one text, long enough", ImportOptions(kind="paste", name="one"))
    import_corpus(workspace, "two text, long enough", ImportOptions(kind="paste", name="two"))
    (workspace.datasets / first.id / "dataset.json").write_text("{", encoding="utf-8")
    assert [record.name for record in list_datasets(workspace) if not record.builtin] == ["two"]


def test_progress_counts_up_to_the_size_of_the_file(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a line of text\n" * 300_000, encoding="utf-8")
    seen: list[tuple[str, int, int | None]] = []
    import_corpus(workspace, path, ImportOptions(), progress=lambda *step: seen.append(step))
    assert list(dict.fromkeys(phase for phase, _, _ in seen)) == ["checking the file", "reading text", "storing text"]
    for phase in ("checking the file", "reading text"):
        done = [count for name, count, _ in seen if name == phase]
        assert len(done) > 3
        assert done == sorted(done)
        assert done[-1] == path.stat().st_size
        assert {total for name, _, total in seen if name == phase} == {path.stat().st_size}
    assert progress_words(*seen[-1]).startswith("storing text, ")


MEMORY_PROBE = """
import resource, sys
from pathlib import Path
import pyarrow
from llm_core.config.data import DataConfig
from llm_core.text.cleaning import CleaningOptions
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus
from llm_core.text.progress import progress_words
from llm_core.text.tokens import prepare_tokens
from llm_core.workspace.paths import open_workspace

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (2**20 if sys.platform == "darwin" else 2**10)

workspace = open_workspace(sys.argv[1])
small, large = Path(sys.argv[2]), Path(sys.argv[3])
options = lambda name: ImportOptions(name=name, cleaning=CleaningOptions(unicode_nfc=True, duplicates="line"))
import_corpus(workspace, small, options("small"))
prepare_tokens(workspace, DataConfig(dataset="small"))
before = peak()
import_corpus(workspace, large, options("large"))
imported = peak()
prepare_tokens(workspace, DataConfig(dataset="large"))
print(before, imported, peak())
"""


def test_memory_does_not_grow_with_the_file(workspace: Workspace, tmp_path: Path) -> None:
    # 64 MB against 4 MB: peak memory in MB may grow by far less than the file does.
    line = "This line of text number {} is followed by others, none of which is held for long. " * 10 + "\n"
    small, large = tmp_path / "small.txt", tmp_path / "large.txt"
    small.write_text("".join(line.format(*range(number, number + 10)) for number in range(5_000)), encoding="utf-8")
    with large.open("w", encoding="utf-8") as file:
        for number in range(78_000):
            file.write(line.format(*range(number, number + 10)))
    assert large.stat().st_size > 60 * 2**20
    finished = subprocess.run(
        [sys.executable, "-c", MEMORY_PROBE, str(workspace.root), str(small), str(large)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    before, imported, encoded = map(int, finished.stdout.split())
    assert imported - before < 30, finished.stdout
    assert encoded - before < 40, finished.stdout
