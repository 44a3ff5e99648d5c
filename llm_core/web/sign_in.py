"""The sign-in and sign-out pages: plain HTML without script, so that nothing of the dashboard loads before it may.

Not here: which requests need a session (`access.py`), what a session is (`signing.py`), which were ended (`ended_sessions.py`).
"""

from __future__ import annotations

import html
import logging
import math
import time
from collections import OrderedDict, deque
from urllib.parse import parse_qs, quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from llm_core.web.access_policy import SESSION_SECONDS, AccessPolicy

SIGN_IN = "/sign-in"
SIGN_OUT = "/sign-out"
ACCOUNT = "/sign-in/account"
MAXIMUM_BODY_BYTES = 8192
MAXIMUM_FIELDS = 4

_log = logging.getLogger(__name__)


class AttemptLimiter:
    """Counts failed sign-ins of the last minute, for each address and for all together; bounded in memory."""

    def __init__(self, per_client: int = 8, overall: int = 120, window_seconds: float = 60.0) -> None:
        self._per_client = per_client
        self._overall = overall
        self._window_seconds = window_seconds
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._all: deque[float] = deque(maxlen=overall)

    def wait_seconds(self, client: str, now: float) -> int:
        """How long this client has to wait; 0 when it may try now."""
        failures = self._failures.get(client, deque())
        waits = [
            self._window_seconds - (now - times[0])
            for times, limit in ((failures, self._per_client), (self._all, self._overall))
            if len(times) >= limit
        ]
        return max(0, math.ceil(max(waits, default=0.0)))

    def failed(self, client: str, now: float) -> None:
        """Remember a failure."""
        times = self._failures.setdefault(client, deque(maxlen=self._per_client))
        times.append(now)
        self._all.append(now)
        self._failures.move_to_end(client)
        while len(self._failures) > 1000:
            self._failures.popitem(last=False)

    def succeeded(self, client: str) -> None:
        """Forget the failures of someone who knew the password after all."""
        self._failures.pop(client, None)


class SignIn:
    """The two pages. One instance a process, called from the event loop alone."""

    def __init__(self, policy: AccessPolicy, limiter: AttemptLimiter | None = None) -> None:
        self._policy = policy
        self._limiter = limiter or AttemptLimiter()

    async def respond(self, request: Request) -> Response:
        """Answer a request for either page."""
        if not self._policy.asks:
            return RedirectResponse("/", 303)
        if path_of(request) == SIGN_OUT:
            return self._sign_out(request)
        if path_of(request) == ACCOUNT:
            return self._to_provider(request)
        if request.method in ("GET", "HEAD"):
            return _page(self._form(safe_next(request.query_params.get("next", "/")), self._stranger(request)))
        if request.method == "POST":
            return await self._sign_in(request)
        return Response("Use the form.", 405, {"Allow": "GET, POST"}, media_type="text/plain")

    def _to_provider(self, request: Request) -> Response:
        """On to the provider; its answer comes back through Streamlit, which then opens Home."""
        accounts = self._policy.accounts
        if request.method not in ("GET", "HEAD") or accounts is None or not self._policy.takes_accounts:
            return RedirectResponse(SIGN_IN, 303)
        return RedirectResponse(accounts.login_address(), 303, {"Cache-Control": "no-store"})

    def _stranger(self, request: Request) -> str:
        """What somebody is told who has an account that may not come in."""
        account = self._policy.account_of(request.cookies) if self._policy.takes_accounts else None
        if account is None or self._policy.allowed.role_of(account):
            return ""
        if not account.is_verified:
            return f"The provider does not say that {account.email} is yours. Verify it there, or use another account."
        return f"{account.email} is not on the list of this server. Ask whoever started it, or use another account."

    def _form(self, address: str, message: str = "") -> str:
        """What the page asks: a password, an account, or either."""
        password = _password_form(address) if self._policy.passwords else ""
        account = (
            f'<p><a class="account" href="{ACCOUNT}">Use an account</a></p>' if self._policy.takes_accounts else ""
        )
        problem = f'<p role="alert" class="problem">{html.escape(message)}</p>' if message else ""
        return problem + password + account

    async def _sign_in(self, request: Request) -> Response:
        client = request.client.host if request.client else "unknown"
        now = time.monotonic()
        wait_seconds = self._limiter.wait_seconds(client, now)
        fields = _fields(await _body(request))
        address = safe_next(fields.get("next", ["/"])[0])
        if wait_seconds:
            message = f"Too many wrong passwords. Wait {wait_seconds} seconds, then try again."
            return _page(self._form(address, message), 429, {"Retry-After": str(wait_seconds)})
        role = self._policy.role_for_password(fields.get("password", [""])[0])
        if role is None:
            self._limiter.failed(client, now)
            _log.warning("A wrong password was given from %s", client)
            return _page(self._form(address, "This is not the password. Ask whoever started this server for it."), 401)
        self._limiter.succeeded(client)
        response = RedirectResponse(address, 303)
        response.set_cookie(
            self._policy.cookie_name,
            self._policy.cookie_value(role, time.time()),
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="lax",
            secure=request.scope["scheme"] == "https",
        )
        return response

    def _sign_out(self, request: Request) -> Response:
        if request.method != "POST":
            # A link alone must not end a session: any page could hold one.
            return _page(_SIGN_OUT_FORM)
        response: Response = RedirectResponse(SIGN_IN, 303)
        try:
            self._policy.end_sessions(request.cookies)
        except OSError as error:
            _log.error("A session could not be ended: %s", error)
            response = _page(_SIGNED_OUT_HERE_ALONE, 500)
        accounts = self._policy.accounts
        for name in [self._policy.cookie_name, *(accounts.cookie_names(request.cookies) if accounts else ())]:
            response.delete_cookie(name, httponly=True, samesite="lax")
        return response


