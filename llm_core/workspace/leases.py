"""Leases: who may write for a job, told by a token that grows with each holder.

A token is "<number>-<random>". The number goes up with every claim of the job and never comes back, so whoever holds an
older one can be told apart from whoever holds a newer one, in the registry, in metrics.db and in a checkpoint alike
(the fencing token of Kleppmann, "How to do distributed locking", 2016). Not here: renewing a lease (`llm_core.backend.lease`).
"""

from __future__ import annotations

import secrets


class LeaseLost(RuntimeError):
    """Somebody else holds the job now: the writer must stop at once and write nothing more."""


def new_token(number: int) -> str:
    """The token of the `number`-th holder of a job."""
    return f"{number:06d}-{secrets.token_hex(8)}"


def token_number(token: str | None) -> int | None:
    """Which holder a token belongs to; None for a token that carries no number."""
    number, dash, _ = (token or "").partition("-")
    return int(number) if dash and number.isascii() and number.isdigit() else None


def supersedes(stored: str | None, offered: str) -> bool:
    """Whether the stored token is newer than the offered one, or is another one of the same age."""
    if stored is None or stored == offered:
        return False
    stored_number, offered_number = token_number(stored), token_number(offered)
    if stored_number is None or offered_number is None:
        return False
    return stored_number >= offered_number
