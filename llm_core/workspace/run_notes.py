"""What a person writes about a run: a free text and a few tags, in `notes.json` of the run's folder, so that every copy carries them.

Pages and the command line write it, never the worker; one at a time, and the file is whole or absent. A change names what it adds and
takes away, so that two open pages do not undo each other. Not here: the run's name and group (`registry.py`).
"""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from llm_core.config.errors import Refused, UserError
from llm_core.workspace.json_files import read_json, write_json
from llm_core.workspace.locks import FileLock

FILE_NAME = "notes.json"
SCHEMA_VERSION = 1
MAXIMUM_TEXT_CHARACTERS = 20_000
MAXIMUM_TAGS = 20
MAXIMUM_TAG_CHARACTERS = 40
_LOCK_NAME = "notes.lock"
_LOCK_SECONDS = 5.0
_PAUSE_SECONDS = 0.01


@dataclass(frozen=True)
class RunNotes:
    """The notes of one run; empty where nobody has written any."""

    text: str = ""
    tags: tuple[str, ...] = ()


def read_notes(run_folder: Path) -> RunNotes:
    """The notes of a run. What another program wrote into the file is cut to what could have been written here."""
    values = read_json(run_folder / FILE_NAME) or {}
    text, tags = values.get("text"), values.get("tags")
    listed = cast("list[object]", tags) if isinstance(tags, list) else []
    usable = [tag for tag in listed if isinstance(tag, str) and not _tag_problem(tag)]
    shown = "".join(character for character in text if _may_stand(character)) if isinstance(text, str) else ""
    return RunNotes(shown[:MAXIMUM_TEXT_CHARACTERS], tuple(dict.fromkeys(usable))[:MAXIMUM_TAGS])


def change_notes(
    run_folder: Path,
    *,
    text: str | None = None,
    seen: str | None = None,
    tag: Iterable[str] = (),
    untag: Collection[str] = (),
) -> RunNotes:
    """Change the notes of a run and return them as they are now.

    Args:
        text: the new text; None keeps the present one.
        seen: the text that the writer had before their eyes; when another one is stored by now, nothing is changed.
        tag: tags to add; one that is there already stays once.
        untag: tags to take away.

    Raises:
        UserError: the text or a tag is too long or holds characters that cannot be shown, there are too many tags, or the folder
            cannot be written to.
        Refused: somebody else changed the text meanwhile.
    """
    if text is not None:
        text = _checked_text(text)
    added = [_checked_tag(name.strip()) for name in tag]
    try:
        run_folder.mkdir(parents=True, exist_ok=True)
        with FileLock(run_folder / _LOCK_NAME) as lock:
            _acquire(lock)
            notes = read_notes(run_folder)
            if seen is not None and text not in (None, notes.text) and notes.text != seen:
                what = "Somebody else changed these notes meanwhile"
                raise Refused(what, remedy="Copy your text, reload the page and put both together")
            tags = tuple(name for name in dict.fromkeys((*notes.tags, *added)) if name not in untag)
            if len(tags) > MAXIMUM_TAGS:
                what = "These are too many tags for one run"
                raise UserError(what, value=len(tags), limit=MAXIMUM_TAGS, remedy="Take one away first")
            changed = RunNotes(notes.text if text is None else text, tags)
            if changed != notes:
                values = {"schema_version": SCHEMA_VERSION, "text": changed.text, "tags": list(changed.tags)}
                write_json(run_folder / FILE_NAME, values)
    except OSError as error:
        raise UserError(
            f"The notes cannot be written: {error.strerror}",
            value=run_folder,
            remedy="Free some space, or make the run's folder writable",
        ) from error
    return changed


def _acquire(lock: FileLock) -> None:
    deadline = time.monotonic() + _LOCK_SECONDS
    while not lock.try_acquire():
        if time.monotonic() > deadline:
            raise Refused("Another process is writing the notes of this run", remedy="Try again in a moment")
        time.sleep(_PAUSE_SECONDS)


def _checked_text(text: str) -> str:
    if len(text) > MAXIMUM_TEXT_CHARACTERS:
        limit = f"{MAXIMUM_TEXT_CHARACTERS:,} characters"
        raise UserError("The notes are too long", value=f"{len(text):,} characters", limit=limit, remedy="Shorten them")
    for character in text:
        if not _may_stand(character):
            what = f"Notes cannot hold the character U+{ord(character):04X}"
            raise UserError(what, remedy="Take it out; it cannot be seen")
    return text


def _checked_tag(tag: str) -> str:
    problem = _tag_problem(tag)
    if problem:
        limit = f"{MAXIMUM_TAG_CHARACTERS} characters"
        raise UserError(f"This cannot be a tag: {problem}", value=tag, limit=limit, remedy="Use a word or two")
    return tag


def _tag_problem(tag: str) -> str:
    if not tag or tag != tag.strip():
        return "it is empty or begins or ends with a space"
    if len(tag) > MAXIMUM_TAG_CHARACTERS:
        return f"it has {len(tag):,} characters"
    if "," in tag or not tag.isprintable():
        return "it holds a comma or a character that cannot be seen"
    return ""


def _may_stand(character: str) -> bool:
    """Everything but control characters, halves of surrogate pairs and marks that reorder what is read."""
    if character in "\n\t":
        return True
    return unicodedata.category(character) not in ("Cc", "Cs") and character not in _REORDERING


_REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
