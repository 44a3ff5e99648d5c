"""WordPiece, Unigram and words: what comes back, what is unknown and how it is said, sizes, names; and what foreign files lack."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tokenizers as library
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import models, pre_tokenizers

from llm_core.config.data import DataConfig
from llm_core.config.errors import NameTaken, UserError
from llm_core.generation.likelihood import sum_losses
from llm_core.models.huggingface.tokenizer_files import read_tokenizer, tokenizer_json
from llm_core.text.cleaning import CleaningOptions
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus
from llm_core.text.subword import SubwordTokenizer, encoding_pieces
from llm_core.text.subword_training import (
    UNIGRAM_SPECIALS,
    WORDPIECE_SPECIALS,
    train_bpe,
    train_unigram,
    train_wordpiece,
)
from llm_core.text.tokenizer_library import open_tokenizer, train_tokenizer
from llm_core.text.tokenizer_names import TokenizerChoice, tokenizer_choice, tokenizer_name
from llm_core.text.tokenizers import TextTokenizer, WordTokenizer, load_tokenizer_file, tokenizer_from_json
from llm_core.text.tokens import prepare_tokens
from llm_core.text.words import LINE_END_ID, UNKNOWN_ID, train_words
from llm_core.workspace.paths import Workspace

CHINESE = "话说天下大势，分久必合，合久必分。\n孙悟空道：“俺老孙来也！”\n"
ENGLISH = "To be, or not to be: that's the question.\n\n  What's here?  It's 1603's  play, naïve café.\n"
ALPHABET = ENGLISH + CHINESE + "d;!"
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
SPECIAL_SPELLINGS = ["</s>", "<pad>", "<unk>", "<0x41>", "[SEP]", "[MASK]", "##a", " ", "\n", "a", "<", "\t", "好"]


@cache
def unigram() -> TextTokenizer:
    return train_unigram([ENGLISH * 20, CHINESE * 20], 400)


@cache
def wordpiece() -> TextTokenizer:
    return train_wordpiece([ENGLISH * 20, CHINESE * 20], 400, ALPHABET)


def without_white_space(text: str) -> str:
    return "".join(text.split())


@settings(max_examples=150, deadline=None)
@given(ANY_TEXT.filter(lambda text: "\u2581" not in text) | st.lists(st.sampled_from(SPECIAL_SPELLINGS)).map("".join))
def test_unigram_gives_every_text_back(text: str) -> None:
    tokenizer = unigram()
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert b"".join(tokenizer.token_bytes(i) for i in ids).decode() == text
    assert int(tokenizer.byte_lengths()[ids].sum()) == len(text.encode())
    assert tokenizer.encode_known(text) == (ids, [])
    assert not tokenizer.special_ids & set(ids)


@settings(max_examples=150, deadline=None)
@given(
    st.text(st.sampled_from(sorted(set(ALPHABET))), max_size=200)
    | st.lists(st.sampled_from([*ENGLISH.split(), *CHINESE, "x" * 3, " do not", "!", "a" * 250, "\n"])).map("".join)
)
def test_wordpiece_gives_back_all_but_white_space(text: str) -> None:
    text = text.replace("x", "a")
    tokenizer = wordpiece()
    ids = tokenizer.encode(text)
    assert without_white_space(tokenizer.decode(ids)) == without_white_space(text)
    assert int(tokenizer.byte_lengths()[ids].sum()) == len(without_white_space(text).encode())
    assert not tokenizer.special_ids & set(ids)


def test_wordpiece_marks_what_goes_on_inside_a_word_and_puts_signs_where_they_stand() -> None:
    tokenizer = wordpiece()
    names = tokenizer_names(tokenizer)
    assert names[:5] == list(WORDPIECE_SPECIALS)
    assert {"##o", "o", "是", "?"} - set(names) == {"是"}, "no character that the text lacks"
    assert "##?" not in names and "##话" not in names, "a sign or an ideograph is never inside a word"
    assert tokenizer.decode(tokenizer.encode("To be, or not to be; do not!")) == "To be, or not to be; do not!"
    assert tokenizer.token_text(tokenizer.end_of_text_id or 0) == "[SEP]"


def test_wordpiece_names_words_with_characters_that_the_text_lacks() -> None:
    tokenizer = wordpiece()
    with pytest.raises(UserError, match="“wöw”, “好”"):
        tokenizer.encode("be wöw 好")
    known, unknown = tokenizer.encode_known("be wöw 好")
    assert (tokenizer.decode(known), unknown) == ("be", ["wöw", "好"])


def test_unigram_has_the_specials_of_t5_and_every_byte() -> None:
    tokenizer = unigram()
    names = tokenizer_names(tokenizer)
    assert names[:3] == list(UNIGRAM_SPECIALS)
    assert [tokenizer.token_bytes(3 + value) for value in range(256)] == [bytes([value]) for value in range(256)]
    assert tokenizer.vocabulary_size <= 400
    assert tokenizer.token_text(tokenizer.end_of_text_id or 0) == "</s>"
    assert [tokenizer.token_text(i) for i in tokenizer.encode("Ж")] == ["⟨D0⟩", "⟨96⟩"]


def test_unigram_leaves_the_rarest_characters_to_bytes() -> None:
    text = "".join(chr(0x4E00 + number) for number in range(2_000)) + "aé " * 50_000
    tokenizer = train_unigram([text], 300)
    assert tokenizer.vocabulary_size <= 300
    assert tokenizer.decode(tokenizer.encode(text[:3_000])) == text[:3_000]


@pytest.mark.parametrize("train", [train_bpe, train_unigram, lambda texts, size: train_wordpiece(texts, size, CHINESE)])
def test_every_id_of_a_learned_vocabulary_has_a_length(train: object) -> None:
    tokenizer: TextTokenizer = train([CHINESE * 30], 350)  # type: ignore[operator]
    lengths = tokenizer.byte_lengths()
    assert lengths.shape == (tokenizer.vocabulary_size,)
    for token_id in range(tokenizer.vocabulary_size):
        is_special = token_id in tokenizer.special_ids
        assert (lengths[token_id] == 0) == is_special, tokenizer.token_text(token_id)
    read = tokenizer_from_json(tokenizer.to_json())
    assert (read.id, read.kind, read.end_of_text_id) == (tokenizer.id, tokenizer.kind, tokenizer.end_of_text_id)
    ids = tokenizer.encode(CHINESE)
    assert read.encode(CHINESE) == ids
    assert [array.tolist() for array in tokenizer.encode_many([CHINESE, CHINESE])] == [ids, ids]
    assert b"".join(piece.data for piece in tokenizer.pieces(CHINESE)) == b"".join(map(tokenizer.token_bytes, ids))


def test_training_is_the_same_every_time() -> None:
    texts = [ENGLISH * 5, CHINESE * 5]
    assert train_wordpiece(texts, 300, "".join(texts)).id == train_wordpiece(texts, 300, "".join(texts)).id
    assert train_words(texts).id == train_words(texts).id


@pytest.mark.parametrize(
    ("kind", "size", "message"),
    [
        ("wordpiece", 99, r"WordPiece.*100 \(5 special"),
        ("unigram", 299, r"Unigram.*300 \(3 special"),
        ("word", 9, r"words.*10 \(<unk>"),
        ("bpe", 200_001, r"byte-level BPE.*200,000"),
        ("wordpiece", 100, r"no room for the characters.*at least \d+"),
    ],
)
def test_sizes_that_cannot_be_are_refused(workspace: Workspace, kind: str, size: int, message: str) -> None:
    import_corpus(
        workspace, ENGLISH * 9 + "".join(map(chr, range(0x100, 0x180))), ImportOptions(kind="paste", name="story")
    )
    with pytest.raises(UserError, match=message):
        train_tokenizer(workspace, "story", kind, size)  # type: ignore[arg-type]


WORDS = st.sampled_from(["the", "lobster", "<unk>", ",", "龙虾", "@-@", "="])
LINES = st.lists(st.lists(WORDS, max_size=6), max_size=6)


@settings(max_examples=100, deadline=None)
@given(LINES)
def test_the_standard_form_comes_back_byte_for_byte(lines: list[list[str]]) -> None:
    text = "".join("".join(f" {word}" for word in line) + " \n" for line in lines)
    tokenizer = train_words(encoding_pieces([" the = \n" + text]))
    ids = tokenizer.encode(text)
    assert tokenizer.spaced_lines
    assert tokenizer.decode(ids) == text
    assert int(tokenizer.byte_lengths()[ids].sum()) == len(text.encode())
    assert b"".join(piece.data for piece in tokenizer.pieces(text)) == text.encode()


@settings(max_examples=100, deadline=None)
@given(LINES)
def test_other_texts_come_back_with_one_space_between_words(lines: list[list[str]]) -> None:
    text = "\n".join(" ".join(line) for line in lines)
    tokenizer = train_words(["the = , @-@ 龙虾 lobster <unk>\nx"])
    ids = tokenizer.encode(text)
    assert not tokenizer.spaced_lines
    assert tokenizer.decode(ids) == text
    assert int(tokenizer.byte_lengths()[ids].sum()) <= len(text.encode()) + 1
    assert tokenizer.encode_array(text.replace(" ", "  ")).tolist() == ids
    read = tokenizer_from_json(tokenizer.to_json())
    assert (read.id, read.encode(text)) == (tokenizer.id, ids)


def test_an_unknown_word_is_a_token_of_its_own_and_a_literal_unk_a_word() -> None:
    tokenizer = train_words([" the <unk> lobster \n"])
    ids = tokenizer.encode(" the zebra <unk> \n")
    literal = tokenizer.words.index("<unk>") + 2
    assert ids == [tokenizer.words.index("the") + 2, UNKNOWN_ID, literal, LINE_END_ID]
    assert tokenizer.encode_known(" the zebra <unk> zebra") == ([ids[0], literal], ["zebra"])
    assert [piece.token_id for piece in tokenizer.pieces(" the zebra <unk>")] == [ids[0], None, literal]
    assert tokenizer.decode(ids) == " the <unk> <unk> \n"
    assert tokenizer.byte_lengths()[[UNKNOWN_ID, literal, LINE_END_ID]].tolist() == [0, 6, 2]
    with pytest.raises(UserError, match="surrogate"):
        tokenizer.encode("a\ud83d")


def test_bits_per_byte_are_null_where_a_target_is_unknown() -> None:
    tokenizer = train_words([" the <unk> lobster \n"])
    known, some = (tokenizer.encode_array(text) for text in (" the <unk> lobster \n", " the zebra lobster \n"))
    result = sum_losses([np.ones(3)], known, tokenizer)
    assert (result.unknown_tokens, result.bytes) == (0, len(" <unk> lobster \n"))
    assert result.bits_per_byte is not None
    result = sum_losses([np.ones(3)], some, tokenizer)
    assert (result.unknown_tokens, result.bits_per_byte, result.loss) == (1, None, 1.0)


def test_the_most_frequent_words_are_kept() -> None:
    tokenizer = train_words(["b b a a c a d"], 5, end_of_text=True)
    assert isinstance(tokenizer, WordTokenizer)
    assert (tokenizer.words, tokenizer.vocabulary_size, tokenizer.end_of_text_id) == (("a", "b"), 5, 4)
    assert tokenizer.special_ids == {4}
    assert tokenizer.decode([2, 3, 1, 2, 4]) == "a b\na"


@pytest.mark.parametrize("words", [[], ["a", "a"], ["a b"], [1], "ab", None])
def test_a_damaged_list_of_words_is_refused(words: object) -> None:
    import json

    with pytest.raises(UserError, match="lists no words"):
        tokenizer_from_json(json.dumps({"type": "word", "words": words}))


NAMES = ["wordpiece:400", "unigram:400", "word", "word:40"]


@pytest.mark.parametrize("name", NAMES)
def test_tokens_are_prepared_for_every_name(workspace: Workspace, name: str) -> None:
    text = ENGLISH * 60 + "seldom " + CHINESE * 20
    import_corpus(workspace, text, ImportOptions(kind="paste", name="story"))
    token_set = prepare_tokens(workspace, DataConfig(dataset="story", tokenizer=name, context_length=4))
    cutter, cut = token_set.tokenizer, int(0.9 * len(text))
    kind, _, size = name.partition(":")
    assert cutter.kind == kind
    assert cutter.vocabulary_size <= int(size or 10**6)
    assert token_set.train.tolist() == cutter.encode(text[:cut])
    if kind == "unigram":
        assert cutter.decode(token_set.validation) == text[cut:]
    if name != "word:40":
        assert without_white_space(cutter.decode(token_set.validation)) == without_white_space(text[cut:])
    if name == "word":
        assert UNKNOWN_ID not in token_set.validation
    kept = train_tokenizer(workspace, "story", kind, int(size or 0))  # type: ignore[arg-type]
    assert kept.name == f"{name.replace(':', '-')} story"
    assert open_tokenizer(workspace, kept.name).vocabulary_size == kept.vocabulary_size == cutter.vocabulary_size
    if kind != "unigram":  # its scores differ a little from one training to the next
        assert kept.content_id == cutter.id


@pytest.mark.parametrize("name", NAMES)
def test_every_document_of_several_is_ended(workspace: Workspace, name: str) -> None:
    text = "\n".join(f"line {number} 从前 naïve" for number in range(200))
    options = ImportOptions(kind="paste", name="lines", cleaning=CleaningOptions(document_separator="\n"))
    import_corpus(workspace, text, options)
    token_set = prepare_tokens(workspace, DataConfig(dataset="lines", tokenizer=name, context_length=4))
    end = token_set.tokenizer.end_of_text_id
    assert end in token_set.tokenizer.special_ids
    assert int((token_set.train == end).sum()) == token_set.meta.train_documents
    assert int((token_set.validation == end).sum()) == token_set.meta.validation_documents


@pytest.mark.parametrize(
    ("name", "choice"),
    [
        ("char", ("char", 0, "")),
        ("bpe:300", ("bpe", 300, "")),
        ("wordpiece:5000", ("wordpiece", 5_000, "")),
        ("unigram:5000", ("unigram", 5_000, "")),
        ("word", ("word", 0, "")),
        ("word:5000", ("word", 5_000, "")),
        ("my words", (None, 0, "my words")),
        ("char:9", (None, 0, "char:9")),
        ("wordy:5", (None, 0, "wordy:5")),
    ],
)
def test_names_are_read(name: str, choice: tuple[object, int, str]) -> None:
    read = tokenizer_choice(name)
    assert (read.kind, read.size, read.reference) == choice
    if read.kind is not None:
        assert tokenizer_choice(tokenizer_name(read.kind, read.size)) == TokenizerChoice(read.kind, read.size, "")


@pytest.mark.parametrize("name", ["bpe", "wordpiece", "unigram", "word:", "unigram:x", "bpe:-5", "word:1e4", "bpe:٣٠٠"])
def test_a_name_without_a_size_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"no vocabulary size.*<size>"):
        tokenizer_choice(name)


@pytest.mark.parametrize("name", ["word", "word:300", "unigram", "wordpiece:5"])
def test_no_tokenizer_of_a_workspace_takes_these_names(workspace: Workspace, name: str) -> None:
    import_corpus(workspace, ENGLISH * 9, ImportOptions(kind="paste", name="story"))
    with pytest.raises(NameTaken):
        train_tokenizer(workspace, "story", "byte", name=name)


@pytest.mark.parametrize(
    "model", [models.WordLevel({"the": 0, "cat": 1}, unk_token="none"), models.WordPiece({"the": 0, "cat": 1}, unk_token="no")]
)  # fmt: skip
def test_a_foreign_tokenizer_without_an_unknown_token_names_the_word(tmp_path: Path, model: object) -> None:
    made = library.Tokenizer(model)  # type: ignore[arg-type]
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer_file(tmp_path / "tokenizer.json")
    assert tokenizer.encode("the cat") == [0, 1]
    for attempt in (tokenizer.encode, tokenizer.encode_array, lambda text: tokenizer.encode_many(["the", text])):
        with pytest.raises(UserError, match="“dog”"):
            attempt("the dog the cat")
    assert tokenizer.encode_known("the dog the cat") == ([0, 0, 1], ["dog"])
    assert [(piece.token_id, piece.text.strip()) for piece in tokenizer.pieces("the dog")] == [
        (0, "the"),
        (None, "dog"),
    ]


@pytest.mark.parametrize("text", [" the <unk> lobster \n \n , the \n", "the lobster\n\n, the"])
@pytest.mark.parametrize("end_of_text", [False, True])
def test_words_leave_and_come_back_in_the_form_of_the_library(tmp_path: Path, text: str, end_of_text: bool) -> None:
    tokenizer = train_words([text], end_of_text=end_of_text)
    path = tmp_path / "tokenizer.json"
    path.write_text(tokenizer_json(tokenizer, tokenizer.vocabulary_size), encoding="utf-8")
    outside = library.Tokenizer.from_file(str(path))
    for shown in (text, "the  zebra\t,\n"):
        assert outside.encode(shown).ids == tokenizer.encode(shown)
    if tokenizer.spaced_lines:
        assert outside.decode(tokenizer.encode(text)) == text
    again, _ = read_tokenizer(path, tokenizer.vocabulary_size)
    assert again.id == tokenizer.id


@pytest.mark.slow
def test_wikitext_has_the_published_counts_and_comes_back(public_text: Path) -> None:
    folder = public_text / "wikitext-2"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    texts = [(folder / f"{name}.txt").read_bytes().decode() for name in ("train", "valid", "test")]
    tokenizer = train_words(encoding_pieces([texts[0]]))
    counts = [tokenizer.encode_array(text) for text in texts]
    assert [len(ids) for ids in counts] == [2_088_628, 217_646, 245_569]
    assert not any((ids == UNKNOWN_ID).any() for ids in counts), "its literal <unk> is a word"
    assert tokenizer.vocabulary_size == 33_278 + 1, "and the unknown word has a place of its own"
    assert [tokenizer.decode(ids.tolist()) for ids in counts] == texts


def tokenizer_names(tokenizer: TextTokenizer) -> list[str]:
    import json

    vocabulary = json.loads(tokenizer.to_json())["model"]["vocab"]
    return [piece for piece, _ in vocabulary] if isinstance(vocabulary, list) else list(vocabulary)


def test_what_a_foreign_bpe_leaves_out_is_named() -> None:
    """Without bytes, fallback or an unknown token the library drops characters in silence; a text must not lose them so."""
    vocabulary = {"a": 0, "b": 1, "ab": 2}
    tokenizer = SubwordTokenizer(library.Tokenizer(models.BPE(vocabulary, [("a", "b")])).to_str())
    assert tokenizer.encode("abba") == [2, 1, 0]
    with pytest.raises(UserError, match="does not know") as raised:
        tokenizer.encode("ab§a")
    assert "§" in str(raised.value.value)
    assert tokenizer.encode_known("§ab§") == ([2], ["§"])
    with pytest.raises(UserError, match="does not know"):
        tokenizer.encode_many(["ab", "b§"])
    assert [piece.token_id for piece in tokenizer.pieces("a§b")] == [0, None, 1]
