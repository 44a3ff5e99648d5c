"""A run that was made elsewhere, from its zip or its folder, becomes a run of this workspace under the id it had.

Nothing in an archive is trusted: names, links, counts, sizes and the two databases are looked at before anything appears among the
runs, and what appears is whole. Not here: making the zip (`run_archive.py`), folders copied in by hand (`adopted_runs.py`).
"""

from __future__ import annotations

import lzma
import os
import re
import secrets
import shutil
import sqlite3
import stat
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO

from llm_core.backend.run_archive import BLOCK_BYTES, copy_database, release_copy
from llm_core.config.errors import NameTaken, UserError
from llm_core.config.run import load_config
from llm_core.text.folders import building
from llm_core.workspace import commands, metrics
from llm_core.workspace.checkpoints import FOLDER_NAME, MANIFEST, verify_checkpoint
from llm_core.workspace.disk_space import require_space
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.paths import Workspace, safe_join
from llm_core.workspace.registry import Registry

MAXIMUM_FILES = 20_000
MAXIMUM_DEPTH = 6
# Curves and logs shrink to a tenth or so; what grows a thousandfold is made to fill the disk.
MAXIMUM_GROWTH = 200
FREE_GROWTH_BYTES = 256 * 2**20

# What the standard library raises for a zip that is damaged, cut off, or compressed (NotImplementedError) in a way it does not know.
_UNREADABLE = (zipfile.BadZipFile, NotImplementedError, EOFError, zlib.error, lzma.LZMAError)
_CONFIG = "config.json"
_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{3,63}")
_DATABASES = (metrics.FILE_NAME, commands.FILE_NAME)
_LEFT_OUT = ("-wal", "-shm", "-journal", ".lock")
_CHECKPOINT = re.compile(r"step-\d{8,}")


@dataclass(frozen=True)
class ImportedRun:
    """What came of it; `problems` says what was left out and why."""

    record: JobRecord
    problems: list[str]


@dataclass(frozen=True)
class _Member:
    """One file of the source: where it will lie in the run's folder, how large it is at most, and its bytes."""

    place: tuple[str, ...]
    size_bytes: int
    modified_at: float
    open: Callable[[], IO[bytes]]


def import_run(workspace: Workspace, source: Path) -> ImportedRun:
    """Bring in a run from a zip that Glassbox wrote, or from a run's folder.

    Raises:
        UserError: it is no run, holds what no run holds, is too large for the disk, or is damaged.
        NameTaken: this run is here already.
    """
    if source.is_dir():
        _require(source / _CONFIG)
        return _bring_in(workspace, source.resolve().name, _members_of_folder(source), 0)
    try:
        with zipfile.ZipFile(source) as archive:
            folder, members = _members_of_zip(archive)
            return _bring_in(workspace, folder or source.stem, members, source.stat().st_size)
    except _UNREADABLE as error:
        what = f"This file is not a zip that can be read: {error}"
        raise UserError(what, value=source.name, remedy="Export the run again") from error
    except FileNotFoundError as error:
        raise UserError(
            "There is no such file", value=source, remedy="Give the path of a zip or of a folder"
        ) from error


def _bring_in(workspace: Workspace, wish: str, members: list[_Member], zip_bytes: int) -> ImportedRun:
    _check_amount(workspace, members, zip_bytes)
    run_id = wish if _ID.fullmatch(wish) else secrets.token_hex(5)
    target = safe_join(workspace.runs, run_id)
    with Registry(workspace) as registry, building(workspace.runs) as folder:
        if target.exists() or any(record.id == run_id for record in registry.jobs("train")):
            remedy = f"Delete run {run_id} first, or copy it under another name"
            raise NameTaken("This run is in the workspace already", value=run_id, remedy=remedy)
        for member in members:
            _write(folder, member)
        _require(folder / _CONFIG)
        load_config((folder / _CONFIG).read_bytes())
        for name in _DATABASES:
            _settle_database(folder / name)
        problems = _leave_out_damaged(folder)
        folder.rename(target)  # the kernel refuses to replace a folder that is not empty
        record = registry.adopt(run_id)
    assert record is not None, "its settings have just been read"
    return ImportedRun(record, problems)


def _require(config: Path) -> None:
    if not config.is_file():
        what = "This holds no run: there is no config.json in it"
        raise UserError(what, value=config.parent.name, remedy="Give a zip that Glassbox wrote, or a run's folder")


def _members_of_zip(archive: zipfile.ZipFile) -> tuple[str, list[_Member]]:
    """The common folder of the files ("" when there is none) and the files, judged by what the archive's directory says."""
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    if len(archive.infolist()) > MAXIMUM_FILES:
        raise _too_much("files", len(archive.infolist()), MAXIMUM_FILES)
    members: list[_Member] = []
    for entry in entries:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise _unsafe("holds something that is neither a file nor a folder", entry.filename)
        if entry.flag_bits & 0x1:
            raise _unsafe("is locked with a password", entry.filename)
        place = _place(entry.filename)
        members.append(_Member(place, entry.file_size, _zip_time(entry.date_time), partial(archive.open, entry)))
    tops = {member.place[0] for member in members}
    if len(tops) == 1 and all(len(member.place) > 1 for member in members):
        return tops.pop(), [replace(member, place=member.place[1:]) for member in members]
    return "", members


