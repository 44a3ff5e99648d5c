"""Cutting a text into tokens, once for each text, split and tokenizer: `tokens/<key>/`.

`find_tokens` only looks and needs no pyarrow: it is what a training worker calls. `prepare_tokens` does the work and is run
in a process of its own (`prepare.py`) or in a job. Not here: reading the folder (`token_set.py`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llm_core.config.data import DataConfig
from llm_core.config.errors import UserError
from llm_core.text.dataset_record import DatasetRecord
from llm_core.text.folders import building, publish
from llm_core.text.library import dataset_folder, ensure_dataset, find_dataset
from llm_core.text.progress import (
    COUNTING_TOKENS,
    CUTTING_TOKENS,
    CancelHook,
    ProgressHook,
    never_cancelled,
    no_progress,
    stop_if_cancelled,
)
from llm_core.text.splits import Side, Split, plan_split, split_parts
from llm_core.text.subword import encoding_pieces
from llm_core.text.token_set import (
    META_FILE,
    TOKENIZER_FILE,
    TRAIN_FILE,
    VALIDATION_FILE,
    TokenMeta,
    TokenSet,
    open_token_set,
)
from llm_core.text.token_statistics import count_tokens, unigram_level
from llm_core.text.tokenizer_building import build_tokenizer
from llm_core.text.tokenizer_library import find_tokenizer, open_tokenizer
from llm_core.text.tokenizer_names import tokenizer_choice
from llm_core.text.tokenizers import TextTokenizer
from llm_core.workspace.json_files import write_text
from llm_core.workspace.paths import Workspace, safe_join

__all__ = ["TokenMeta", "TokenSet", "find_tokens", "prepare_tokens", "tokens_key"]

# Part of every key: raised when the same text and tokenizer would be written differently.
_FORMAT = 1
_BATCH_CHARACTERS = 2**20
_LARGEST_UINT16_VOCABULARY = 2**16


def tokens_key(workspace: Workspace, config: DataConfig) -> str | None:
    """Names the token folder of this text, split and tokenizer; None while a built-in text was never made.

    The context length is no part of it. Raises NotFound and UserError for an unknown text or tokenizer.
    """
    record = find_dataset(workspace, config.dataset)
    choice = tokenizer_choice(config.tokenizer)
    tokenizer = config.tokenizer if choice.kind else find_tokenizer(workspace, choice.reference).content_id
    if not record.materialised:
        return None
    parts = [_FORMAT, record.id, record.content_hash, config.validation_fraction, tokenizer]
    return hashlib.sha256(json.dumps(parts).encode("utf-8")).hexdigest()[:16]


def find_tokens(workspace: Workspace, config: DataConfig) -> TokenSet | None:
    """The tokens of this text, split and tokenizer, if they were made before; None otherwise.

    Raises:
        NotFound: no such text or tokenizer.
        UserError: the folder is damaged, or a split is shorter than one window of `config.context_length`.
    """
    if not config.dataset:  # a model that was brought from elsewhere has no text here
        return None
    key = tokens_key(workspace, config)
    folder = None if key is None else safe_join(workspace.tokens, key)
    if folder is None or not folder.is_dir():
        return None
    token_set = open_token_set(folder)
    _check_windows(token_set.meta, config.context_length)
    return token_set


def prepare_tokens(
    workspace: Workspace,
    config: DataConfig,
    *,
    progress: ProgressHook = no_progress,
    cancelled: CancelHook = never_cancelled,
) -> TokenSet:
    """Make the tokens that `find_tokens` finds, with whatever they need: the built-in text, the tokenizer. Idempotent.

    Raises:
        NotFound, UserError: as `find_tokens`, and for a character that the tokenizer does not know.
        Cancelled: `cancelled()` was True. Nothing unfinished is left behind in any case.
    """
    tokenizer_choice(config.tokenizer)
    record = ensure_dataset(workspace, config.dataset, progress=progress, cancelled=cancelled)
    found = find_tokens(workspace, config)
    if found is not None:
        return found
    key = tokens_key(workspace, config)
    assert key is not None, "the text was made above"
    source = dataset_folder(workspace, record)
    split = plan_split(source, record, config.validation_fraction)
    tokenizer = _tokenizer(workspace, config, source, split, progress, cancelled)
    final = safe_join(workspace.tokens, key)
    with building(workspace.tokens) as folder:
        _write_tokens(folder, source, split, tokenizer, progress, cancelled)
        meta = _count(folder, key, record, split, tokenizer, config.validation_fraction, progress)
        # Before anything is kept: the next longer or shorter text starts from nothing.
        _check_windows(meta, config.context_length)
        write_text(folder / TOKENIZER_FILE, tokenizer.to_json())
        write_text(folder / META_FILE, meta.model_dump_json(indent=2) + "\n")
        stop_if_cancelled(cancelled)
        publish(folder, final)
    return open_token_set(final)


def _tokenizer(
    workspace: Workspace,
    config: DataConfig,
    source: Path,
    split: Split,
    progress: ProgressHook,
    cancelled: CancelHook,
) -> TextTokenizer:
    choice = tokenizer_choice(config.tokenizer)
    if choice.kind is None:
        tokenizer = open_tokenizer(workspace, choice.reference)
        if split.is_one_document or tokenizer.end_of_text_id is not None:
            return tokenizer
        raise UserError(
            "This text has several documents, and the tokenizer has no token that ends one",
            value=config.tokenizer,
            remedy="Use char, byte, bpe:<size>, word or a tokenizer made from a text with several documents",
        )
    return build_tokenizer(source, split, choice.kind, choice.size, progress=progress, cancelled=cancelled)


def _write_tokens(
    folder: Path, source: Path, split: Split, tokenizer: TextTokenizer, progress: ProgressHook, cancelled: CancelHook
) -> None:
    dtype = token_dtype(tokenizer.vocabulary_size)
    total = split.train_characters + split.validation_characters
    done = 0
    with (folder / TRAIN_FILE).open("wb") as train, (folder / VALIDATION_FILE).open("wb") as validation:
        files = {"train": train, "validation": validation}
        for batch in _batches(source, split):
            stop_if_cancelled(cancelled)
            arrays = tokenizer.encode_many([piece.text for piece in batch])
            for piece, ids in zip(batch, arrays, strict=True):
                files[piece.side].write(ids.astype(dtype).tobytes())
                if piece.ends and not split.is_one_document:
                    files[piece.side].write(np.array([tokenizer.end_of_text_id], dtype=dtype).tobytes())
                done += len(piece.text)
            progress(CUTTING_TOKENS, done, total)


@dataclass(frozen=True)
class _Piece:
    side: Side
    text: str
    ends: bool


def _batches(source: Path, split: Split) -> Iterator[list[_Piece]]:
    """The text in pieces that can be encoded one by one, in batches of about a megabyte."""
    batch: list[_Piece] = []
    size = 0
    for piece in _pieces(source, split):
        batch.append(piece)
        size += len(piece.text)
        if size >= _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _pieces(source: Path, split: Split) -> Iterator[_Piece]:
    held = ""
    for side, text, ends in split_parts(source, split):
        *whole, held = list(encoding_pieces([held, text])) or [""]
        for piece in whole:
            yield _Piece(side, piece, False)
        if ends:
            yield _Piece(side, held, True)
            held = ""


def _count(
    folder: Path,
    key: str,
    record: DatasetRecord,
    split: Split,
    tokenizer: TextTokenizer,
    fraction: float,
    progress: ProgressHook,
) -> TokenMeta:
    dtype = token_dtype(tokenizer.vocabulary_size)
    progress(COUNTING_TOKENS, 0, None)
    train = count_tokens(folder / TRAIN_FILE, dtype, tokenizer.vocabulary_size)
    validation = count_tokens(folder / VALIDATION_FILE, dtype, tokenizer.vocabulary_size)
    if split.is_pairs:
        _check_pairs(train, validation, split, tokenizer)
    byte_lengths = tokenizer.byte_lengths().astype(np.int64)
    return TokenMeta(
        key=key,
        dataset_id=record.id,
        dataset_name=record.name,
        content_hash=record.content_hash,
        tokenizer_id=tokenizer.id,
        tokenizer_kind=tokenizer.kind,
        vocabulary_size=tokenizer.vocabulary_size,
        dtype=dtype.name,
        validation_fraction=fraction,
        documents=record.documents,
        is_pairs=record.is_pairs,
        train_documents=split.train_documents,
        validation_documents=split.validation_documents,
        train_characters=split.train_characters,
        validation_characters=split.validation_characters,
        train_bytes=int(train @ byte_lengths),
        validation_bytes=int(validation @ byte_lengths),
        train_tokens=int(train.sum()),
        validation_tokens=int(validation.sum()),
        used_vocabulary=int((train > 0).sum()),
        unseen_validation_tokens=int(validation[train == 0].sum()),
        unigram_entropy_nats=unigram_level(train, validation),
    )


def token_dtype(vocabulary_size: int) -> np.dtype[np.uint16] | np.dtype[np.uint32]:
    """uint16 where every id fits into it, else uint32; little-endian."""
    return np.dtype("<u2") if vocabulary_size <= _LARGEST_UINT16_VOCABULARY else np.dtype("<u4")


def _check_pairs(train_V: np.ndarray, validation_V: np.ndarray, split: Split, tokenizer: TextTokenizer) -> None:
    """Pairs are found by their ends alone, so no text may hold one: a brought tokenizer might read one out of a word."""
    assert tokenizer.end_of_text_id is not None, "checked when the tokenizer was chosen"
    pairs = split.train_documents + split.validation_documents
    ends = int(train_V[tokenizer.end_of_text_id] + validation_V[tokenizer.end_of_text_id])
    if ends != 2 * pairs:
        raise UserError(
            "The tokenizer finds its own end token inside a text, so pairs cannot be told apart",
            value=f"{ends:,} ends in {pairs:,} pairs",
            limit="two ends a pair",
            remedy=f"Remove “{tokenizer.token_text(tokenizer.end_of_text_id)}” from the table, or use another tokenizer",
        )


def _check_windows(meta: TokenMeta, context_length: int) -> None:
    if meta.is_pairs:  # read one by one; a model that reads them as one stream is told where it fills its windows
        return
    more_validation = "Bring more text, shorten the context, or keep a larger share for validation"
    sides = (
        ("validation", meta.validation_tokens, more_validation),
        ("training", meta.train_tokens, "Bring more text, or shorten the context"),
    )
    for side, tokens, remedy in sides:
        if tokens <= context_length:
            raise UserError(
                f"The {side} part of “{meta.dataset_name}” is too short for one window",
                value=f"{tokens:,} tokens",
                limit=f"more than {context_length:,} (data.context_length)",
                remedy=remedy,
            )
