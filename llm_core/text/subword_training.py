"""Learning subword vocabularies with the `tokenizers` library: byte-level BPE, WordPiece, Unigram. No network.

Of equally frequent pairs the library joins the one whose pieces have the smaller ids; the trainer to watch (`bpe_trainer.py`) takes the
greatest. What of a text comes back: with BPE all of it. With Unigram all but U+2581, which comes back as the space that it stands for.
With WordPiece all but white space: one space stands between words and none before .,!?;: (BERT's own clean-up also turns "do not" into
"don't", and so is not used; nor are control characters and accents taken away). No text is unknown to BPE and Unigram, which fall back
to bytes; WordPiece knows every word over the characters that it was given. Not here: encoding (`subword.py`), words (`words.py`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

from llm_core.config.errors import UserError
from llm_core.text.subword import SubwordTokenizer
from llm_core.text.tokenizer_interface import END_OF_TEXT
from llm_core.text.tokenizer_names import check_size

WORDPIECE_SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""BERT's, with its ids but for those that it left unused between the first and the others."""
UNIGRAM_SPECIALS = ("<pad>", "</s>", "<unk>")
"""T5's, with its ids."""
_INSIDE = "##"
_LONGEST_WORD = 100
_SPACE = "\u2581"
_COVERED_SHARE = 0.9995
_BYTES = tuple(f"<0x{value:02X}>" for value in range(256))
# A text that spells a special piece or a byte is cut after its bracket, so that no piece of that name is ever found in it.
_SPELLED_PIECE = r"<(?=(?:0x[0-9A-F]{2}|pad|/s|unk)>)"


def train_bpe(texts: Iterable[str], size: int) -> SubwordTokenizer:
    """Train byte-level BPE (GPT-2's pre-tokenizer) on the texts; no prefix space, every byte known.

    Args:
        texts: pieces of text; each is one unit (no merge reaches across two), so cut long texts with `encoding_pieces`.
        size: vocabulary size wanted: 256 bytes, `<|endoftext|>` as id 0 of the library's order, and merges. A small text
            may have fewer merges than asked for.

    Raises:
        UserError: `size` out of bounds.
    """
    check_size("bpe", size)
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer=trainer)
    return SubwordTokenizer(tokenizer.to_str())


def train_wordpiece(texts: Iterable[str], size: int, alphabet: str) -> SubwordTokenizer:
    """Train WordPiece in the form of cased BERT: words and signs apart, `##` inside words, `[SEP]` ends a document.

    Words of more than 100 characters are cut after every hundredth, where BERT would not know them.

    Args:
        texts: pieces of text, cut where white space begins.
        size: vocabulary size wanted; a small text may have fewer pieces.
        alphabet: the characters of the texts and any others that are to be known, alone and inside words.

    Raises:
        UserError: `size` out of bounds, or too small for the characters.
    """
    check_size("wordpiece", size)
    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=_LONGEST_WORD))  # noqa: S106
    tokenizer.normalizer = normalizers.BertNormalizer(clean_text=False, strip_accents=False, lowercase=False)
    long_words = pre_tokenizers.Split(Regex(rf"[\s\S]{{1,{_LONGEST_WORD}}}"), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.BertPreTokenizer(), long_words])
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.WordPiece(prefix=_INSIDE, cleanup=False),
            decoders.Fuse(),
            decoders.Replace(Regex(" (?=[.,!?;:])"), ""),
        ]
    )
    needed = [*WORDPIECE_SPECIALS, *_character_pieces(tokenizer, alphabet)]
    _check_room(size, len(needed), "WordPiece")
    # Named beforehand, because the library numbers characters inside words in the order of a hash table, and ties go by number.
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=needed, continuing_subword_prefix=_INSIDE, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer=trainer)
    fields = cast("dict[str, Any]", json.loads(tokenizer.to_str()))
    fields["added_tokens"] = [token for token in fields["added_tokens"] if token["content"] in WORDPIECE_SPECIALS]
    return SubwordTokenizer(json.dumps(fields, ensure_ascii=False))


