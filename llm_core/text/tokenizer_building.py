"""Making a tokenizer of any kind for a stored text: what of the text it learns from, how far it is, how it is cancelled.

Not here: the learning itself (`subword_training.py`, `words.py`), keeping what was made (`tokenizer_library.py`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from pathlib import Path

from llm_core.text.progress import (
    LEARNING_MERGES,
    LEARNING_PIECES,
    READING_TRAINING_PART,
    CancelHook,
    ProgressHook,
    never_cancelled,
    no_progress,
    stop_if_cancelled,
)
from llm_core.text.splits import Split, split_parts
from llm_core.text.subword import encoding_pieces
from llm_core.text.subword_training import train_bpe, train_unigram, train_wordpiece
from llm_core.text.tokenizer_names import TokenizerKind, check_size
from llm_core.text.tokenizers import ByteTokenizer, CharacterTokenizer, TextTokenizer
from llm_core.text.words import train_words

LARGEST_TEXT_CHARACTERS = 64 * 2**20
"""Pieces of words are learned from at most so much of the training part; more changes few of them and takes gigabytes."""
LARGEST_UNIGRAM_TEXT_CHARACTERS = 4 * 2**20
"""Unigram begins with every stretch of text that occurs twice, and is many times slower, above all where no spaces divide it."""

_LOOK_SECONDS = 0.2

Learner = Callable[[Iterable[str]], TextTokenizer]


def build_tokenizer(
    folder: Path,
    split: Split,
    kind: TokenizerKind,
    size: int,
    *,
    progress: ProgressHook = no_progress,
    cancelled: CancelHook = never_cancelled,
) -> TextTokenizer:
    """The tokenizer of a kind for a stored text.

    `char` knows every character of the whole text, `word` without a size every word, and `wordpiece` every word over its characters,
    so that validation never meets an unknown one; all else is learned from the training part alone. With several documents each
    kind has a token that ends one; with one, `char`, `byte` and `word` have no specials.

    Raises:
        UserError: a size that the kind or the text does not allow.
        Cancelled.
    """
    several = not split.is_one_document
    check_size(kind, size)
    if kind == "char":
        return CharacterTokenizer(split.alphabet, end_of_text=several)
    if kind == "byte":
        return ByteTokenizer(end_of_text=several)
    whole_text = kind == "word" and not size
    total = split.train_characters + (split.validation_characters if whole_text else 0)
    texts = _watched(_pieces(folder, split, _keep_every(kind, total), whole_text), total, progress, cancelled)
    phase = LEARNING_MERGES if kind in ("bpe", "wordpiece") else LEARNING_PIECES
    tokenizer = _learn(_learner(kind, size, split), texts, lambda: progress(phase, 0, size or None), cancelled)
    stop_if_cancelled(cancelled)
    progress(phase, tokenizer.vocabulary_size, size or tokenizer.vocabulary_size)
    return tokenizer


def _learner(kind: TokenizerKind, size: int, split: Split) -> Learner:
    learners: dict[TokenizerKind, Learner] = {
        "bpe": lambda texts: train_bpe(texts, size),
        "wordpiece": lambda texts: train_wordpiece(texts, size, split.alphabet),
        "unigram": lambda texts: train_unigram(texts, size),
        "word": lambda texts: train_words(texts, size, end_of_text=not split.is_one_document),
    }
    return learners[kind]


def _keep_every(kind: TokenizerKind, total: int) -> int:
    """One piece of so many is learned from; words are only counted, so all are."""
    limits = {"word": max(total, 1), "unigram": LARGEST_UNIGRAM_TEXT_CHARACTERS}
    return max(1, -(-total // limits.get(kind, LARGEST_TEXT_CHARACTERS)))


def _pieces(folder: Path, split: Split, keep_every: int, whole_text: bool) -> Iterator[str]:
    """The training part, or all of the text, in pieces; of a very large text, pieces spread evenly over it."""
    number = 0
    document: list[str] = []
    for side, text, ends in split_parts(folder, split):
        if side != "train" and not whole_text:
            continue
        document.append(text)
        if ends or sum(map(len, document)) > 2**20:
            pieces = list(encoding_pieces(document))
            # The last piece of an unfinished document may go on in its next part.
            document = [] if ends else [pieces.pop()]
            for piece in pieces:
                if number % keep_every == 0:
                    yield piece
                number += 1


def _watched(texts: Iterable[str], total: int, progress: ProgressHook, cancelled: CancelHook) -> Iterator[str]:
    done = 0
    for text in texts:
        stop_if_cancelled(cancelled)
        done += len(text)
        progress(READING_TRAINING_PART, done, total)
        yield text


def _learn(
    learner: Learner, texts: Iterable[str], under_way: Callable[[], None], cancelled: CancelHook
) -> TextTokenizer:
    """In a thread: the library learns in one call that nothing interrupts, so a cancelled one is left behind."""
    outcome: Future[TextTokenizer] = Future()
    is_read = threading.Event()

    def read() -> Iterator[str]:
        yield from texts
        is_read.set()

    def learn() -> None:
        try:
            outcome.set_result(learner(read()))
        except BaseException as error:  # raised again where the result is asked for
            outcome.set_exception(error)

    threading.Thread(target=learn, name="learn pieces", daemon=True).start()
    while not wait([outcome], timeout=_LOOK_SECONDS).done:
        if is_read.is_set():
            stop_if_cancelled(cancelled)
            under_way()
    return outcome.result()
