"""Two columns of a table as pairs: imported from every format, looked at, counted, split, cut, drawn; what is wrong is placed."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from llm_core.config.data import DataConfig
from llm_core.config.errors import NameTaken, UserError
from llm_core.text.cleaning import CleaningOptions, DocumentPart
from llm_core.text.corpus_file import ROW_CHARACTERS, write_corpus
from llm_core.text.dataset_record import ImportOptions, SourceKind, read_record, write_record
from llm_core.text.library import (
    ensure_dataset,
    find_dataset,
    import_corpus,
    open_documents,
    split_of,
)
from llm_core.text.pair_batches import PairBatches, TokenPairs, require_pairs
from llm_core.text.pair_preview import read_pairs
from llm_core.text.pairs import PAIR_SEPARATOR, PairText, join_pair, row_document, split_pair
from llm_core.text.split_preview import first_documents
from llm_core.text.splits import split_concerns, split_parts
from llm_core.text.statistics import StatisticsBuilder
from llm_core.text.synthetic import reversal_pairs
from llm_core.text.table_columns import first_rows
from llm_core.text.tokenizer_library import train_tokenizer
from llm_core.text.tokens import find_tokens, prepare_tokens
from llm_core.workspace.paths import Workspace
from tests.text.conftest import left_behind

ROOT = Path(__file__).parents[2]
PAIRS = [
    PairText("Good morning, friend.", "早上好，朋友。"),
    PairText('He said "no".\nTwice.', "他说了两次“不”。"),
    PairText("one; two", "一；二\n第二行"),
    PairText("  spaces stay ", "é e\u0301"),
    *(PairText(f"number {number}", f"数字{number}") for number in range(60)),
]
AS_PAIRS = ImportOptions(text_column="en", target_column="zh")


def write_pairs(path: Path, pairs: list[PairText] = PAIRS) -> None:
    """A table with a column to be ignored between the two, the answers first."""
    rows = [{"zh": target, "id": number, "en": source} for number, (source, target) in enumerate(pairs)]
    if path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["zh", "id", "en"], delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)


def stored(workspace: Workspace, name: str) -> list[PairText]:
    return [split_pair(document) for document in open_documents(workspace, name)]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "words.jsonl"
    write_pairs(path)
    return path


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_two_columns_of_every_kind_of_table_become_pairs(workspace: Workspace, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"words{ending}"
    write_pairs(path)
    record = import_corpus(workspace, path, AS_PAIRS)
    assert stored(workspace, "words") == PAIRS
    assert record.is_pairs and find_dataset(workspace, "words").is_pairs
    assert record.documents == len(PAIRS)
    assert record.characters == sum(len(source) + len(target) for source, target in PAIRS)
    assert record.bytes == sum(len((source + target).encode()) for source, target in PAIRS)
    shown = read_pairs(workspace.datasets / record.id, 1, 3)
    assert [(pair.number, pair.texts, pair.is_cut) for pair in shown] == [
        (number, PAIRS[number - 1], False) for number in (2, 3, 4)
    ]


def test_the_other_of_two_columns_is_the_source(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "two.csv"
    path.write_text("frage,antwort\nwie,so\nwo,da\n", encoding="utf-8")
    import_corpus(workspace, path, ImportOptions(target_column="antwort"))
    assert stored(workspace, "two") == [("wie", "so"), ("wo", "da")]


def test_the_same_table_is_the_same_pairs_and_not_the_same_text(workspace: Workspace, table: Path) -> None:
    first = import_corpus(workspace, table, AS_PAIRS)
    assert import_corpus(workspace, table, AS_PAIRS).id == first.id
    with pytest.raises(NameTaken):
        import_corpus(workspace, table, ImportOptions(text_column="en"))
    folder = workspace.datasets / first.id
    text = import_corpus(workspace, table, ImportOptions(name="text", text_column="en"))
    old = read_record(workspace.datasets / text.id)
    assert old is not None
    options = {name: value for name, value in old.options.items() if name != "target_column"}
    write_record(workspace.datasets / text.id, old.model_copy(update={"options": options}), "")
    again = import_corpus(workspace, table, ImportOptions(name="text", text_column="en"))
    assert (again.id, again.existing) == (text.id, True), "a record from before there were pairs is known again"
    assert folder.is_dir()


def test_cleaning_keeps_the_two_texts_apart(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "words.jsonl"
    write_pairs(
        path, [PairText("a\r\nb", "e\u0301"), PairText("a\r\nb", "e\u0301"), PairText("c", "\u0301d"), PAIRS[0]]
    )
    cleaning = CleaningOptions(unicode_nfc=True, duplicates="document")
    record = import_corpus(workspace, path, AS_PAIRS.model_copy(update={"cleaning": cleaning}))
    assert stored(workspace, "words") == [("a\nb", "é"), ("c", "\u0301d"), PAIRS[0]]
    assert record.statistics is not None and record.statistics.dropped_repeated_documents == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"document_separator": "\\n"}, "cannot be cut into documents"),
        ({"duplicates": "line"}, "half of their text.*by pair"),
    ],
)
def test_cleaning_that_would_take_pairs_apart_is_refused(
    workspace: Workspace, table: Path, change: dict[str, object], message: str
) -> None:
    options = AS_PAIRS.model_copy(update={"cleaning": CleaningOptions.model_validate(change)})
    with pytest.raises(UserError, match=message):
        import_corpus(workspace, table, options)
    assert left_behind(workspace) == []


def rows_of(*rows: Mapping[str, object]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


GOOD = {"en": "a", "zh": "b"}
BAD = [
    ("a.csv", b"en,zh\na,b\nc,\n", "row that ends at line 3: “zh” is empty.*Fill it in"),
    ("a.csv", b'en,zh\na,b\n"  ",d\n', "row that ends at line 3: “en” is empty"),
    ("a.tsv", b"en\tzh\na\tb\nc\td\x1ee\n", r"line 3: “zh” holds the character.*U\+001E at character 2"),
    ("a.jsonl", rows_of(GOOD, {"en": "x\x1e", "zh": "y"}), r"Line 2: “en” holds the character.*U\+001E at character 2"),
    ("a.jsonl", rows_of(GOOD, {"en": None, "zh": "y"}), "Line 2: “en” is empty"),
    ("a.jsonl", rows_of(GOOD, {"en": "x"}), "Line 2 has no field “zh”"),
    ("a.jsonl", rows_of(GOOD, {"en": "x", "zh": 5}), "Line 2: “zh” holds no text"),
    ("a.jsonl", rows_of(GOOD), r"One pair is not enough.*1 pair in a.jsonl.*at least 2.*more rows"),
    ("a.jsonl", rows_of({"en": "", "zh": ""}), "no text in it"),
    ("a.jsonl", rows_of(GOOD, GOOD, GOOD), "all pairs of this text are equal.*different pairs"),
    ("a.csv", b"en,de\na,b\n", "no column “zh”.*columns: en, de"),
    ("a.csv", b"zh,de\na,b\n", "no column “en”.*columns: zh, de"),
    ("a.txt", b"a,b\n", r"Only a table has an answer column.*\.csv"),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD)
def test_a_bad_table_of_pairs_is_placed_and_leaves_nothing(
    workspace: Workspace, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        import_corpus(workspace, path, AS_PAIRS)
    assert caught.value.remedy
    assert left_behind(workspace) == []


def test_bad_columns_of_a_parquet_table_are_named(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"en": ["a", "b"], "zh": [1, 2], "de": ["x", ""]}), path)
    for target, message in (
        ("zh", "“zh” holds no text.*en, de"),
        ("de", "Row 2: “de” is empty"),
        ("en", "same column"),
    ):
        with pytest.raises(UserError, match=message):
            import_corpus(workspace, path, ImportOptions(text_column="en", target_column=target))
    assert left_behind(workspace) == []


def test_pairs_of_pasted_text_are_refused(workspace: Workspace) -> None:
    with pytest.raises(UserError, match="Only a table"):
        import_corpus(workspace, "a,b\nc,d", ImportOptions(kind="paste", target_column="b"))


def test_wholly_empty_rows_are_left_out_and_counted(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(rows_of(GOOD, {"en": " ", "zh": None}, {"en": "c", "zh": "d"}))
    record = import_corpus(workspace, path, AS_PAIRS)
    assert stored(workspace, "a") == [("a", "b"), ("c", "d")]
    assert record.statistics is not None and record.statistics.dropped_empty_documents == 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.text("ab你\n ", min_size=1), st.text("ab你\n ", min_size=1)), min_size=1, max_size=20))
def test_counts_are_of_both_texts_and_never_of_the_separator(tmp_path: Path, pairs: list[tuple[str, str]]) -> None:
    folder = tmp_path / "pairs"
    folder.mkdir(exist_ok=True)
    builder = StatisticsBuilder(is_pairs=True)
    write_corpus(folder, [DocumentPart(join_pair(*pair), True) for pair in pairs], builder)
    found = builder.build()
    text = "".join(source + target for source, target in pairs)
    assert (found.documents, found.characters, found.bytes) == (len(pairs), len(text), len(text.encode()))
    assert builder.alphabet() == "".join(sorted(set(text)))
    assert found.line_ends == text.count("\n")
    for column, lengths in ((found.sources, [len(s) for s, _ in pairs]), (found.targets, [len(t) for _, t in pairs])):
        assert column is not None
        assert (column.characters, column.longest) == (sum(lengths), max(lengths))
        assert sum(column.lengths.counts) == len(pairs)
        for low, high, count in zip(
            column.lengths.edges, column.lengths.edges[1:], column.lengths.counts, strict=False
        ):
            assert count == sum(low <= length < high for length in lengths)


def test_long_texts_keep_their_pair_across_rows(workspace: Workspace, tmp_path: Path) -> None:
    pairs = [
        PairText(f"{number} " + "从前 " * ROW_CHARACTERS, "to " * ROW_CHARACTERS + str(number)) for number in range(3)
    ]
    pairs += [
        PairText("x " * (ROW_CHARACTERS // 2), "y"),
        PairText("x" + " x" * (ROW_CHARACTERS // 2 - 1), "z"),
        PairText("a", "b"),
    ]
    path = tmp_path / "long.parquet"
    write_pairs(path, pairs)
    record = import_corpus(workspace, path, AS_PAIRS)
    assert stored(workspace, "long") == pairs
    assert record.statistics is not None and record.statistics.targets is not None
    assert record.statistics.targets.longest == 3 * ROW_CHARACTERS + 1
    shown = read_pairs(workspace.datasets / record.id, characters=5)
    assert [pair.texts for pair in shown] == [(source[:5], target[:5]) for source, target in pairs]
    assert [pair.is_cut for pair in shown] == [True] * 5 + [False]
    for tokenizer in ("char", "byte", "bpe:300"):
        token_set = prepare_tokens(workspace, DataConfig(dataset="long", tokenizer=tokenizer))
        decoded = [
            tuple(map(token_set.tokenizer.decode, pair))
            for side in (token_set.train, token_set.validation)
            for pair in TokenPairs(side, token_set.tokenizer.end_of_text_id, 2**22)
        ]
        assert sorted(decoded) == sorted(tuple(pair) for pair in pairs)


@pytest.mark.parametrize("tokenizer", ["char", "byte", "bpe:300"])
def test_pairs_become_tokens_each_text_on_its_own(workspace: Workspace, table: Path, tokenizer: str) -> None:
    import_corpus(workspace, table, AS_PAIRS)
    token_set = prepare_tokens(workspace, DataConfig(dataset="words", tokenizer=tokenizer))
    cutter, meta = token_set.tokenizer, token_set.meta
    assert meta.is_pairs
    require_pairs(meta)
    assert (meta.documents, meta.train_documents + meta.validation_documents) == (len(PAIRS), len(PAIRS))
    end = cutter.end_of_text_id
    found: list[tuple[str, str]] = []
    for side, pairs in ((token_set.train, meta.train_documents), (token_set.validation, meta.validation_documents)):
        assert int((side == end).sum()) == 2 * pairs
        for source, target in TokenPairs(side, end, 256):
            found.append((cutter.decode(source), cutter.decode(target)))
            assert (source, target) == (cutter.encode(found[-1][0]), cutter.encode(found[-1][1]))
    assert sorted(found) == sorted(tuple(pair) for pair in PAIRS)
    size_bytes = sum(len((source + target).encode()) for source, target in PAIRS)
    assert meta.train_bytes + meta.validation_bytes == size_bytes
    if tokenizer == "char":
        assert cutter.encode_known(PAIR_SEPARATOR) == ([], [PAIR_SEPARATOR])
    batch = PairBatches(token_set.train, end, 4, 64, seed=1).next()
    assert len(batch) == 4 and all(cutter.decode(pair.target) for pair in batch)


def test_merges_are_learned_within_texts(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_pairs(path, [PairText("abc" + "q" * (number % 5), "xyz" + "p" * (number % 7)) for number in range(400)])
    import_corpus(workspace, path, AS_PAIRS)
    train_tokenizer(workspace, "a", "bpe", 280, name="merges")
    tokenizer = prepare_tokens(workspace, DataConfig(dataset="a", tokenizer="merges")).tokenizer
    texts = [tokenizer.token_text(i) for i in range(257, tokenizer.vocabulary_size)]
    assert "abc" in texts and "xyz" in texts
    assert not any("001E" in text or "cx" in text or PAIR_SEPARATOR in text for text in texts)


def test_equal_pairs_stay_on_one_side_and_the_first_ones_are_shown_with_it(
    workspace: Workspace, tmp_path: Path
) -> None:
    path = tmp_path / "a.jsonl"
    write_pairs(path, [PairText(f"source {number % 40}", f"answer {number % 40}") for number in range(200)])
    record = import_corpus(workspace, path, AS_PAIRS)
    split = split_of(workspace, "a", 0.1)
    assert split.is_pairs
    sides: dict[str, list[str]] = {"train": [], "validation": []}
    for side, text, ends in split_parts(workspace.datasets / record.id, split):
        assert ends and PAIR_SEPARATOR not in text
        sides[side].append(text)
    assert not set(sides["train"]) & set(sides["validation"])
    assert len(sides["train"]) == 2 * split.train_documents
    assert sum(map(len, sides["train"])) == split.train_characters
    rows = first_documents(workspace.datasets / record.id, split, 5)
    assert {row.side for row in rows} == {"train", "validation"}
    assert all(row.target is not None and row.text.split()[1] == row.target.split()[1] for row in rows)


def test_pairs_need_no_window_and_a_text_without_pairs_is_refused_as_such(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_pairs(path, [PairText("a", "b"), PairText("c", "d"), PairText("e", "f")])
    import_corpus(workspace, path, AS_PAIRS)
    assert split_concerns(split_of(workspace, "a", 0.1), 0.1, 128) == []
    config = DataConfig(dataset="a", context_length=128)
    assert len(prepare_tokens(workspace, config).validation) == 4
    assert find_tokens(workspace, config) is not None
    import_corpus(workspace, "one\ntwo " * 200, ImportOptions(kind="paste", name="text"))
    with pytest.raises(UserError, match=r"no pairs of source and target.*text.*Reversed words"):
        require_pairs(prepare_tokens(workspace, DataConfig(dataset="text", context_length=16)).meta)


def test_a_tokenizer_without_end_token_is_refused_for_pairs(workspace: Workspace, table: Path) -> None:
    import_corpus(workspace, "just letters " * 20, ImportOptions(kind="paste", name="letters"))
    train_tokenizer(workspace, "letters", "byte", name="bytes")
    import_corpus(workspace, table, AS_PAIRS)
    with pytest.raises(UserError, match="no token that ends one"):
        prepare_tokens(workspace, DataConfig(dataset="words", tokenizer="bytes"))


def test_reversed_words_are_pairs_that_never_repeat(workspace: Workspace) -> None:
    record = ensure_dataset(workspace, "Reversed words")
    assert record.is_pairs and record.builtin and record.documents == 20_000
    pairs = stored(workspace, "synthetic-reversal")
    assert pairs == list(reversal_pairs())
    assert all(target == source[::-1] and source.isascii() and source.islower() for source, target in pairs)
    assert len({source for source, _ in pairs}) == len(pairs)
    assert {len(source) for source, _ in pairs} == set(range(3, 11))
    assert record.statistics is not None and record.statistics.sources is not None
    assert record.statistics.sources.longest == 10
    assert "ross attention" in record.look_for


def test_the_process_cuts_pairs_and_training_reads_them_without_pyarrow(workspace: Workspace, table: Path) -> None:
    import_corpus(workspace, table, AS_PAIRS)
    config = DataConfig(dataset="words", tokenizer="bpe:300").model_dump_json()
    command = [sys.executable, "-m", "llm_core.text.prepare", str(workspace.root), config]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (finished.returncode, finished.stderr) == (0, "")
    code = """
