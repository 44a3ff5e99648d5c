"""Signed sign-in tokens: what the cookie says, and the secret in the workspace that makes it hard to forge.

A token names a role, the moment it ends and the sign-in it belongs to, and carries an HMAC over all three, keyed by the workspace's secret
and the password that was given, so that a changed password ends every session. Tokens of the first version named no sign-in, so that no
signing out could end them; they are refused, which costs one sign-in. Not here: who may do what (`access.py`), which sessions were ended
(`ended_sessions.py`).
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from llm_core.config.errors import UserError

KEY_BYTES = 32
VERSION = "2"
SESSION_BYTES = 16

_SESSION = re.compile(rf"[0-9a-f]{{{2 * SESSION_BYTES}}}")


@dataclass(frozen=True)
class Session:
    """What a valid token says."""

    role: str
    expires_at: int
    id: str
    """Of this one sign-in, drawn by `new_session_id`."""


def load_signing_key(path: Path) -> bytes:
    """The secret in the file, made on first use (32 random bytes, mode 0600); two servers starting at once agree on one.

    Raises:
        UserError: the file is not a secret of ours, or other accounts may read it.
    """
    if not path.exists():
        _create(path)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        remedy = f"Delete {path.name}; a new one is made and everyone signs in again"
        raise UserError("The signing key may be read by other accounts", value=oct(mode), limit="0o600", remedy=remedy)
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        remedy = f"Delete {path.name}; a new one is made and everyone signs in again"
        raise UserError("The signing key is damaged", value=f"{len(key)} bytes", limit=KEY_BYTES, remedy=remedy)
    return key


def _create(path: Path) -> None:
    """Write the secret under another name and link it into place, so that nobody ever reads half of it."""
    temporary = path.with_name(f"{path.name}.tmp-{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        if not path.exists():
            os.link(temporary, path)
    except FileExistsError:
        pass  # another server was first; its secret is as good
    finally:
        temporary.unlink()


def new_session_id() -> str:
    """An id that nobody else has and nobody can guess."""
    return secrets.token_hex(SESSION_BYTES)


def sign(key: bytes, session: Session, password: str) -> str:
    """The cookie's value for a session that was opened with this password."""
    payload = f"{VERSION}.{session.role}.{session.expires_at}.{session.id}"
    return f"{payload}.{_signature(key, payload, password)}"


def verify(key: bytes, token: str, passwords: dict[str, str], now: float) -> Session | None:
    """The session of a token whose signature is ours and whose time has not run out; None for anything else.

    Args:
        passwords: the present password of each role.
        now: seconds since the epoch.
    """
    payload, _, signature = token.rpartition(".")
    parts = payload.split(".")
    if len(parts) != 4 or parts[0] != VERSION or not (parts[2].isascii() and parts[2].isdigit()):
        return None
    role, expires_at, session_id = parts[1], int(parts[2][:20]), parts[3]
    password = passwords.get(role)
    if password is None or not _SESSION.fullmatch(session_id):
        return None
    # Compared as bytes: compare_digest refuses text that is not ASCII, and a cookie may hold anything.
    expected = _signature(key, payload, password).encode()
    if not hmac.compare_digest(expected, signature.encode("utf-8", "surrogateescape")) or now >= expires_at:
        return None
    return Session(role, expires_at, session_id)


def same_text(given: str, expected: str) -> bool:
    """Whether two secrets are equal, in a time that tells nothing; never true for an empty expected one."""
    if not expected:
        return False
    digests = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in (given, expected)]
    return hmac.compare_digest(*digests)


def fingerprint(key: bytes) -> str:
    """A short public name of the key: cookies do not know ports, so two workspaces on one machine need two names."""
    return hmac.new(key, b"cookie name", hashlib.sha256).hexdigest()[:8]


def _signature(key: bytes, payload: str, password: str) -> str:
    password_key = hmac.new(key, password.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
    return hmac.new(password_key, payload.encode(), hashlib.sha256).hexdigest()
