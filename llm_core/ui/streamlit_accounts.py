"""Accounts of an OpenID Connect provider, through Streamlit's own sign-in (`[auth]` in .streamlit/secrets.toml, extra `oidc`).

Streamlit talks to the provider (/auth/login, /oauth2callback) and keeps what it was told in a signed cookie. Here that cookie is read
anew at every request, every rerun and every action, and is believed for a week instead of Streamlit's month. These are inner functions
of the Streamlit version that pyproject.toml pins; `tests/web/test_accounts.py` runs them against a provider. Not here: who may come in
(`llm_core.web.accounts`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from streamlit.auth_util import (
    get_cookie_with_chunks,
    get_origin_from_redirect_uri,
    get_secrets_auth_section,
    is_authlib_installed,
    validate_auth_credentials,
)
from streamlit.errors import StreamlitAuthError
from streamlit.user_info import generate_login_redirect_url
from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value
from streamlit.web.server.starlette.starlette_server_config import TOKENS_COOKIE_NAME, USER_COOKIE_NAME

from llm_core.config.errors import UserError
from llm_core.web.access_policy import SESSION_SECONDS
from llm_core.web.accounts import Account

SHORTEST_SECRET_BYTES = 32
PROVIDER = "default"


class StreamlitAccounts:
    """The provider of `[auth]`."""

    def is_set_up(self) -> bool:
        """Whether there is an [auth] section."""
        return bool(get_secrets_auth_section())

    def check(self) -> None:
        """Raises UserError when something is missing that sign-in needs, or the secret could be guessed."""
        section = "[auth] in .streamlit/secrets.toml"
        if not is_authlib_installed():
            raise UserError("Accounts need another package", remedy="pip install 'glassbox-lm[oidc]'")
        try:
            validate_auth_credentials(PROVIDER)
        except StreamlitAuthError as error:
            what = f"Accounts may come in, but {section} is not complete"
            raise UserError(what, value=str(error), remedy="See the part on accounts in SECURITY.md") from error
        secret = self._secret()
        if len(secret.encode()) < SHORTEST_SECRET_BYTES:
            remedy = "Make one with: python -c 'import secrets; print(secrets.token_hex(32))'"
            what = f"The cookie_secret of {section} is too short: who guesses it is everybody"
            limit = f"{SHORTEST_SECRET_BYTES} bytes or more"
            raise UserError(what, value=f"{len(secret.encode())} bytes", limit=limit, remedy=remedy)

    def account_of(self, cookies: Mapping[str, str]) -> Account | None:
        """Who Streamlit's cookie names, when we signed it within the last week for this very address."""
        if USER_COOKIE_NAME not in cookies:
            return None
        secret = self._secret()
        if len(secret.encode()) < SHORTEST_SECRET_BYTES:
            return None

        def opened(name: str) -> bytes | None:
            signed = cookies.get(name, "").encode("latin-1", "replace")
            return decode_signed_value(secret, name, signed, max_age_days=SESSION_SECONDS / 86_400)

        return _account(get_cookie_with_chunks(opened, USER_COOKIE_NAME))

    def login_address(self) -> str:
        """Where Streamlit sends the browser on to the provider."""
        return generate_login_redirect_url(PROVIDER)

    def cookie_names(self, cookies: Mapping[str, str]) -> list[str]:
        """Streamlit's cookies, whole or in pieces."""
        return [name for name in cookies if name.startswith((USER_COOKIE_NAME, TOKENS_COOKIE_NAME))]

    def _secret(self) -> str:
        return str(get_secrets_auth_section().get("cookie_secret", ""))


def _account(payload: bytes | None) -> Account | None:
    """The account that a cookie names. Its session is told by what was signed, not by the cookie as it was sent: the same signature has
    several spellings, and another spelling must not open again what was signed out."""
    try:
        said = json.loads(payload or b"null")
    except ValueError:
        return None
    if not isinstance(said, dict) or said.get("is_logged_in") is not True:
        return None
    if said.get("origin") != get_origin_from_redirect_uri():
        return None
    email = said.get("email")
    if not isinstance(email, str):
        return None
    return Account(email, said.get("email_verified") is True, hashlib.sha256(payload or b"").hexdigest())
