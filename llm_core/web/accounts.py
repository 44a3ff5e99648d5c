"""Signing in with an account of elsewhere (OpenID Connect): who was proved to be there, and which addresses may come in.

An account proves who somebody is, never that they may come in: only the addresses of two lists do.
    GLASSBOX_TRAINER_EMAILS     may do everything
    GLASSBOX_ALLOWED_EMAILS     may look
Each holds e-mail addresses, separated by commas. Not here: the exchange with the provider, which is Streamlit's
(`llm_core.ui.streamlit_accounts`), and passwords (`access_policy.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from llm_core.config.errors import UserError
from llm_core.web.roles import TRAINER, VIEWER

TRAINERS_VARIABLE = "GLASSBOX_TRAINER_EMAILS"
VIEWERS_VARIABLE = "GLASSBOX_ALLOWED_EMAILS"

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")


@dataclass(frozen=True)
class Account:
    """What the provider said of somebody, in a cookie whose signature and age were right."""

    email: str
    is_verified: bool
    """Whether the provider says that the address is theirs. Without that anybody may have claimed it."""
    session: str
    """A digest of what the provider said at this one sign-in, which holds a nonce of its own: 64 hexadecimal digits."""


class Accounts(Protocol):
    """The provider, as far as the gate needs it."""

    def is_set_up(self) -> bool:
        """Whether somebody has begun to describe a provider."""
        ...

    def check(self) -> None:
        """Raises UserError when the provider is not set up, or not safely."""
        ...

    def account_of(self, cookies: Mapping[str, str]) -> Account | None:
        """Who the cookies prove to be there; None when they prove nobody."""
        ...

    def login_address(self) -> str:
        """The address on this server that leads to the provider, good for a minute or two."""
        ...

    def cookie_names(self, cookies: Mapping[str, str]) -> list[str]:
        """Those of the cookies that signing out has to delete."""
        ...


@dataclass(frozen=True)
class AllowList:
    """Which addresses come in as what."""

    roles: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> AllowList:
        """The two lists; an address on both is a trainer. Raises UserError for what is no address."""
        roles: dict[str, str] = {}
        for variable, role in ((VIEWERS_VARIABLE, VIEWER), (TRAINERS_VARIABLE, TRAINER)):
            for entry in environment.get(variable, "").split(","):
                address = entry.strip()
                if address and not _ADDRESS.fullmatch(address):
                    remedy = "Give whole addresses such as ada@example.org, separated by commas, without *"
                    raise UserError(
                        f"{variable} holds something that is no e-mail address", value=address, remedy=remedy
                    )
                if address:
                    roles[address.lower()] = role
        return cls(roles)

    def role_of(self, account: Account | None) -> str | None:
        """The role of a listed, verified address; None for everyone else.

        Only addresses of ASCII are compared: letters that merely look or fold alike must not let a stranger in.
        """
        if account is None or not account.is_verified or not account.email.isascii():
            return None
        return self.roles.get(account.email.lower())
