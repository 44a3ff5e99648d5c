"""Which files of this machine a page may read: those under the folders of GLASSBOX_IMPORT_ROOTS.

Whoever reaches the page is not always whoever sits at the machine, so a path typed there is resolved, links included, and
compared with these folders before anything is said about it. The command line reads any path. Not here: uploads
(`uploads.py`), reading (`sources.py`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from llm_core.config.errors import Refused, UserError
from llm_core.text.text_file import check_file
from llm_core.workspace.paths import Workspace

ROOTS_VARIABLE = "GLASSBOX_IMPORT_ROOTS"


def import_roots(*, on_loopback: bool, environment: Mapping[str, str] | None = None) -> tuple[Path, ...]:
    """The folders that pages may read from, links resolved.

    Args:
        on_loopback: whether the server can be reached from this machine alone; then the home folder is the default,
            otherwise there is none. A variable that is set but empty means none in both cases.
    """
    environment = os.environ if environment is None else environment
    given = environment.get(ROOTS_VARIABLE)
    if given is None:
        return (Path.home().resolve(),) if on_loopback else ()
    return tuple(Path(part).expanduser().resolve() for part in given.split(os.pathsep) if part.strip())


def check_import_path(workspace: Workspace, typed: str, roots: Sequence[Path]) -> Path:
    """The file behind a typed path with every link resolved, if it may be read.

    Raises:
        Refused: paths are switched off, or the file lies elsewhere; whether it exists is then not said.
        NotFound, UserError: it is inside, but is not there, is no file, is empty or cannot be read.
    """
    resolved = resolve_import_path(workspace, typed, roots)
    check_file(resolved)
    return resolved


def resolve_import_path(workspace: Workspace, typed: str, roots: Sequence[Path]) -> Path:
    """Where a typed path leads with every link resolved, if that is a place that pages may read from.

    Raises:
        Refused, UserError: as `check_import_path`; what lies there is not looked at.
    """
    if not roots:
        raise Refused(
            "This server reads no files by path",
            limit=f"the folders of {ROOTS_VARIABLE}, which names none",
            remedy=f"Upload the file, or set {ROOTS_VARIABLE} where the server is started",
        )
    text = typed.strip()
    if "\0" in text:
        raise UserError("A path cannot hold a NUL character", value=text, remedy="Remove it")
    try:
        path = Path(text).expanduser()
        if not path.is_absolute():
            raise UserError(
                "The path is not complete", value=text or "(empty)", limit="a path that begins with / or ~",
                remedy="Give the whole path",
            )  # fmt: skip
        resolved = path.resolve()
    except (OSError, RuntimeError) as error:  # a loop of links, or a ~name that nobody has
        raise UserError("This path cannot be followed", value=text, remedy="Check it") from error
    inside = any(resolved.is_relative_to(root) for root in roots)
    if not inside or resolved.is_relative_to(workspace.root.resolve()):
        raise Refused(
            "Files outside the import folders cannot be read from the page",
            value=text,
            limit=", ".join(str(root) for root in roots),
            remedy=f"Upload the file, import it with `glassbox data add`, or add its folder to {ROOTS_VARIABLE}",
        )
    return resolved