def path_of(request: Request) -> str:
    """The path that will be routed. Not `request.url`, which is put together again from the Host header and may say otherwise."""
    return request.scope["path"]


def sign_in_address(path: str, query: str) -> str:
    """The address of the sign-in page that leads back to where someone wanted to go."""
    wanted = f"{path}?{query}" if query else path
    wanted = safe_next(wanted)
    return SIGN_IN if wanted == "/" else f"{SIGN_IN}?next={quote(wanted, safe='')}"


def safe_next(address: str) -> str:
    """The address if it is a path on this server, else "/": nobody is sent elsewhere after signing in."""
    plain = address.startswith("/") and not address.startswith(("//", "/\\")) and len(address) <= 2000
    if not plain or "\\" in address or not address.isprintable() or address.startswith((SIGN_IN, SIGN_OUT)):
        return "/"
    return address


def _fields(body: bytes) -> dict[str, list[str]]:
    """The fields of a form; none where there are more than ours has."""
    try:
        return parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MAXIMUM_FIELDS)
    except ValueError:
        return {}


async def _body(request: Request) -> bytes:
    """The form as sent, cut at the limit: a password is short, and what is longer is wrong anyway."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAXIMUM_BODY_BYTES:
            return b""
    return body


def _page(content: str, status: int = 200, headers: dict[str, str] | None = None) -> HTMLResponse:
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'self'; base-uri 'none'"
    )
    merged = {"Cache-Control": "no-store", "Content-Security-Policy": policy, **(headers or {})}
    return HTMLResponse(_PAGE.replace("{content}", content), status, merged)


def _password_form(address: str) -> str:
    return (
        f'<form method="post" action="{SIGN_IN}">'
        f'<input type="hidden" name="next" value="{html.escape(address)}">'
        '<label for="password">Password</label>'
        '<input id="password" name="password" type="password" autocomplete="current-password" required autofocus>'
        '<button type="submit">Sign in</button></form>'
    )


_SIGN_OUT_FORM = (
    f'<form method="post" action="{SIGN_OUT}"><p>Runs go on while you are away.</p>'
    '<button type="submit">Sign out</button></form><p><a href="/">Back</a></p>'
)

_SIGNED_OUT_HERE_ALONE = (
    '<p role="alert" class="problem">This browser is signed out, but the server could not write it down: other tabs and copies of the '
    "cookie stay signed in for up to a week. Ask whoever started the server to make room on its disk, or to change the password.</p>"
    f'<p><a href="{SIGN_IN}">Sign in</a></p>'
)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Glassbox: sign in</title>
<style>
  :root { color-scheme: light dark; --paper: #FBFAF7; --card: #F2F0EA; --ink: #1F2328; --line: #DDD9CF; --accent: #0B6E99;
          --on-accent: #FFFFFF; --problem: #A8321F; }
  @media (prefers-color-scheme: dark) {
    :root { --paper: #14171A; --card: #1C2024; --ink: #E6E4DE; --line: #33383D; --accent: #56B4E9; --on-accent: #14171A;
            --problem: #F0907A; } }
  body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--paper); color: var(--ink);
         font: 15px/1.5 "Source Sans", system-ui, sans-serif; }
  main { width: min(20rem, calc(100vw - 3rem)); padding: 2rem; border: 1px solid var(--line); border-radius: 8px;
         background: var(--card); }
  h1 { margin: 0 0 1.25rem; font-size: 1.5rem; font-weight: 650; letter-spacing: -0.01em; }
  svg { vertical-align: -0.3em; margin-right: 0.4em; }
  label { display: block; margin-bottom: 0.35rem; }
  input[type=password] { box-sizing: border-box; width: 100%; padding: 0.55rem 0.7rem; font: inherit; color: inherit;
          background: var(--paper); border: 1px solid var(--line); border-radius: 8px; }
  button { margin-top: 1rem; width: 100%; padding: 0.6rem; font: inherit; font-weight: 600; cursor: pointer; border: 0;
           border-radius: 8px; background: var(--accent); color: var(--on-accent); }
  input:focus-visible, button:focus-visible, a:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
  a { color: var(--accent); }
  .account { display: block; margin-top: 1rem; padding: 0.6rem; text-align: center; border: 1px solid var(--accent);
          border-radius: 8px; text-decoration: none; font-weight: 600; }
  .problem { margin: 0 0 0.75rem; color: var(--problem); }
</style>
</head>
<body>
<main>
<h1><svg width="28" height="28" viewBox="0 0 32 32" fill="none" stroke="currentColor" stroke-width="1.8"
  stroke-linejoin="round" stroke-linecap="round" aria-hidden="true"><path d="M16 3 27 9v14l-11 6L5 23V9z" opacity=".55"/>
  <path d="M5 9l11 6 11-6M16 15v14" opacity=".3"/><path d="M8 13c3 8 8 8.5 16 8.5" stroke="var(--accent)" stroke-width="2.4"/>
  </svg>Glassbox</h1>
{content}
</main>
</body>
</html>
"""
