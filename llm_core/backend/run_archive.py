"""A whole run as one zip: settings, points, notes, log and checkpoints, to be kept, sent, and opened elsewhere.

Written piece by piece, so that neither memory nor a temporary file holds the run. The two databases go through SQLite's backup, and a
checkpoint goes in only as it was written, so that a run in progress gives a consistent copy, which opens as a stopped run. Not here:
opening one (`run_import.py`), models for other programs (`exchange_jobs.py`).
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import tempfile
import time
import zipfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

from llm_core.config.errors import NotFound, UserError
from llm_core.workspace import commands, metrics
from llm_core.workspace.checkpoints import FOLDER_NAME, FULL_CHECKPOINTS, MANIFEST, PIN, list_checkpoints
from llm_core.workspace.job_record import FINAL, PAUSED, STOPPED
from llm_core.workspace.json_files import json_text
from llm_core.workspace.metrics_read import last_state
from llm_core.workspace.paths import safe_join

BLOCK_BYTES = 2**20
# Tensors do not get smaller.
_STORED_ENDINGS = (".safetensors", ".bin", ".arrow")
_BUSY_SECONDS = 10.0
_DATABASES = (metrics.FILE_NAME, commands.FILE_NAME)


def archive_chunks(run_folder: Path, *, with_checkpoints: bool = True) -> Iterator[bytes]:
    """The zip of a run, piece by piece. Inside is one folder that has the run's id.

    Args:
        with_checkpoints: without them the copy shows all curves, but cannot go on or be used.

    Raises:
        NotFound: the run has no folder yet.
        UserError: a database of the run is damaged.
    """
    if not run_folder.is_dir():
        raise NotFound("This run has no files yet", value=run_folder.name, remedy="Wait until it has started")
    pieces = _Pieces()
    with ExitStack() as stack, zipfile.ZipFile(cast("IO[bytes]", pieces), "w") as archive:
        checkpoints = list_checkpoints(run_folder) if with_checkpoints else []
        # The newest are held open from here on: what comes and goes meanwhile does not take them away.
        held = [stack.enter_context(_open_checkpoint(info.path)) for info in checkpoints[-FULL_CHECKPOINTS:]]
        for name in _DATABASES:
            # After the checkpoints were chosen, so that every step of theirs has its points.
            yield from _add_database(archive, pieces, run_folder, name)
        for path in _other_files(run_folder):
            with path.open("rb") as file:
                yield from _add(archive, pieces, f"{run_folder.name}/{path.relative_to(run_folder).as_posix()}", file)
        for info in checkpoints[:-FULL_CHECKPOINTS]:
            with _open_checkpoint(info.path) as files:
                yield from _add_checkpoint(archive, pieces, run_folder, info.path.name, files)
        for info, files in zip(checkpoints[-FULL_CHECKPOINTS:], held, strict=True):
            yield from _add_checkpoint(archive, pieces, run_folder, info.path.name, files)
    yield pieces.take()


def write_archive(run_folder: Path, target: Path, *, with_checkpoints: bool = True) -> int:
    """The zip of a run as a file, whole or absent; returns its bytes. Raises as `archive_chunks`, and OSError of the disk."""
    temporary = target.with_name(f".{target.name}.part")
    try:
        with temporary.open("wb") as file:
            for chunk in archive_chunks(run_folder, with_checkpoints=with_checkpoints):
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return target.stat().st_size


class _Pieces:
    """Where the zip writes to: kept until it is taken, never turned back."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def write(self, data: bytes) -> int:
        self._waiting += data
        return len(data)

    def flush(self) -> None:
        """Nothing is buffered elsewhere."""

    def take(self) -> bytes:
        taken = bytes(self._waiting)
        self._waiting.clear()
        return taken


def _add(archive: zipfile.ZipFile, pieces: _Pieces, name: str, file: BinaryIO) -> Iterator[bytes]:
    """One file, as long as it is now; what is appended to a log meanwhile is not part of the copy."""
    about = os.fstat(file.fileno())
    entry = zipfile.ZipInfo(name, time.localtime(max(about.st_mtime, _ZIP_EPOCH))[:6])
    entry.external_attr = (stat.S_IFREG | 0o600) << 16
    entry.compress_type = zipfile.ZIP_STORED if name.endswith(_STORED_ENDINGS) else zipfile.ZIP_DEFLATED
    entry.file_size = left = about.st_size
    with archive.open(entry, "w") as target:
        while left and (block := file.read(min(BLOCK_BYTES, left))):
            target.write(block)
            left -= len(block)
            yield pieces.take()
    yield pieces.take()


# The zip format has no earlier date than 1980; two days later it is 1980 everywhere.
_ZIP_EPOCH = 315_705_600