import sys
from llm_core.config.data import DataConfig
from llm_core.text.pair_batches import PairBatches
from llm_core.text.tokens import find_tokens
from llm_core.workspace.paths import open_workspace
found = find_tokens(open_workspace(sys.argv[1]), DataConfig.model_validate_json(sys.argv[2]))
PairBatches(found.train, found.tokenizer.end_of_text_id, 4, 64, 0).next()
print(sorted({"pyarrow", "pandas", "torch", "datasets", "streamlit"} & set(sys.modules)))
"""
    command = [sys.executable, "-c", code, str(workspace.root), config]
    finished = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert finished.stdout.strip() == "[]"


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=20), st.text(max_size=20))
def test_a_row_is_a_pair_or_nothing_or_refused(source: str, target: str) -> None:
    cells, names = (source, target), ("a", "b")
    if PAIR_SEPARATOR in source + target or bool(source.strip()) != bool(target.strip()):
        with pytest.raises(UserError, match=r"Row 7: “[ab]”"):
            row_document(cells, names, "Row 7")
    elif source.strip():
        assert split_pair(row_document(cells, names, "Row 7")) == cells
    else:
        assert row_document(cells, names, "Row 7") == ""
    assert row_document([source], ["a"], "Row 7") == source


def test_the_first_rows_are_seen_before_the_import_and_nothing_is_raised(tmp_path: Path) -> None:
    endings: list[SourceKind] = ["csv", "tsv", "jsonl", "parquet"]
    for ending in endings:
        path = tmp_path / f"words.{ending}"
        write_pairs(path)
        with path.open("rb") as stream:
            assert first_rows(stream, ending, ["en", "zh"], 4) == [list(pair) for pair in PAIRS[:4]]
    assert first_rows(io.BytesIO(b"a;b\r\n1;2\r\n"), "csv", ["b"]) == [["2"]]
    long = json.dumps({"a": "x" * 5_000_000}).encode()
    cases: list[tuple[SourceKind, bytes]] = [
        ("csv", b""),
        ("csv", b"\xff\xfe"),
        ("jsonl", b"{"),
        ("jsonl", b"[1]\n"),
        ("parquet", b"PAR1no"),
        ("jsonl", long),
    ]
    for kind, content in cases:
        assert first_rows(io.BytesIO(content), kind, ["a"]) == [], (kind, content[:20])
    assert first_rows(io.BytesIO(b"a,b\n1\n2,3\n"), "csv", ["a", "b"]) == [["1", ""], ["2", "3"]]
    assert first_rows(io.BytesIO(b'{"a": null}\n{"a": 5}\n{"b'), "jsonl", ["a"]) == [[""], ["5"]]


def test_tokens_of_pairs_are_exactly_texts_and_ends(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("q,a\nab,c\nba,cc\n", encoding="utf-8")
    import_corpus(workspace, path, ImportOptions(text_column="q", target_column="a"))
    token_set = prepare_tokens(workspace, DataConfig(dataset="a"))  # a, b, c, end = 0, 1, 2, 3
    streams = sorted([token_set.train.tolist(), token_set.validation.tolist()])
    assert streams == [[0, 1, 3, 2, 3], [1, 0, 3, 2, 2, 3]]
    assert token_set.train.dtype == np.uint16
