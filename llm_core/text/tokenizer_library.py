"""The tokenizers of a workspace: training one on a text, bringing one in, listing, finding, deleting.

A tokenizer is a folder `tokenizers/<id>/` with `tokenizer.json` and `record.json`. Names such as `char` and `bpe:<size>`
(`tokenizer_names.py`) are no entries here: they are built for a text when it is cut into tokens (`tokens.py`).
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from llm_core.config.errors import NameTaken, NotFound
from llm_core.text.folders import building, publish, published, remove_folder
from llm_core.text.library import dataset_folder, ensure_dataset
from llm_core.text.progress import CancelHook, ProgressHook, never_cancelled, no_progress, stop_if_cancelled
from llm_core.text.splits import plan_split
from llm_core.text.subword import SubwordTokenizer
from llm_core.text.tokenizer_building import build_tokenizer
from llm_core.text.tokenizer_names import NAMES_FOR_PEOPLE, TokenizerKind, check_size, is_reserved
from llm_core.text.tokenizers import TextTokenizer, load_tokenizer_file, tokenizer_from_json
from llm_core.workspace.json_files import write_text
from llm_core.workspace.paths import Workspace, check_name, safe_join

TOKENIZER_FILE = "tokenizer.json"
RECORD_FILE = "record.json"
_SHORTEST_PREFIX = 4


class TokenizerRecord(BaseModel):
    """What is known of a tokenizer without opening it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    name: str
    kind: str
    vocabulary_size: int
    content_id: str
    """`TextTokenizer.id`: equal for equal tokenizers, whatever their names."""
    origin: Literal["trained", "imported"]
    dataset_id: str = ""
    dataset_name: str = ""
    created_at: float = 0.0
    """Seconds since the epoch."""


def list_tokenizers(workspace: Workspace) -> list[TokenizerRecord]:
    """All tokenizers of the workspace, newest first."""
    records = [record for folder in published(workspace.tokenizers) if (record := _read_record(folder)) is not None]
    return sorted(records, key=lambda record: record.created_at, reverse=True)


def find_tokenizer(workspace: Workspace, reference: str) -> TokenizerRecord:
    """The tokenizer with this id, else with this name, else with a unique id that begins so (at least 4 characters).

    Raises:
        NotFound: there is none; lists what there is.
    """
    records = list_tokenizers(workspace)
    for key in ("id", "name"):
        for record in records:
            if getattr(record, key) == reference:
                return record
    matches = [record for record in records if record.id.startswith(reference)]
    if len(reference) >= _SHORTEST_PREFIX and len(matches) == 1:
        return matches[0]
    raise NotFound(
        "There is no such tokenizer",
        value=reference,
        limit=", ".join([NAMES_FOR_PEOPLE, *(record.name for record in records)]),
        remedy="Choose one of these, or train it first",
    )


def open_tokenizer(workspace: Workspace, reference: str) -> TextTokenizer:
    """The tokenizer itself; NotFound as `find_tokenizer`."""
    folder = safe_join(workspace.tokenizers, find_tokenizer(workspace, reference).id)
    return load_tokenizer_file(folder / TOKENIZER_FILE)


def train_tokenizer(
    workspace: Workspace,
    dataset_reference: str,
    kind: TokenizerKind,
    size: int = 0,
    name: str = "",
    *,
    validation_fraction: float = 0.1,
    progress: ProgressHook = no_progress,
    cancelled: CancelHook = never_cancelled,
) -> TokenizerRecord:
    """Make a tokenizer from the training part of a text and keep it under a name.

    Args:
        size: of the vocabulary, for kinds that are named with one; 0 for `word` takes every word.
        name: empty takes one from kind, size and text.

    Raises:
        NameTaken, NotFound, UserError, Cancelled.
    """
    record = ensure_dataset(workspace, dataset_reference, progress=progress, cancelled=cancelled)
    check_size(kind, size)
    name = free_tokenizer_name(workspace, name or default_name(kind, size, record.name))
    folder = dataset_folder(workspace, record)
    tokenizer = build_tokenizer(
        folder, plan_split(folder, record, validation_fraction), kind, size, progress=progress, cancelled=cancelled
    )
    return _keep(workspace, tokenizer, name, "trained", record.id, record.name)


def import_tokenizer(
    workspace: Workspace, path: Path, name: str = "", *, cancelled: CancelHook = never_cancelled
) -> TokenizerRecord:
    """Keep a tokenizer.json (Hugging Face's format or ours) under a name; nothing in it is executed.

    Raises:
        NameTaken, NotFound, UserError, Cancelled.
    """
    path = path.expanduser()
    name = free_tokenizer_name(workspace, name or path.stem)
    tokenizer = load_tokenizer_file(path)
    stop_if_cancelled(cancelled)
    return _keep(workspace, tokenizer, name, "imported")


def delete_tokenizer(workspace: Workspace, reference: str) -> int:
    """Delete a tokenizer; returns the bytes freed. Models keep their own copy, but their runs cannot go on without it."""
    return remove_folder(safe_join(workspace.tokenizers, find_tokenizer(workspace, reference).id))


def default_name(kind: TokenizerKind, size: int, dataset_name: str) -> str:
    """What a tokenizer is called when nobody names it: its kind, its size and its text."""
    return f"{kind}-{size} {dataset_name}" if size else f"{kind} {dataset_name}"


def first_merges(tokenizer: TextTokenizer, count: int = 50) -> list[tuple[str, str]]:
    """The pairs that BPE joined first, as shown to people; empty for tokenizers without merges."""
    return tokenizer.merges(count) if isinstance(tokenizer, SubwordTokenizer) else []


def free_tokenizer_name(workspace: Workspace, name: str) -> str:
    """The name, if a new tokenizer may have it; NameTaken or UserError otherwise."""
    name = check_name(name)
    if is_reserved(name):
        raise NameTaken(
            "This name stands for a tokenizer that is built on the fly", value=name, remedy="Choose another"
        )
    if any(name in (record.name, record.id) for record in list_tokenizers(workspace)):
        raise NameTaken("Another tokenizer has this name", value=name, remedy="Give it another name")
    return name


def _keep(
    workspace: Workspace,
    tokenizer: TextTokenizer,
    name: str,
    origin: Literal["trained", "imported"],
    dataset_id: str = "",
    dataset_name: str = "",
) -> TokenizerRecord:
    record = TokenizerRecord(
        id=secrets.token_hex(5),
        name=name,
        kind=tokenizer.kind,
        vocabulary_size=tokenizer.vocabulary_size,
        content_id=tokenizer.id,
        origin=origin,
        dataset_id=dataset_id,
        dataset_name=dataset_name,
        created_at=time.time(),
    )
    with building(workspace.tokenizers) as folder:
        write_text(folder / TOKENIZER_FILE, tokenizer.to_json())
        write_text(folder / RECORD_FILE, record.model_dump_json(indent=2) + "\n")
        tokenizer_from_json(
            (folder / TOKENIZER_FILE).read_text(encoding="utf-8")
        )  # what cannot be read back is not kept
        free_tokenizer_name(workspace, name)
        publish(folder, safe_join(workspace.tokenizers, record.id))
    return record


def _read_record(folder: Path) -> TokenizerRecord | None:
    try:
        return TokenizerRecord.model_validate_json((folder / RECORD_FILE).read_bytes())
    except (OSError, ValidationError):
        return None