def _add_database(archive: zipfile.ZipFile, pieces: _Pieces, run_folder: Path, name: str) -> Iterator[bytes]:
    path = run_folder / name
    if not path.exists():
        return
    with tempfile.TemporaryDirectory(prefix="glassbox-") as folder:
        copy = Path(folder) / name
        copy_database(path, copy)
        if name == metrics.FILE_NAME:
            release_copy(copy)
        modified = path.stat().st_mtime
        os.utime(copy, (modified, modified))
        with copy.open("rb") as file:
            yield from _add(archive, pieces, f"{run_folder.name}/{name}", file)


def copy_database(source: Path, target: Path) -> None:
    """A consistent copy of a SQLite file that others may be writing; raises UserError for a damaged one."""
    with _backed_up_from(source) as (path, mode):
        uri = f"{path.absolute().as_uri()}?{mode}"
        try:
            with (
                closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS)) as original,
                closing(sqlite3.connect(target, isolation_level=None)) as copy,
            ):
                original.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.DatabaseError as error:
            what = f"A file of this run cannot be read: {error}"
            raise UserError(what, value=source, remedy="Bring it back from a copy, or move it away") from error


@contextmanager
def _backed_up_from(source: Path) -> Generator[tuple[Path, str]]:
    """The file to back up and how to open it; in a folder that cannot be written to, a journal beside it needs a copy of both."""
    if os.access(source.parent, os.W_OK):
        # Not mode=ro: the journal of a writer that was killed must be rolled back first.
        yield source, "mode=rw"
        return
    journals = [source.with_name(source.name + suffix) for suffix in ("-wal", "-journal")]
    if not any(journal.exists() and journal.stat().st_size for journal in journals):
        yield source, "immutable=1"
        return
    with tempfile.TemporaryDirectory(prefix="glassbox-") as folder:
        for path in (source, *(journal for journal in journals if journal.exists())):
            shutil.copyfile(path, Path(folder) / path.name)
        yield Path(folder) / source.name, "mode=rw"


def release_copy(database: Path) -> None:
    """Make a copied metrics.db nobody's: its lease names no process that could live, and a run that went on is stopped in it."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        try:
            for lease_id, owner in connection.execute("SELECT id, owner FROM lease").fetchall():
                values = {**json.loads(owner), "boot_id": "copied"}
                connection.execute("UPDATE lease SET owner = ? WHERE id = ?", (json_text(values), lease_id))
            taken_at = connection.execute("SELECT max(taken_at) FROM lease").fetchone()[0]
            recorded = last_state(database.parent)
            if taken_at is None or (
                recorded is not None and recorded.state in (*FINAL, PAUSED) and recorded.at >= taken_at
            ):
                return
            data = {
                "state": STOPPED,
                "reason": "This copy was made while the run went on.",
                "remedy": "Resume it to go on from its last checkpoint",
                "result": {},
            }
            connection.execute(
                "INSERT INTO events (at, kind, message, step, data) VALUES (?, ?, ?, NULL, ?)",
                (time.time(), metrics.STATE_EVENT, data["reason"], json_text(data)),
            )
        except (sqlite3.DatabaseError, ValueError, TypeError, KeyError) as error:
            what = f"The points of this run cannot be read: {error}"
            raise UserError(what, value=database.name, remedy="Bring metrics.db back from a copy") from error


def _other_files(run_folder: Path) -> list[Path]:
    """Everything but databases, checkpoints, links and what is only there for a moment."""
    found: list[Path] = []
    for parent, folders, files in os.walk(run_folder):
        if Path(parent) == run_folder:
            folders[:] = [name for name in folders if name != FOLDER_NAME]
        for name in files:
            path = Path(parent) / name
            is_passing = ".tmp-" in name or name.endswith(".lock") or name.startswith(_DATABASES)
            if not is_passing and stat.S_ISREG(path.lstat().st_mode):
                found.append(path)
    return sorted(found)


_OpenFiles = dict[str, BinaryIO]


@contextmanager
def _open_checkpoint(path: Path) -> Generator[_OpenFiles]:
    """The files of a checkpoint, all open at once and all of one writing; none when it went away meanwhile.

    Open files stay readable when their names go, and the manifest, read before and after, tells whether they belong together.
    """
    with ExitStack() as stack:
        for _ in range(3):
            try:
                manifest = (path / MANIFEST).read_bytes()
                names = [MANIFEST, *json.loads(manifest)["files"], *([PIN] if (path / PIN).exists() else [])]
                files: _OpenFiles = {name: stack.enter_context(safe_join(path, name).open("rb")) for name in names}
                if files[MANIFEST].read() == manifest == (path / MANIFEST).read_bytes():
                    files[MANIFEST].seek(0)
                    yield files
                    return
            except (FileNotFoundError, ValueError, KeyError, TypeError):
                continue  # replaced, thinned or removed between two looks
        yield {}


def _add_checkpoint(
    archive: zipfile.ZipFile, pieces: _Pieces, run_folder: Path, name: str, files: _OpenFiles
) -> Iterator[bytes]:
    for file_name, file in files.items():
        yield from _add(archive, pieces, f"{run_folder.name}/{FOLDER_NAME}/{name}/{file_name}", file)
