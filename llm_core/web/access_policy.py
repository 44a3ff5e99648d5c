"""Who may come in: passwords, accounts and roles, the addresses this server answers to, and the role behind a cookie.

Settings come from the environment:
    GLASSBOX_PASSWORD           asks everyone to sign in; needed before the server listens on more than loopback
    GLASSBOX_VIEWER_PASSWORD    a second password that opens everything for reading
    GLASSBOX_ALLOWED_HOSTS      further host names, separated by commas, that a reverse proxy forwards
    GLASSBOX_TRAINER_EMAILS, GLASSBOX_ALLOWED_EMAILS     accounts that may come in (`accounts.py`), beside the passwords or without
Not here: the middleware that applies the policy (`access.py`), the sign-in page (`sign_in.py`).
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from llm_core.config.errors import Refused, UserError
from llm_core.web.accounts import TRAINERS_VARIABLE, VIEWERS_VARIABLE, Account, Accounts, AllowList
from llm_core.web.ended_sessions import EndedSessions
from llm_core.web.roles import TRAINER, VIEWER
from llm_core.web.signing import Session, fingerprint, load_signing_key, new_session_id, same_text, sign, verify
from llm_core.workspace.paths import Workspace

SESSION_SECONDS = 7 * 24 * 3600

PASSWORD_VARIABLE = "GLASSBOX_PASSWORD"  # noqa: S105 - the name of a variable
VIEWER_PASSWORD_VARIABLE = "GLASSBOX_VIEWER_PASSWORD"  # noqa: S105
HOSTS_VARIABLE = "GLASSBOX_ALLOWED_HOSTS"

# host, [ipv6], host:port, [ipv6]:port; nothing that a URL could hide beside a host (user, path, query).
_HOST = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True)
class AccessPolicy:
    """The rules of one server process. Without passwords everyone on this machine is a trainer."""

    passwords: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    hosts: frozenset[str] = frozenset()
    key: bytes = field(default=b"", repr=False)
    allowed: AllowList = field(default_factory=AllowList)
    accounts: Accounts | None = field(default=None, repr=False)
    ended: EndedSessions | None = None
    """Sessions that were signed out; None only where nobody signs in."""

    @classmethod
    def from_environment(
        cls, workspace: Workspace, environment: Mapping[str, str] | None = None, accounts: Accounts | None = None
    ) -> AccessPolicy:
        """The policy that the environment asks for; makes the signing key when people have to sign in.

        Args:
            accounts: the provider; without one, listed addresses open nothing.

        Raises:
            UserError: the settings contradict each other.
        """
        environment = os.environ if environment is None else environment
        password = environment.get(PASSWORD_VARIABLE, "")
        viewer_password = environment.get(VIEWER_PASSWORD_VARIABLE, "")
        names = [name.strip() for name in environment.get(HOSTS_VARIABLE, "").split(",") if name.strip()]
        allowed = AllowList.from_environment(environment)
        if not password:
            for variable, value in ((VIEWER_PASSWORD_VARIABLE, viewer_password), (HOSTS_VARIABLE, names)):
                if value and not (variable == HOSTS_VARIABLE and allowed.roles):
                    what = f"{variable} is set, but {PASSWORD_VARIABLE} is not"
                    raise UserError(what, remedy=f"Set {PASSWORD_VARIABLE} too, or neither")
            if not allowed.roles:
                return cls()
        if same_text(password, viewer_password):
            what = f"{PASSWORD_VARIABLE} and {VIEWER_PASSWORD_VARIABLE} are equal, so nobody could be told apart"
            raise UserError(what, remedy="Choose two different passwords")
        given = {TRAINER: password, VIEWER: viewer_password}
        passwords = {role: text for role, text in given.items() if text}
        own_name = socket.gethostname().lower()
        hosts = {_checked_name(name) for name in names} | {own_name, f"{own_name.partition('.')[0]}.local"}
        ended = EndedSessions(workspace.ended_sessions, SESSION_SECONDS)
        ended.check()
        return cls(passwords, frozenset(hosts), load_signing_key(workspace.signing_key), allowed, accounts, ended)

    @property
    def asks(self) -> bool:
        """Whether people have to sign in."""
        return bool(self.passwords or self.allowed.roles)

    @property
    def takes_accounts(self) -> bool:
        """Whether somebody may come in with an account."""
        return bool(self.allowed.roles) and self.accounts is not None

    @property
    def cookie_name(self) -> str:
        """The name of this workspace's cookie."""
        return f"glassbox-{fingerprint(self.key)}"

    def role_for_password(self, given: str) -> str | None:
        """The role that a password opens; None for a wrong one. Every password is compared, whichever fits."""
        roles = [role for role, password in self.passwords.items() if same_text(given, password)]
        return roles[0] if roles else None

    def cookie_value(self, role: str, now: float) -> str:
        """The signed cookie of someone who signs in now (seconds since the epoch)."""
        return sign(self.key, Session(role, int(now) + SESSION_SECONDS, new_session_id()), self.passwords[role])

    def role_of(self, cookies: Mapping[str, str], now: float | None = None) -> str | None:
        """The role that the cookies prove; None when they prove none. Everyone is a trainer while nobody is asked."""
        if not self.asks:
            return TRAINER
        session = self._session_of(cookies, now)
        return self.allowed.role_of(self.account_of(cookies)) if session is None else session.role

    def account_of(self, cookies: Mapping[str, str]) -> Account | None:
        """The account that the cookies prove, listed or not, as long as its session was not ended."""
        account = None if self.accounts is None else self.accounts.account_of(cookies)
        return None if account is None or self._is_ended(account.session) else account

    def end_sessions(self, cookies: Mapping[str, str], now: float | None = None) -> None:
        """Have the sessions of these cookies count no longer: in every tab, and wherever a copy of the cookies lies.

        Those of strangers are left alone: they open nothing, and whoever is not let in shall leave nothing on the disk.

        Raises:
            OSError: it cannot be written down, so the sessions go on.
        """
        now = time.time() if now is None else now
        session, account = self._session_of(cookies, now), self.account_of(cookies)
        if self.ended is not None and session is not None:
            self.ended.add(session.id, now)
        if self.ended is not None and account is not None and self.allowed.role_of(account):
            self.ended.add(account.session, now)

    def _session_of(self, cookies: Mapping[str, str], now: float | None) -> Session | None:
        """The session of a password that the cookies prove, as long as it was not ended."""
        token = cookies.get(self.cookie_name, "")
        session = verify(self.key, token, self.passwords, time.time() if now is None else now)
        return None if session is None or self._is_ended(session.id) else session

    def _is_ended(self, session: str) -> bool:
        return self.ended is None or self.ended.holds(session)

    def allows_host(self, header: str | None) -> bool:
        """Whether a Host header names this server; a foreign name that was made to point here (DNS rebinding) does not.

        With a password any plain IP address is accepted as well: rebinding needs a name, and the cookie of a name or
        address is sent to no other.
        """
        host = host_of(header)
        if host is None:
            return False
        if is_loopback(host) or host in self.hosts:
            return True
        return self.asks and _ip_address(host) is not None

    def check_address(self, address: str | None) -> None:
        """Refuse to listen where others could come in without a password.

        Raises:
            Refused: the address is not loopback and there is no password.
        """
        if self.asks or (address is not None and is_loopback(address)):
            return
        remedy = (
            f"Set {PASSWORD_VARIABLE} or {TRAINERS_VARIABLE}, or listen on 127.0.0.1 and reach it through an SSH tunnel"
        )
        raise Refused(
            "Without a password Glassbox listens on this machine alone",
            value=address or "all addresses",
            limit="127.0.0.1, ::1 or localhost",
            remedy=remedy,
        )


def people_sign_in(environment: Mapping[str, str]) -> bool:
    """Whether the environment asks people to sign in, before anything is known of a workspace or a provider."""
    return any(environment.get(name, "").strip() for name in (PASSWORD_VARIABLE, TRAINERS_VARIABLE, VIEWERS_VARIABLE))


def host_of(header: str | None) -> str | None:
    """The host of a Host header in lower case, without port; None when it is missing or not a plain host."""
    match = _HOST.fullmatch(header or "")
    if match is None or int(match["port"] or 0) > 65_535:
        return None
    return (match["six"] or match["name"]).lower().removesuffix(".")


def is_loopback(host: str) -> bool:
    """Whether a host names this machine and nothing else."""
    address = _ip_address(host)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return host == "localhost" if address is None else address.is_loopback


def _ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _checked_name(name: str) -> str:
    host = host_of(name)
    if host is None:
        remedy = "Give names such as studio.example.org, separated by commas, without http:// and without *"
        raise UserError(f"{HOSTS_VARIABLE} holds something that is not a host name", value=name, remedy=remedy)
    return host
