"""Intentions about text become jobs: import it, make a built-in one, train or bring a tokenizer, delete a text.

What a page knows to be wrong at the click is refused here at once; what only reading shows is said by the job. Uploads and
pasted text wait in a private file (`llm_core.text.uploads`), so that no job carries megabytes in the registry.
Not here: doing it (`worker_jobs.py`).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from llm_core.backend.jobs import submit_job, submit_with_file
from llm_core.config.errors import Refused, UserError
from llm_core.text.builtin import builtin_corpus
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.import_roots import check_import_path
from llm_core.text.library import delete_dataset, find_dataset
from llm_core.text.sources import check_pair_options
from llm_core.text.tokenizer_interface import refuse_surrogates
from llm_core.text.tokenizer_library import default_name, delete_tokenizer, find_tokenizer, free_tokenizer_name
from llm_core.text.tokenizer_names import TokenizerKind, check_size
from llm_core.text.uploads import check_upload
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.paths import Workspace, check_name
from llm_core.workspace.registry import Registry

PASTED = "pasted text.txt"
# The largest in use have about 30 MB; it is read whole, and a text is no tokenizer.
LARGEST_TOKENIZER_BYTES = 64_000_000


def import_upload(
    workspace: Workspace, name: str, stream: BinaryIO, options: ImportOptions, *, once: str | None = None
) -> JobRecord:
    """Queue the import of an uploaded file, called `name` where it came from.

    Raises:
        UserError: the text's or the file's name cannot be a name, or the file is over 200 MB.
    """
    _check_options(name, options)
    check_upload(stream, "Give its path, or import it with `glassbox data add`")
    return submit_with_file(
        workspace, "import", _job_name(options.name or name), name, stream, _options(options), once=once
    )


def import_paste(workspace: Workspace, text: str, options: ImportOptions, *, once: str | None = None) -> JobRecord:
    """Queue the import of a pasted text. UserError when there is nothing in it or its name cannot be one."""
    _check_options(PASTED, options)
    if not text.strip():
        raise UserError("There is no text to import", remedy="Paste some text first")
    refuse_surrogates(text)
    pasted = options.model_copy(update={"kind": "paste"})
    stream = io.BytesIO(text.encode("utf-8"))
    return submit_with_file(
        workspace, "import", _job_name(options.name or "pasted text"), PASTED, stream, _options(pasted), once=once
    )


def import_path(
    workspace: Workspace, typed: str, roots: Sequence[Path], options: ImportOptions, *, once: str | None = None
) -> JobRecord:
    """Queue the import of a file of this machine; the worker looks again whether it lies under `roots`.

    Raises:
        Refused: it lies elsewhere, or there are no roots.
        UserError: as `check_import_path`.
    """
    _check_options(typed, options)
    path = check_import_path(workspace, typed, roots)
    config = {"path": str(path), "roots": [str(root) for root in roots], **_options(options)}
    return submit_job(workspace, "import", _job_name(options.name or path.name), config, once=once)


def import_hub(workspace: Workspace, name: str, options: ImportOptions, *, once: str | None = None) -> JobRecord:
    """Queue the import of a data set of the Hugging Face Hub."""
    _check_options(name, options.model_copy(update={"kind": "hub"}))
    if not name.strip():
        raise UserError("No data set is named", limit="owner/name", remedy="Copy the name from its page on the Hub")
    from_hub = options.model_copy(update={"kind": "hub"})
    config = {"hub": name.strip(), **_options(from_hub)}
    return submit_job(workspace, "import", _job_name(options.name or name), config, once=once)


def make_builtin(workspace: Workspace, corpus_id: str, *, once: str | None = None) -> JobRecord:
    """Queue the making of a built-in text, so that it can be looked at before anything is trained on it."""
    return submit_job(workspace, "import", builtin_corpus(corpus_id).title, {"builtin": corpus_id}, once=once)


def train_tokenizer_job(
    workspace: Workspace, dataset: str, kind: TokenizerKind, vocabulary_size: int, name: str, *, once: str | None = None
) -> JobRecord:
    """Queue the training of a tokenizer. NotFound, NameTaken or UserError for what can be known now."""
    record = find_dataset(workspace, dataset)
    check_size(kind, vocabulary_size)
    wish = name or default_name(kind, vocabulary_size, record.name)
    free_tokenizer_name(workspace, wish)
    config = {"dataset": record.id, "kind": kind, "size": vocabulary_size, "name": wish}
    return submit_job(workspace, "tokenizer", _job_name(wish), config, once=once)


def import_tokenizer_upload(
    workspace: Workspace, file_name: str, stream: BinaryIO, name: str, *, once: str | None = None
) -> JobRecord:
    """Queue the loading of an uploaded tokenizer.json. NameTaken or UserError for a name or size that cannot be."""
    check_upload(stream, "Choose the tokenizer.json of a model, or give its path", LARGEST_TOKENIZER_BYTES)
    wish = name or Path(file_name).stem
    free_tokenizer_name(workspace, wish)
    return submit_with_file(workspace, "tokenizer", _job_name(wish), file_name, stream, {"name": wish}, once=once)


def import_tokenizer_path(
    workspace: Workspace, typed: str, roots: Sequence[Path], name: str, *, once: str | None = None
) -> JobRecord:
    """Queue the loading of a tokenizer.json of this machine; Refused when it lies outside `roots`."""
    path = check_import_path(workspace, typed, roots)
    wish = name or path.stem
    free_tokenizer_name(workspace, wish)
    config = {"path": str(path), "roots": [str(root) for root in roots], "name": wish}
    return submit_job(workspace, "tokenizer", _job_name(wish), config, once=once)


def runs_on(workspace: Workspace, dataset: str) -> list[JobRecord]:
    """The runs that were configured with this text, newest first."""
    record = find_dataset(workspace, dataset)
    with Registry(workspace) as registry:
        runs = registry.jobs("train")
    return [run for run in runs if run.config.get("data", {}).get("dataset") in (record.id, record.name, record.title)]


def delete_kept_tokenizer(workspace: Workspace, reference: str) -> int:
    """Delete a tokenizer; returns the bytes freed. Finished models keep their own copy of it.

    Raises:
        Refused: a run that waits, works or is paused needs it.
    """
    tokenizer = find_tokenizer(workspace, reference)
    with Registry(workspace) as registry:
        runs = [run for run in registry.jobs("train") if not run.is_final]
    names = (tokenizer.id, tokenizer.name)
    waiting = [run.name for run in runs if run.config.get("data", {}).get("tokenizer") in names]
    if waiting:
        raise Refused(
            "A run that is not finished needs this tokenizer", value=", ".join(waiting[:5]), remedy="Stop the run first"
        )
    return delete_tokenizer(workspace, tokenizer.id)


def delete_text(workspace: Workspace, dataset: str) -> int:
    """Delete a text and what was cut from it; returns the bytes freed.

    Raises:
        Refused: a run that waits, works or is paused needs it.
    """
    waiting = [run.name for run in runs_on(workspace, dataset) if not run.is_final]
    if waiting:
        raise Refused(
            "A run that is not finished needs this text", value=", ".join(waiting[:5]), remedy="Stop the run first"
        )
    return delete_dataset(workspace, dataset)


def _check_options(source: str, options: ImportOptions) -> None:
    if options.name:
        check_name(options.name)
    check_pair_options(source, options)


def _options(options: ImportOptions) -> dict[str, Any]:
    return {"options": options.model_dump(mode="json")}


def _job_name(wish: str) -> str:
    """What the job is called in lists: the wish without what a name may not hold."""
    printable = "".join(" " if character in "/\\" or not character.isprintable() else character for character in wish)
    return printable.strip()[:80].strip() or "text"
