"""Every tokenizer: text comes back, unknown characters are named, nothing special arises from text, JSON keeps it all."""

from __future__ import annotations

import json
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tokenizers as library
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import models, pre_tokenizers

from llm_core.config.errors import NotFound, UserError
from llm_core.text.subword import encoding_pieces
from llm_core.text.subword_training import train_bpe
from llm_core.text.tokenizers import (
    END_OF_TEXT,
    ByteTokenizer,
    CharacterTokenizer,
    TextTokenizer,
    load_tokenizer_file,
    tokenizer_from_json,
)
from llm_core.text.visible import shown_token
from llm_core.text.words import WordTokenizer

CHINESE = "话说天下大势，分久必合，合久必分。\n孙悟空道：“俺老孙来也！”\n"
ENGLISH = "To be, or not to be: that's the question.\n\n  What's here?  It's 1603's  play.\n"
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@cache
def small_bpe() -> TextTokenizer:
    return train_bpe([ENGLISH * 20, CHINESE * 20], 400)


def every_tokenizer(text: str) -> list[TextTokenizer]:
    """One of each kind that knows all of `text`, with and without an end token."""
    return [
        CharacterTokenizer(text),
        CharacterTokenizer(text, end_of_text=True),
        ByteTokenizer(),
        ByteTokenizer(end_of_text=True),
        small_bpe(),
    ]


@settings(max_examples=150, deadline=None)
@given(ANY_TEXT)
def test_every_text_comes_back(text: str) -> None:
    for tokenizer in every_tokenizer(text):
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text
        assert b"".join(tokenizer.token_bytes(i) for i in ids).decode() == text
        assert tokenizer.encode_array(text).tolist() == ids
        assert tokenizer.encode_known(text) == (ids, [])
        assert [array.tolist() for array in tokenizer.encode_many([text, text])] == [ids, ids]
        assert int(tokenizer.byte_lengths()[ids].sum()) == len(text.encode())
        assert not tokenizer.special_ids & set(ids)


@settings(max_examples=100, deadline=None)
@given(ANY_TEXT)
def test_json_keeps_the_whole_tokenizer(text: str) -> None:
    for tokenizer in every_tokenizer(text or "x"):
        read = tokenizer_from_json(tokenizer.to_json())
        assert read.id == tokenizer.id
        assert read.vocabulary_size == tokenizer.vocabulary_size
        assert read.end_of_text_id == tokenizer.end_of_text_id
        assert read.encode(text) == tokenizer.encode(text)


def test_equal_tokenizers_have_equal_ids_and_others_do_not() -> None:
    ids = {tokenizer.id for tokenizer in every_tokenizer("abc")}
    assert len(ids) == 5
    assert CharacterTokenizer("cab").id == CharacterTokenizer("abcabc").id


def test_characters_are_numbered_in_code_point_order_without_specials() -> None:
    tokenizer = CharacterTokenizer("b\na你B")
    assert [tokenizer.token_text(i) for i in range(tokenizer.vocabulary_size)] == ["\n", "B", "a", "b", "你"]
    assert (tokenizer.special_ids, tokenizer.end_of_text_id) == (frozenset(), None)
    assert tokenizer.byte_lengths().tolist() == [1, 1, 1, 1, 3]


def test_the_end_token_is_the_last_id_and_stands_for_no_text() -> None:
    for tokenizer in (CharacterTokenizer("abc", end_of_text=True), ByteTokenizer(end_of_text=True)):
        end = tokenizer.end_of_text_id
        assert end == tokenizer.vocabulary_size - 1
        assert tokenizer.special_ids == {end}
        assert tokenizer.token_text(end) == END_OF_TEXT
        assert tokenizer.token_bytes(end) == b""
        assert tokenizer.byte_lengths()[end] == 0
        assert tokenizer.decode([97 if tokenizer.kind == "byte" else 0, end]) == "a"


