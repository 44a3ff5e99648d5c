"""The texts of a workspace: bringing them in, listing, finding, looking at them, deleting.

A text is a folder `datasets/<id>/`, made whole or not at all. pyarrow is imported only where text is read or written.
Not here: reading sources (`sources.py`), cutting into tokens (`tokens.py`).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from llm_core.config.errors import NameTaken, NotFound, Refused, UserError
from llm_core.text import builtin
from llm_core.text.cleaning import CleaningCounts, DocumentPart, clean
from llm_core.text.dataset_record import DatasetRecord, ImportOptions, read_record, write_record
from llm_core.text.folders import building, folder_bytes, publish, published, remove_folder
from llm_core.text.pairs import FEWEST_PAIRS
from llm_core.text.progress import (
    STORING_TEXT,
    WRITING_TEXT,
    CancelHook,
    ProgressHook,
    never_cancelled,
    no_progress,
    stop_if_cancelled,
)
from llm_core.text.sources import check_pair_options, read_source, source_hash, source_kind
from llm_core.text.splits import Split, check_split, plan_split
from llm_core.text.statistics import StatisticsBuilder
from llm_core.text.token_set import TokenMeta, read_meta
from llm_core.workspace.paths import Workspace, check_name, safe_join

LONGEST_PREVIEW_CHARACTERS = 4096
_SHORTEST_PREFIX = 4


def import_corpus(
    workspace: Workspace,
    source: str | Path,
    options: ImportOptions,
    *,
    progress: ProgressHook = no_progress,
    cancelled: CancelHook = never_cancelled,
) -> DatasetRecord:
    """Bring a text in: read, clean, count, store. Leaves nothing behind when it fails or is cancelled.

    Args:
        source: a path; for kind `paste` the text itself; for kind `hub` the name `owner/name`.

    Returns:
        The new record; or the old one with `existing` set, when the same bytes were brought in under the same name with the
        same options before.

    Raises:
        NameTaken: the name is used by another text.
        UserError: the source cannot be read as text; says what it is, where, and what to do.
        Cancelled: `cancelled()` was True.
    """
    kind = source_kind(source, options)
    check_pair_options(source, options)
    name = check_name(options.name or _default_name(source, kind))
    given_hash = source_hash(source, options, progress=progress, cancelled=cancelled)
    kept_options = options.model_copy(update={"kind": kind}).model_dump(exclude={"name"})
    same = _same_import(workspace, name, given_hash, kept_options)
    if same is not None:
        return same
    counts = CleaningCounts()
    parts = clean(read_source(source, options, progress=progress, cancelled=cancelled), options.cleaning, counts)
    shown_source = {"paste": "pasted text", "hub": f"Hugging Face Hub: {source}"}.get(kind, Path(source).name)
    template = DatasetRecord(
        id=secrets.token_hex(5),
        name=name,
        title=name,
        source_hash=given_hash,
        source=shown_source,
        options=kept_options,
        is_pairs=bool(options.target_column),
    )
    with building(workspace.datasets) as folder:
        record = _store(folder, template, parts, counts)
        # Somebody may have taken the name while this was reading.
        same = _same_import(workspace, name, given_hash, kept_options)
        if same is not None:
            return same
        stop_if_cancelled(cancelled)
        size_bytes = folder_bytes(folder)
        progress(STORING_TEXT, 0, size_bytes)
        publish(folder, safe_join(workspace.datasets, record.id))
        progress(STORING_TEXT, size_bytes, size_bytes)
    return record


def ensure_dataset(
    workspace: Workspace,
    reference: str,
    *,
    progress: ProgressHook = no_progress,
    cancelled: CancelHook = never_cancelled,
) -> DatasetRecord:
    """Find a text; a built-in one that was never used is made now.

    Raises:
        NotFound: there is no such text.
        Cancelled: `cancelled()` was True.
    """
    record = find_dataset(workspace, reference)
    if record.materialised:
        return record
    documents = _watched(builtin.documents(record.id), progress, cancelled)
    template = record.model_copy(update={"materialised": True, "python_version": _python_version(record.id)})
    with building(workspace.datasets) as folder:
        made = _store(folder, template, documents, CleaningCounts())
        publish(folder, safe_join(workspace.datasets, record.id))
    return made


def list_datasets(workspace: Workspace) -> list[DatasetRecord]:
    """All texts: the built-in ones in their own order, then imported ones, newest first."""
    stored = {
        record.id: record for folder in published(workspace.datasets) if (record := read_record(folder)) is not None
    }
    first = [_builtin_record(corpus, stored.get(corpus.id)) for corpus in builtin.builtin_corpora()]
    builtin_ids = {record.id for record in first}
    imported = [record for record in stored.values() if record.id not in builtin_ids]
    return first + sorted(imported, key=lambda record: record.created_at, reverse=True)


def find_dataset(workspace: Workspace, reference: str) -> DatasetRecord:
    """The text with this id, else with this name or title, else with a unique id that begins so (at least 4 characters).

    Raises:
        NotFound: there is none; lists what there is.
    """
    records = list_datasets(workspace)
    for key in ("id", "name", "title"):
        for record in records:
            if getattr(record, key) == reference:
                return record
    if len(reference) >= _SHORTEST_PREFIX:
        matches = [record for record in records if record.id.startswith(reference)]
        if len(matches) == 1:
            return matches[0]
    raise NotFound(
        "There is no such text",
        value=reference,
        limit=", ".join(record.name for record in records),
        remedy="Choose one of these, or bring the text in first",
    )


def dataset_folder(workspace: Workspace, record: DatasetRecord) -> Path:
    """Where a stored text lies."""
    return safe_join(workspace.datasets, record.id)


def open_documents(workspace: Workspace, reference: str) -> Iterator[str]:
    """The documents of a stored text, whole, one after another. A document may be as large as the file it came from."""
    from llm_core.text.corpus_file import read_parts

    held: list[str] = []
    for text, ends in read_parts(dataset_folder(workspace, _stored(workspace, reference))):
        held.append(text)
        if ends:
            yield "".join(held)
            held = []


def preview_length(record: DatasetRecord) -> int:
    """How many entries `preview` has: documents, or stretches of LONGEST_PREVIEW_CHARACTERS for a single document."""
    if record.is_one_document:
        return -(-record.characters // LONGEST_PREVIEW_CHARACTERS)
    return record.documents


def preview(workspace: Workspace, reference: str, offset: int = 0, count: int = 10) -> list[str]:
    """Entries `offset` to `offset + count - 1`, read from their place on disk without reading what lies before.

    An entry is a document, cut after LONGEST_PREVIEW_CHARACTERS; in a set of one document it is the next stretch of it.
    """
    from llm_core.text.corpus_file import ROW_CHARACTERS, read_rows

    record = _stored(workspace, reference)
    folder = dataset_folder(workspace, record)
    offset = max(offset, 0)
    if not record.is_one_document:
        entries: dict[int, str] = {}
        for document, text in read_rows(folder, offset):
            if document >= offset + count:
                break
            entries.setdefault(document, text[:LONGEST_PREVIEW_CHARACTERS])
        return list(entries.values())
    start = offset * LONGEST_PREVIEW_CHARACTERS
    wanted = count * LONGEST_PREVIEW_CHARACTERS
    row, inside = divmod(start, ROW_CHARACTERS)
    text = ""
    for _, row_text in read_rows(folder, 0, skip_rows=row):
        text += row_text
        if len(text) >= inside + wanted:
            break
    text = text[inside : inside + wanted]
    return [text[at : at + LONGEST_PREVIEW_CHARACTERS] for at in range(0, len(text), LONGEST_PREVIEW_CHARACTERS)]


def split_of(workspace: Workspace, reference: str, validation_fraction: float) -> Split:
    """How a stored text is divided into training and validation; UserError when it cannot be."""
    record = _stored(workspace, reference)
    return plan_split(dataset_folder(workspace, record), record, validation_fraction)


def delete_dataset(workspace: Workspace, reference: str) -> int:
    """Delete a text and every token folder made from it; returns the bytes freed. A built-in one can be made again.

    Raises:
        NotFound: there is no such text.
        Refused: a built-in text that was never used has nothing to delete.
    """
    record = find_dataset(workspace, reference)
    if not record.materialised:
        raise Refused("This built-in text takes no space yet", value=record.name, remedy="There is nothing to delete")
    return sum(
        remove_folder(folder) for folder in [dataset_folder(workspace, record), *_token_folders(workspace, record)]
    )


def deletable_bytes(workspace: Workspace, reference: str) -> int:
    """What `delete_dataset` would free now; 0 for a built-in text that was never made."""
    record = find_dataset(workspace, reference)
    if not record.materialised:
        return 0
    return sum(
        folder_bytes(folder) for folder in [dataset_folder(workspace, record), *_token_folders(workspace, record)]
    )


def cut_versions(workspace: Workspace, reference: str) -> list[TokenMeta]:
    """The ways in which this text was cut into tokens so far."""
    folders = _token_folders(workspace, find_dataset(workspace, reference))
    return [meta for folder in folders if (meta := read_meta(folder)) is not None]


def _token_folders(workspace: Workspace, record: DatasetRecord) -> list[Path]:
    metas = ((folder, read_meta(folder)) for folder in published(workspace.tokens))
    return [folder for folder, meta in metas if meta is not None and meta.dataset_id == record.id]


def _store(
    folder: Path, template: DatasetRecord, parts: Iterable[DocumentPart], counts: CleaningCounts
) -> DatasetRecord:
    from llm_core.text.corpus_file import write_corpus

    builder = StatisticsBuilder(is_pairs=template.is_pairs)
    content_hash = write_corpus(folder, parts, builder)
    if builder.documents == 0:
        raise UserError(
            "There is no text in it, only white space or nothing",
            value=template.source,
            remedy="Give a source with text",
        )
    if template.is_pairs and builder.documents < FEWEST_PAIRS:
        raise UserError(
            "One pair is not enough: one is learned from and another is kept for validation",
            value=f"{builder.documents} pair in {template.source}",
            limit=f"at least {FEWEST_PAIRS}",
            remedy="Give a table with more rows",
        )
    statistics = builder.build().model_copy(
        update={
            "line_ends_changed": counts.line_ends_changed,
            "dropped_empty_documents": counts.empty_documents,
            "dropped_repeated_documents": counts.repeated_documents,
            "dropped_repeated_lines": counts.repeated_lines,
        }
    )
    record = template.model_copy(
        update={
            "documents": builder.documents,
            "characters": builder.characters,
            "bytes": builder.bytes,
            "content_hash": content_hash,
            "created_at": time.time(),
            "statistics": statistics,
        }
    )
    write_record(folder, record, builder.alphabet())
    check_split(folder, record)
    return record


def _same_import(
    workspace: Workspace, name: str, given_hash: str, kept_options: dict[str, object]
) -> DatasetRecord | None:
    """The text of this name, if it is the same import; None if the name is free; NameTaken otherwise."""
    taken = [record for record in list_datasets(workspace) if name in (record.name, record.id, record.title)]
    if not taken:
        return None
    # A record from before there were pairs says nothing of them.
    if taken[0].source_hash == given_hash and {"target_column": "", **taken[0].options} == kept_options:
        return taken[0].model_copy(update={"existing": True})
    raise NameTaken(
        "Another text has this name",
        value=name,
        remedy="Give it another name, or delete the old one first",
    )


def _default_name(source: str | Path, kind: str) -> str:
    if kind == "paste":
        return "pasted text"
    if kind == "hub":
        return str(source).replace("/", " ")
    return Path(source).stem.strip()[:100].strip() or "text"


def _builtin_record(corpus: builtin.BuiltinCorpus, stored: DatasetRecord | None) -> DatasetRecord:
    # Words for people come from the program, not from the folder that an older version of it may have written.
    words = {"title": corpus.title, "sentence": corpus.sentence, "look_for": corpus.look_for}
    record = stored or DatasetRecord(
        id=corpus.id,
        name=corpus.id,
        title=corpus.title,
        builtin=True,
        materialised=False,
        source="built in",
        is_pairs=corpus.is_pairs,
    )
    return record.model_copy(update=words)


def _python_version(corpus_id: str) -> str:
    return builtin.python_version() if builtin.builtin_corpus(corpus_id).depends_on_python else ""


def _watched(documents: Iterable[str], progress: ProgressHook, cancelled: CancelHook) -> Iterator[DocumentPart]:
    done = 0
    for document in documents:
        stop_if_cancelled(cancelled)
        done += len(document)
        progress(WRITING_TEXT, done, None)
        yield DocumentPart(document, True)


def _stored(workspace: Workspace, reference: str) -> DatasetRecord:
    record = find_dataset(workspace, reference)
    if not record.materialised:
        raise NotFound(
            "This built-in text was not made yet", value=record.name, remedy="Train on it, or open it on the Data page"
        )
    return record