def _members_of_folder(folder: Path) -> list[_Member]:
    members: list[_Member] = []
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent) / name
            about = path.lstat()
            if stat.S_ISDIR(about.st_mode):
                continue
            shown = path.relative_to(folder).as_posix()
            if not stat.S_ISREG(about.st_mode):
                raise _unsafe("holds something that is neither a file nor a folder", shown)
            if shown in _DATABASES:
                members.append(_Member(_place(shown), _most_bytes(path), about.st_mtime, partial(_database, path)))
            else:
                members.append(_Member(_place(shown), about.st_size, about.st_mtime, partial(path.open, "rb")))
        if len(members) > MAXIMUM_FILES:
            raise _too_much("files", len(members), MAXIMUM_FILES)
    return members


def _most_bytes(database: Path) -> int:
    """More than a copy of this database will have."""
    wal = database.with_name(database.name + "-wal")
    return database.stat().st_size + (wal.stat().st_size if wal.exists() else 0) + BLOCK_BYTES


def _database(path: Path) -> IO[bytes]:
    """A database of a folder whose run may be going on, as one consistent file."""
    with tempfile.TemporaryDirectory(prefix="glassbox-") as folder:
        copy = Path(folder) / path.name
        copy_database(path, copy)
        return copy.open("rb")  # stays readable when its name is gone


def _place(name: str) -> tuple[str, ...]:
    """The parts of a member's name; what each may be is decided by `safe_join` when it is written."""
    parts = tuple(name.split("/"))
    if name.startswith("/") or any(part in ("", ".", "..") for part in parts) or "\\" in name:
        raise _unsafe("names a file outside its folder", name)
    if len(parts) > MAXIMUM_DEPTH:
        raise _unsafe(f"holds folders more than {MAXIMUM_DEPTH} deep", name)
    return parts


def _check_amount(workspace: Workspace, members: list[_Member], zip_bytes: int) -> None:
    places = [member.place for member in members]
    if len({tuple(part.casefold() for part in place) for place in places}) < len(places):
        raise UserError("This archive holds a file twice", remedy="Export the run again")
    total = sum(member.size_bytes for member in members)
    if zip_bytes and total > MAXIMUM_GROWTH * zip_bytes + FREE_GROWTH_BYTES:
        raise _too_much("bytes for so small a file", total, MAXIMUM_GROWTH * zip_bytes + FREE_GROWTH_BYTES)
    require_space(workspace.root, total, what="this run")


def _write(folder: Path, member: _Member) -> None:
    """One file, never longer than it said it is, whatever the source really holds."""
    if member.place[-1].endswith(_LEFT_OUT) and len(member.place) == 1:
        return
    path = folder
    for part in member.place:
        path.mkdir(mode=0o700, exist_ok=True)
        path = safe_join(path, part)
    left = member.size_bytes
    with member.open() as source, path.open("xb") as target:
        while left and (block := source.read(min(BLOCK_BYTES, left))):
            left -= len(block)
            target.write(block)
    path.chmod(0o600)
    os.utime(path, (member.modified_at, member.modified_at))


def _settle_database(path: Path) -> None:
    """Refuse a database that is damaged or holds more than tables of rows, and make it nobody's."""
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA cell_size_check = ON")
            kinds = {str(row[0]) for row in connection.execute("SELECT DISTINCT type FROM sqlite_master")}
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if not kinds <= {"table", "index"}:
                raise _unsafe("holds a database that does something by itself", path.name)
            if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise UserError("A database of this run is damaged", value=path.name, remedy="Export the run again")
            connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.DatabaseError as error:
        what = f"A database of this run is damaged: {error}"
        raise UserError(what, value=path.name, remedy="Export the run again") from error
    if path.name == metrics.FILE_NAME and 0 < version <= metrics.SCHEMA_VERSION:
        release_copy(path)


def _leave_out_damaged(folder: Path) -> list[str]:
    """Remove checkpoints that are not as they were written; what is wrong with each."""
    problems: list[str] = []
    parent = folder / FOLDER_NAME
    for path in sorted(parent.iterdir()) if parent.is_dir() else []:
        is_checkpoint = _CHECKPOINT.fullmatch(path.name) and (path / MANIFEST).exists()
        found = verify_checkpoint(path) if is_checkpoint else [f"{path.name} is no checkpoint."]
        if found:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            problems += [f"Left out: {problem}" for problem in found]
    return problems


def _zip_time(date_time: tuple[int, int, int, int, int, int]) -> float:
    try:
        return time.mktime((*date_time, 0, 0, -1))
    except (ValueError, OverflowError):
        return time.time()


def _unsafe(what: str, name: str) -> UserError:
    return UserError(f"This archive {what}", value=name, remedy="Only open what somebody you trust exported")


def _too_much(what: str, value: int, limit: int) -> UserError:
    return UserError(f"This archive holds too many {what}", value=f"{value:,}", limit=f"{limit:,}")