def test_a_text_that_spells_the_end_token_is_text() -> None:
    text = f"before{END_OF_TEXT}after"
    for tokenizer in every_tokenizer(text):
        ids = tokenizer.encode(text)
        assert tokenizer.end_of_text_id not in ids
        assert tokenizer.decode(ids) == text


def test_unknown_characters_are_named_once_in_order_with_their_code_points() -> None:
    tokenizer = CharacterTokenizer("abc")
    with pytest.raises(UserError, match=r"“é” \(U\+00E9\), “你” \(U\+4F60\).*3 known.*byte or bpe"):
        tokenizer.encode("aéb你é")
    assert tokenizer.encode_known("aéb你é") == ([0, 1], ["é", "你"])


def test_half_a_surrogate_pair_is_refused_by_name() -> None:
    for tokenizer in every_tokenizer("ab"):
        with pytest.raises(UserError, match=r"U\+D83D"):
            tokenizer.encode("ab\ud83d")
    assert ByteTokenizer().encode_known("a\ud83d") == ([97], ["\ud83d"])


def test_parts_of_characters_show_their_bytes() -> None:
    tokenizer = ByteTokenizer()
    assert [tokenizer.token_text(i) for i in tokenizer.encode("a你\n\0")] == ["a", "⟨E4⟩", "⟨BD⟩", "⟨A0⟩", "\n", "⟨00⟩"]
    bpe = train_bpe(["a"], 257)
    assert [bpe.token_text(i) for i in bpe.encode(" 你")] == [" ", "⟨E4⟩", "⟨BD⟩", "⟨A0⟩"]
    assert bpe.decode(bpe.encode("你")[:2]) == "�"


def test_bpe_shows_chinese_tokens_and_its_first_merges() -> None:
    tokenizer = train_bpe([CHINESE * 20], 400)
    assert [tokenizer.token_text(i) for i in tokenizer.encode("话说天下大势")] == ["话说天下大势"]
    assert len(tokenizer.merges(10)) == 10
    assert tokenizer.merges(1)[0] == ("⟨EF⟩", "⟨BC⟩")  # the two bytes that ， and ： and ！ begin with


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from([" ", "\n", "a", "B7", "'s", "'", "!?", "你好", "。", "  ", "\t", "é", "_", "12"]), max_size=60
    )
)
def test_encoding_in_pieces_equals_encoding_the_whole(words: list[str]) -> None:
    text = "".join(words)
    whole = library.Tokenizer.from_str(small_bpe().to_json())
    whole.encode_special_tokens = True
    for size in (2, 7, 30):
        pieces = list(encoding_pieces([text], size))
        assert "".join(pieces) == text
        ids = [i for piece in pieces for i in whole.encode(piece, add_special_tokens=False).ids]
        assert ids == whole.encode(text, add_special_tokens=False).ids


@settings(max_examples=100, deadline=None)
@given(st.text(" \nab你。", max_size=120), st.lists(st.integers(0, 120), max_size=6))
def test_pieces_do_not_depend_on_how_the_text_arrives(text: str, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    parts = [text[start:end] for start, end in pairwise(places)]
    assert list(encoding_pieces(parts, 10)) == list(encoding_pieces([text], 10))


def test_gpt2_tokenizer_gives_the_published_counts(public_text: Path, tmp_path: Path) -> None:
    folder = public_text / "gpt2-tokenizer"
    merges = [
        tuple(line.split(" ")) for line in (folder / "merges.txt").read_text(encoding="utf-8").splitlines()[1:] if line
    ]
    gpt2 = library.Tokenizer(models.BPE(json.loads((folder / "vocab.json").read_text(encoding="utf-8")), merges))
    gpt2.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    gpt2.save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer_file(tmp_path / "tokenizer.json")
    text = (public_text / "tinyshakespeare" / "input.txt").read_text(encoding="utf-8")
    cut = int(0.9 * len(text))
    assert (len(tokenizer.encode(text[:cut])), len(tokenizer.encode(text[cut:]))) == (301_966, 36_059)
    assert tokenizer.decode(tokenizer.encode(text[cut:])) == text[cut:]
    assert (tokenizer.vocabulary_size, tokenizer.end_of_text_id) == (50_257, 50_256)


def save(tokenizer: library.Tokenizer, path: Path) -> TextTokenizer:
    tokenizer.save(str(path))
    return load_tokenizer_file(path)


def test_a_word_piece_tokenizer_loads_and_names_what_it_does_not_know(tmp_path: Path) -> None:
    vocabulary = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "play": 3, "##ing": 4, "a": 5}
    made = library.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens(["[UNK]", "[CLS]", "[SEP]"])
    made.enable_truncation(2)
    made.enable_padding(length=8)
    tokenizer = save(made, tmp_path / "tokenizer.json")
    assert tokenizer.kind == "wordpiece"
    assert tokenizer.encode("a playing play") == [5, 3, 4, 3]
    assert tokenizer.end_of_text_id == 2
    assert [tokenizer.token_bytes(i) for i in (3, 4, 1)] == [b" play", b"ing", b""]
    assert tokenizer.encode_known("a zebra") == ([5], ["zebra"])
    for attempt in (tokenizer.encode, lambda text: tokenizer.encode_many([text])):
        with pytest.raises(UserError, match="“zebra”"):
            attempt("a zebra")


