"""One text cut for showing: pieces in order, unknown ones in their place, figures that add up; and what is drawn."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from llm_core.config.errors import NotFound
from llm_core.text.cutting import cut, open_option, tokenizer_options
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus, split_of
from llm_core.text.progress import progress_words
from llm_core.text.split_preview import first_documents, text_around_cut
from llm_core.text.table_columns import table_columns
from llm_core.text.tokenizer_library import import_tokenizer, train_tokenizer
from llm_core.text.tokenizers import ByteTokenizer, CharacterTokenizer, train_bpe
from llm_core.text.visible import visible_white_space
from llm_core.workspace.paths import Workspace

TEXT = "the cat and the hat, 你好 naïve\n"


def test_pieces_are_the_text_in_order_for_every_kind() -> None:
    bpe = train_bpe([TEXT * 20], 300)
    for tokenizer in (CharacterTokenizer(TEXT), ByteTokenizer(), bpe):
        result = cut(tokenizer, TEXT)
        assert [piece.token_id for piece in result.pieces] == tokenizer.encode(TEXT)
        assert b"".join(piece.data for piece in result.pieces) == TEXT.encode()
        assert result.tokens == len(result.pieces)
        assert result.bytes_per_token == pytest.approx(len(TEXT.encode()) / result.tokens)
        assert (result.unknown, result.unknown_share) == ([], 0)
    assert cut(bpe, TEXT).tokens < cut(ByteTokenizer(), TEXT).tokens


def test_unknown_text_stays_in_its_place_and_counts_as_no_token() -> None:
    result = cut(CharacterTokenizer("abc "), "ab é ca é!")
    assert [piece.token_id is None for piece in result.pieces] == [character in "é!" for character in "ab é ca é!"]
    assert (result.tokens, result.unknown, result.unknown_share) == (7, ["é", "!"], 0.3)
    assert result.bytes_per_token == 1
    assert cut(CharacterTokenizer("a"), "").unknown_share == 0


def test_unknown_words_of_a_word_piece_tokenizer_stay_in_their_place(workspace: Workspace, tmp_path: Path) -> None:
    vocabulary = {"[UNK]": 0, "cat": 1, "the": 2}
    fields = {
        "version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"}, "normalizer": None,
        "post_processor": None, "decoder": None, "truncation": None, "padding": None,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
    }  # fmt: skip
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(fields), encoding="utf-8")
    record = import_tokenizer(workspace, path, "words")
    result = cut(open_option(workspace, record.id, ""), "the dog the cat")
    assert [(piece.token_id, piece.text.strip()) for piece in result.pieces] == [
        (2, "the"), (None, "dog"), (2, "the"), (1, "cat"),
    ]  # fmt: skip
    assert result.unknown_share == pytest.approx(3 / 15)


def test_a_text_can_be_cut_by_what_is_there(workspace: Workspace) -> None:
    assert [option.key for option in tokenizer_options(workspace)] == ["byte", "text"]
    record = import_corpus(workspace, TEXT * 20, ImportOptions(kind="paste", name="mine"))
    kept = train_tokenizer(workspace, "mine", "bpe", 270, "small")
    options = {option.key: option.title for option in tokenizer_options(workspace)}
    assert list(options.values()) == ["small", "Bytes", "Characters of mine", "Characters of this sample"]
    assert open_option(workspace, kept.id, "").vocabulary_size == 270
    assert cut(open_option(workspace, f"char:{record.id}", "xyz"), "xyz").unknown == ["x", "y", "z"]
    assert cut(open_option(workspace, "text", "xyz"), "xyz").unknown == []
    for key in ("none", "char:none", "char:python-reference"):
        with pytest.raises(NotFound):
            open_option(workspace, key, "")


def test_white_space_is_drawn_and_nothing_else() -> None:
    assert visible_white_space("a b\t你\r\n\u00a0\u3000\u200b\u2028é") == "a·b⇥\t你␍⏎\n⍽□⟨200B⟩⟨2028⟩é"


def test_the_cut_of_one_document_is_shown_where_it_is(workspace: Workspace) -> None:
    text = "".join(f"{number:05d}\n" for number in range(60_000))
    record = import_corpus(workspace, text, ImportOptions(kind="paste", name="mine"))
    for fraction in (0.001, 0.1, 0.5):
        split = split_of(workspace, "mine", fraction)
        before, after = text_around_cut(workspace.datasets / record.id, split, 100)
        place = split.train_characters
        assert (before, after) == (text[place - 100 : place], text[place : place + 100])


def test_the_first_documents_are_shown_with_their_side(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    path.write_text("".join(json.dumps({"text": f"number {n}"}) + "\n" for n in range(300)), encoding="utf-8")
    record = import_corpus(workspace, path, ImportOptions())
    split = split_of(workspace, "many", 0.005)
    rows = first_documents(workspace.datasets / record.id, split, 5)
    assert [row.text for row in rows] == [f"number {row.number - 1}" for row in rows]
    assert {row.side for row in rows} == {"train", "validation"}
    assert [row.number for row in rows[:5]] == [1, 2, 3, 4, 5]


def test_columns_are_found_before_the_import_and_nothing_is_raised() -> None:
    table = io.BytesIO()
    parquet.write_table(pa.table({"id": [1], "story": ["a"]}), table)
    cases = [
        ("csv", b"\xef\xbb\xbfid, story\n1,x\n", ["id", "story"]),
        ("csv", b"id;story\n", ["id", "story"]),
        ("tsv", b"id\tstory\n", ["id", "story"]),
        ("jsonl", b'{"id": 1, "story": "x", "note": null}\n', ["story", "note"]),
        ("parquet", table.getvalue(), ["story"]),
        ("text", b"id,story\n", []),
        ("csv", b"\xff\xfe\n", []),
        ("jsonl", b"[1]\n", []),
        ("jsonl", b"{", []),
        ("parquet", b"PAR1nothing", []),
    ]
    for kind, content, expected in cases:
        assert table_columns(io.BytesIO(content), kind) == expected, (kind, content)


def test_progress_is_said_in_the_phases_own_unit() -> None:
    assert progress_words("reading text", 12_100_000, 1_120_000_000) == "reading text, 12.1 MB of 1.12 GB"
    assert progress_words("reading rows", 1200, None) == "reading rows, 1,200 rows"
    assert progress_words("learning merges", 0, 1000) == "learning merges, 0 of 1,000 entries"
    assert progress_words("starting", 0, None) == "starting"