def train_unigram(texts: Iterable[str], size: int) -> SubwordTokenizer:
    """Train a Unigram model (Kudo 2018) in T5's form: spaces as U+2581 at the beginning of pieces, `</s>` ends a document.

    Unlike T5's it changes nothing before cutting, adds no space in front, and falls back to bytes, so that every text is known.
    White space other than spaces is a piece of its own, and the rarest characters (0.05 % of the text) are bytes.
    The library adds up in no fixed order, so that scores differ in the fourth digit from one training to the next.

    Args:
        texts: pieces of text, cut where white space begins.
        size: vocabulary size wanted, with 3 special tokens and 256 bytes; the likeliest pieces are kept. A small text may have fewer.

    Raises:
        UserError: `size` out of bounds, or nothing to learn from.
    """
    check_size("unigram", size)
    tokenizer = tokenizers.Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPELLED_PIECE), "isolated"),
            pre_tokenizers.Split(Regex(r"[^\S ]"), "isolated"),
            pre_tokenizers.Metaspace(replacement=_SPACE, prepend_scheme="never", split=True),
        ]
    )
    tokenizer.decoder = decoders.Sequence([decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])
    room = size - len(UNIGRAM_SPECIALS) - len(_BYTES)
    unknown = UNIGRAM_SPECIALS[-1]
    trainer = trainers.UnigramTrainer(
        vocab_size=room + 1, unk_token=unknown, special_tokens=[unknown], show_progress=False
    )
    try:
        tokenizer.train_from_iterator(_without_rare_characters(list(texts), room // 2), trainer=trainer)
    except Exception as error:  # the library raises bare Exception where it finds no piece
        raise UserError(f"No pieces can be learned: {str(error)[:200]}", remedy="Bring more text") from error
    fields = cast("dict[str, Any]", json.loads(tokenizer.to_str()))
    learned = [(piece, score) for piece, score in fields["model"]["vocab"] if piece != unknown]
    kept = sorted(learned, key=lambda entry: (-entry[1], entry[0]))[:room]
    fields["model"] |= {
        "vocab": [[piece, 0.0] for piece in (*UNIGRAM_SPECIALS, *_BYTES)] + [list(entry) for entry in kept],
        "unk_id": UNIGRAM_SPECIALS.index(unknown),
        "byte_fallback": True,
    }
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    fields["added_tokens"] = [{"id": index, "content": name, **flags} for index, name in enumerate(UNIGRAM_SPECIALS)]
    return SubwordTokenizer(json.dumps(fields, ensure_ascii=False))


def _without_rare_characters(texts: Sequence[str], most: int) -> Iterator[str]:
    """The texts with line ends in place of characters that bytes will stand for: those beyond 99.95 % of the text, or beyond `most`."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    wanted, covered, kept = _COVERED_SHARE * counts.total(), 0, set[str]()
    for character, count in counts.most_common(most):
        if covered >= wanted:
            break
        covered += count
        kept.add(character)
    rare = {ord(character): "\n" for character in counts if character not in kept}
    for text in texts:
        yield text.translate(rare) if rare else text


def _character_pieces(tokenizer: tokenizers.Tokenizer, alphabet: str) -> list[str]:
    """The pieces without which some word would be unknown: each character alone, and inside words where it can stand there."""
    pieces: list[str] = []
    for character in sorted(set(alphabet)):
        normalized = tokenizer.normalizer.normalize_str(f"a{character}")
        words = [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normalized)]
        if words == ["a"]:
            continue  # white space
        pieces += [words[0][1:], _INSIDE + words[0][1:]] if len(words) == 1 else words[1:]
    return list(dict.fromkeys(pieces))


def _check_room(size: int, needed: int, title: str) -> None:
    if needed > size:
        raise UserError(
            f"A {title} vocabulary of this size has no room for the characters of the text",
            value=f"{size:,}",
            limit=f"at least {needed:,}, one entry for each character and another for it inside words",
            remedy="Ask for a larger vocabulary",
        )