def test_a_unigram_tokenizer_loads_and_gets_an_end_token(tmp_path: Path) -> None:
    made = library.Tokenizer(models.Unigram([("<unk>", 0.0), ("▁", -2.0), ("▁ab", -1.0), ("c", -1.5)], unk_id=0))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer = save(made, tmp_path / "tokenizer.json")
    assert tokenizer.kind == "unigram"
    assert [tokenizer.token_text(i) for i in tokenizer.encode("abc")] == [" ab", "c"]
    assert (tokenizer.vocabulary_size, tokenizer.end_of_text_id) == (5, 4)
    with pytest.raises(UserError, match="does not know"):
        tokenizer.encode("abz")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"{not json", r"line 1, column 2"),
        (b"[1, 2]", "not an object"),
        (b'{"type": "character", "characters": ""}', "no characters"),
        (b'{"a": 1, "b": 2}', "no `model`.*a, b"),
        (b'{"model": {"type": "BPE"}}', "cannot be read"),
        (b'{"model": {"type": "Pickle", "code": "import os"}}', "cannot be read"),
        (b"\x80\x04\x95pickle", "not UTF-8"),
        (b"[" * 100_000, "no JSON"),
    ],
)
def test_what_is_no_tokenizer_is_refused_in_words(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_tokenizer_file(path)


def test_a_missing_or_huge_tokenizer_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        load_tokenizer_file(tmp_path / "none.json")
    path = tmp_path / "big.json"
    with path.open("wb") as file:
        file.truncate(65 * 2**20)
    with pytest.raises(UserError, match=r"too large.*68 MB.*67 MB"):
        load_tokenizer_file(path)


@pytest.mark.parametrize("size", [256, 0, 200_001])
def test_bpe_sizes_out_of_bounds_are_refused(size: int) -> None:
    with pytest.raises(UserError, match="257"):
        train_bpe(["text"], size)


def test_bpe_training_is_the_same_every_time() -> None:
    texts = [ENGLISH * 5, CHINESE * 5]
    assert train_bpe(texts, 300).id == train_bpe(list(texts), 300).id


def test_arrays_are_int64() -> None:
    for tokenizer in every_tokenizer("ab"):
        assert tokenizer.encode_array("ab").dtype == np.int64
        assert tokenizer.encode_array("").shape == (0,)


def test_a_token_without_end_is_shown_by_its_beginning() -> None:
    tokenizer = WordTokenizer(["short", "x" * 1_000_000])
    assert shown_token(tokenizer, tokenizer.encode("short")[0]) == " short"
    shown = shown_token(tokenizer, tokenizer.encode("x" * 1_000_000)[0])
    assert len(shown) < 500 and shown.endswith("… (1,000,001 characters)")
