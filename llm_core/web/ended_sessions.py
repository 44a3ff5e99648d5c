"""Sessions that were signed out before their time: one empty file for each, named after it.

A signed cookie is good wherever a copy of it lies, so signing out has to be remembered on the server. A folder of marks needs one look at
one name a check, no lock, no cache and nothing that could be half written; every server process and the next one sees the same. A mark is
forgotten when the session would have ended by itself. Not here: what a session is (`signing.py`), which cookies name one
(`access_policy.py`).
"""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path

from llm_core.config.errors import UserError
from llm_core.workspace.json_files import sync_folder

# Ours are random, those of accounts a digest; either is signed before it comes here, so nobody chooses a name.
_SESSION = re.compile(r"[0-9a-f]{32}|[0-9a-f]{64}")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EndedSessions:
    """The marks of one workspace."""

    folder: Path
    lifetime_seconds: int
    """How long a session lasts at most, and therefore a mark."""

    def check(self) -> None:
        """Raises UserError where something else stands in the folder's place: then nobody's session would count."""
        if self.folder.exists() and not self.folder.is_dir():
            remedy = f"Remove {self.folder.name} and signing.key; everyone signs in again"
            raise UserError("The list of ended sessions is no folder", value=self.folder, remedy=remedy)

    def holds(self, session: str) -> bool:
        """Whether this session was ended. Where that cannot be told it counts as ended: nobody comes in on a guess."""
        try:
            self._mark(session).lstat()
        except FileNotFoundError:
            return False
        except OSError as error:
            _log.error("Whether a session was ended cannot be read, so it is refused: %s", error)
        return True

    def add(self, session: str, now: float) -> None:
        """End a session for good, and forget those that have ended by themselves.

        Args:
            now: seconds since the epoch.

        Raises:
            OSError: it cannot be written down, so the session goes on.
        """
        self.folder.mkdir(mode=0o700, exist_ok=True)
        os.close(os.open(self._mark(session), os.O_WRONLY | os.O_CREAT, 0o600))
        sync_folder(self.folder)
        for mark in self.folder.iterdir():
            try:
                if _SESSION.fullmatch(mark.name) and mark.stat().st_mtime < now - self.lifetime_seconds:
                    mark.unlink()
            except FileNotFoundError:
                pass  # another server was first

    def _mark(self, session: str) -> Path:
        assert _SESSION.fullmatch(session), "a session's id is hexadecimal"
        return self.folder / session
