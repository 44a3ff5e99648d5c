"""Where things lie on disk, and the one guard through which every name from outside becomes a path.

Not here: what the files hold (`registry.py`, `metrics.py`, `checkpoints.py`), datasets and tokenizers (`llm_core.text`).
"""

from __future__ import annotations

import os
import stat
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from llm_core.config.errors import NotFound, UserError

MAXIMUM_NAME_CHARACTERS = 100
MAXIMUM_PART_BYTES = 255
HOME_VARIABLE = "GLASSBOX_HOME"


@dataclass(frozen=True)
class Workspace:
    """One folder that holds everything of one person: texts, tokenizers, runs, and the table of jobs."""

    root: Path

    @property
    def database(self) -> Path:
        """The registry: every job and its state."""
        return self.root / "glassbox.db"

    @property
    def datasets(self) -> Path:
        """One folder for each imported text."""
        return self.root / "datasets"

    @property
    def tokenizers(self) -> Path:
        """One folder for each trained or imported tokenizer."""
        return self.root / "tokenizers"

    @property
    def tokens(self) -> Path:
        """One folder for each pair of text and tokenizer that was encoded."""
        return self.root / "tokens"

    @property
    def runs(self) -> Path:
        """One folder for each run that has started."""
        return self.root / "runs"

    @property
    def jobs(self) -> Path:
        """One folder for each job that is not a run: progress, log, cancel mark."""
        return self.root / "jobs"

    @property
    def supervisor_lock(self) -> Path:
        """Held exclusively by the one supervisor."""
        return self.root / "supervisor.lock"

    @property
    def supervisor_log(self) -> Path:
        """What the supervisor says."""
        return self.root / "supervisor.log"

    @property
    def web_lock(self) -> Path:
        """Held shared by each web server while it serves."""
        return self.root / "web.lock"

    @property
    def inference_lock(self) -> Path:
        """Held exclusively by the one inference process."""
        return self.root / "inference.lock"

    @property
    def inference_socket(self) -> Path:
        """Where the inference process listens."""
        return self.root / "inference.sock"

    @property
    def inference_log(self) -> Path:
        """What the inference process says."""
        return self.root / "inference.log"

    @property
    def signing_key(self) -> Path:
        """The secret that signs the sign-in cookie, mode 0600."""
        return self.root / "signing.key"

    @property
    def ended_sessions(self) -> Path:
        """One empty file for each sign-in that was signed out before its time."""
        return self.root / "ended-sessions"


def open_workspace(root: str | os.PathLike[str] | None = None, create: bool = True) -> Workspace:
    """The workspace at `root`, else at $GLASSBOX_HOME, else `workspace/` of the checkout, else ~/glassbox.

    A new folder, and one that was a workspace before, is made private to its owner (mode 0700).

    Raises:
        NotFound: the folder does not exist and `create` is False.
        UserError: the path is a file, cannot be made, or is a folder of other things that others may read.
    """
    folder = Path(root) if root is not None else default_root()
    folder = folder.expanduser().absolute()
    workspace = Workspace(folder)
    if folder.exists() and not folder.is_dir():
        raise UserError("The workspace is not a folder", value=folder, remedy="Give the path of a folder")
    if not create:
        if not folder.is_dir():
            raise NotFound("There is no workspace here", value=folder, remedy="Start `glassbox` once, or give its path")
        return workspace
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        _make_private(workspace)
        for part in (workspace.datasets, workspace.tokenizers, workspace.tokens, workspace.runs, workspace.jobs):
            part.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(
            f"The workspace cannot be made: {error.strerror}",
            value=folder,
            remedy=f"Set {HOME_VARIABLE} to a folder that you may write to",
        ) from error
    return workspace


def default_root() -> Path:
    """Where the workspace is when nobody says."""
    from_environment = os.environ.get(HOME_VARIABLE, "").strip()
    if from_environment:
        return Path(from_environment)
    checkout = Path(__file__).resolve().parents[2]
    return checkout / "workspace" if (checkout / "pyproject.toml").is_file() else Path.home() / "glassbox"


def _make_private(workspace: Workspace) -> None:
    """Take group and others off the folder; refuse one that is in use for something else (such as /tmp)."""
    root = workspace.root
    if not stat.S_IMODE(root.stat().st_mode) & 0o077:
        return
    is_ours = workspace.database.exists() or workspace.runs.is_dir() or not any(root.iterdir())
    if not is_ours:
        raise UserError(
            "This folder holds other things and is open to other accounts, so it cannot become a workspace",
            value=root,
            remedy="Give a new or an empty folder",
        )
    root.chmod(0o700)


def safe_join(root: Path, *parts: str) -> Path:
    """`root` and one or more names below it; the result never leaves `root`.

    Each part is one name, not a path: separators are refused, so an id from outside cannot address anything deeper.
    Nothing is decoded: "%2e%2e" is a name like any other. The last part need not exist.

    Raises:
        UserError: a part is empty, ".", "..", absolute, longer than 255 bytes, holds a separator, NUL or another control
            character, or a symbolic link on the way leads out of `root`.
    """
    for part in parts:
        problem = _part_problem(part)
        if problem:
            raise UserError(
                f"This cannot be a file name: {problem}", value=part, remedy="Use an id as the lists show it"
            )
    path = root.joinpath(*parts)
    try:
        inside = path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError) as error:  # a loop of links; RuntimeError before Python 3.13
        raise UserError("This path cannot be followed", value=path, remedy="Remove the looping link") from error
    if not inside:
        raise UserError(
            "This path leads out of its folder through a link", value=path, limit=root, remedy="Remove the link"
        )
    return path


def _part_problem(part: str) -> str:
    if part in ("", ".", ".."):
        return "it names no file of its own"
    if "/" in part or "\\" in part:
        return "it holds a path separator"
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in part):
        return "it holds a control character"
    size_bytes = len(part.encode("utf-8"))
    if size_bytes > MAXIMUM_PART_BYTES:
        return f"it has {size_bytes} bytes, {MAXIMUM_PART_BYTES} is the limit"
    return ""


def check_name(name: str) -> str:
    """The name, if a person may call something so.

    A name is shown in pages, logs and terminals and typed on command lines, so it is 1 to 100 printable characters
    without separators and without characters that hide or reorder what is read. It is never used as a path.

    Raises:
        UserError: naming what is wrong with it.
    """
    remedy = "Use letters, digits, spaces, dots and dashes"
    if not name or name != name.strip():
        raise UserError("A name cannot be empty or begin or end with a space", value=name, remedy=remedy)
    if len(name) > MAXIMUM_NAME_CHARACTERS:
        limit = f"{MAXIMUM_NAME_CHARACTERS} characters"
        raise UserError(f"The name is too long ({len(name)} characters)", value=name, limit=limit, remedy="Shorten it")
    if name in (".", ".."):
        raise UserError("A name cannot be a folder sign", value=name, remedy=remedy)
    for character in name:
        # Cf holds the bidirectional marks and zero-width characters; str.isprintable refuses the whole of C and Z but space.
        if character in "/\\" or not character.isprintable():
            shown = f"U+{ord(character):04X}"
            raise UserError(f"A name cannot hold the character {shown}", value=name, remedy=remedy)
    return name
