"""Who is looking: the role behind this session's cookie, and the check at every action that changes something.

The gate (`llm_core.web.access`) lets a WebSocket in once; the session may outlive the cookie, and a viewer has one too. So
every button handler that starts, stops, deletes or imports calls `require_role` first.
"""

from __future__ import annotations

import streamlit as st

from llm_core.config.errors import Refused
from llm_core.web.access_policy import TRAINER, AccessPolicy
from llm_core.web.sign_in import SIGN_IN
from llm_core.workspace.paths import open_workspace


def current_role() -> str | None:
    """`trainer`, `viewer`, or None when the session has ended; `trainer` for everyone while no password is set."""
    return _policy().role_of(st.context.cookies)


def may_change_things() -> bool:
    """Whether buttons that change something should be offered."""
    return current_role() == TRAINER


def asks_for_password() -> bool:
    """Whether this server has people sign in."""
    return _policy().asks


def require_role(role: str = TRAINER) -> None:
    """The first line of every action.

    Raises:
        Refused: the session has ended, or its password opens less than this.
    """
    present = current_role()
    if present is None:
        raise Refused("Your session has ended", remedy=f"Sign in again at {SIGN_IN}; runs go on meanwhile")
    if present not in (role, TRAINER):
        what = "Your password opens Glassbox for reading"
        raise Refused(what, value=present, limit=role, remedy=f"Sign in with the other password at {SIGN_IN}")


def _policy() -> AccessPolicy:
    return AccessPolicy.from_environment(open_workspace())
