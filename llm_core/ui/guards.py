"""Who is looking: the role behind this session's cookie, and the check at every action that changes something.

The gate (`llm_core.web.access`) lets a WebSocket in once; the session may outlive the cookie, and a viewer has one too. So
every button handler that changes something begins with `require("delete-run")`: the actions and who may do them stand in
`llm_core.web.permissions`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import streamlit as st

from llm_core.config.errors import Refused
from llm_core.ui.streamlit_accounts import StreamlitAccounts
from llm_core.web.access_policy import AccessPolicy
from llm_core.web.permissions import action_named, is_allowed
from llm_core.web.roles import TRAINER
from llm_core.web.sign_in import SIGN_IN
from llm_core.workspace.paths import open_workspace

_P = ParamSpec("_P")
_R = TypeVar("_R")


def current_role() -> str | None:
    """`trainer`, `viewer`, or None when the session has ended; `trainer` for everyone while no password is set."""
    return _policy().role_of(st.context.cookies)


def may(action: str) -> bool:
    """Whether the button of this action should be offered."""
    return is_allowed(current_role(), action)


def asks_for_password() -> bool:
    """Whether this server has people sign in."""
    return _policy().asks


def current_author() -> str:
    """Who asks, as commands keep it: the address of the account that signed in, else the dashboard."""
    account = _policy().account_of(st.context.cookies)
    return "dashboard" if account is None else account.email


def require(action: str) -> None:
    """The first line of every action, before anything is changed.

    Raises:
        Refused: the session has ended, or its role may not do this.
    """
    declared = action_named(action)
    _require(declared.permission, declared.does)


def asking(action: str, change: Callable[_P, _R]) -> Callable[_P, _R]:
    """The change with `require(action)` before it, for what is prepared before the click."""

    @wraps(change)
    def asked(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        require(action)
        return change(*args, **kwargs)

    return asked


def _require(needed: str, does: str) -> None:
    role = current_role()
    if role is None:
        raise Refused("Your session has ended", remedy=f"Sign in again at {SIGN_IN}; runs go on meanwhile")
    if role not in (needed, TRAINER):
        what = f"Your sign-in opens Glassbox for reading, so you may not {does}"
        raise Refused(what, value=role, limit=needed, remedy=f"Sign in as a trainer at {SIGN_IN}")


def _policy() -> AccessPolicy:
    return AccessPolicy.from_environment(open_workspace(), accounts=StreamlitAccounts())
