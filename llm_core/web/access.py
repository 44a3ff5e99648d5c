"""The gate in front of everything, pages, files, API and WebSocket alike: pure ASGI, so nothing can be mounted past it.

In this order: the socket must be one that may be open; the Host must be ours; a write and a WebSocket must come from our own
pages; whoever has to sign in must have; and a viewer only reads. Pages check the role again at each action
(`llm_core.ui.guards`), because a WebSocket outlives the request that opened it; it is closed when its session has ended.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request, cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llm_core.config.errors import Refused, UserError
from llm_core.web.access_policy import PASSWORD_VARIABLE, AccessPolicy, is_loopback
from llm_core.web.json_response import error_response
from llm_core.web.permissions import may_write
from llm_core.web.sign_in import ACCOUNT, SIGN_IN, SIGN_OUT, SignIn, path_of, sign_in_address

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# Tells no more than that the server is up; the command waits for it before it opens a browser.
OPEN_PATHS = frozenset({"/_stcore/health"})
# Streamlit's way to the provider and back; open where accounts may come in. Its way out is not: a link alone must end no session.
PROVIDER_PATHS = frozenset({"/auth/login", "/oauth2callback"})
PROVIDER_SIGN_OUT = "/auth/logout"
POLICY_VIOLATION = 1008
# A page looks every two seconds whether its session has ended, and then shows that it has: for that its socket is left open so long.
LEAVING_SECONDS = 10.0

# Streamlit builds its pages with inline styles and loads component scripts from blob: addresses; what counts here is that
# nothing connects, posts or embeds elsewhere, whatever text a model writes into a page.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' 'wasm-unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "media-src 'self' data: blob:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
}


class AccessMiddleware:
    """Applies an `AccessPolicy` to every request and WebSocket of the app it wraps."""

    def __init__(self, app: ASGIApp, policy: AccessPolicy, leaving_seconds: float = LEAVING_SECONDS) -> None:
        self._app = app
        self._policy = policy
        self._leaving_seconds = leaving_seconds
        self._sign_in = SignIn(policy)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the connection on, or answer it here."""
        if scope["type"] == "websocket":
            if self._refuses_websocket(scope):
                await receive()
                await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": "Not allowed"})
                return
            await self._while_signed_in(scope, receive, send)
        elif scope["type"] == "http":
            guarded_send = _with_security_headers(send)
            response = await self._answer(Request(scope, receive))
            await (response or self._app)(scope, receive, guarded_send)
        else:
            await self._app(scope, receive, send)

    def _refuses_websocket(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        return (
            self._is_open_to_others(scope)
            or not self._policy.allows_host(_single(headers, "host"))
            # Browsers always send an Origin here; programs need not.
            or (origin is not None and not _is_same_origin(origin, headers))
            or self._policy.role_of(_cookies(headers)) is None
        )

    async def _while_signed_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An open WebSocket, as long as the cookies of its handshake count. The page notices first and says so; whoever holds the
        socket without a page hears nothing more after a while, and the socket is closed."""
        cookies = _cookies(Headers(scope=scope))
        ended_at: float | None = None
        is_over = False

        async def receive_while_signed_in() -> Message:
            nonlocal ended_at, is_over
            message = await receive()
            if message["type"] == "websocket.receive" and self._policy.role_of(cookies) is None:
                now = time.monotonic()
                ended_at = now if ended_at is None else ended_at
                is_over = now - ended_at >= self._leaving_seconds
                return {"type": "websocket.disconnect", "code": POLICY_VIOLATION} if is_over else message
            return message

        await self._app(scope, receive_while_signed_in, send)
        if is_over:
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": "Signed out"})

    async def _answer(self, request: Request) -> Response | None:
        """The refusal or sign-in page that this request gets; None when it may pass."""
        if self._is_open_to_others(request.scope):
            what = "This server listens beyond this machine without a password, so it answers nobody"
            return _refusal(request, Refused(what, remedy=f"Start it again with {PASSWORD_VARIABLE} set"), 403)
        if not self._policy.allows_host(_single(request.headers, "host")):
            what = "Glassbox does not answer to this address"
            remedy = "Open it as 127.0.0.1 or localhost, or name the address in GLASSBOX_ALLOWED_HOSTS"
            return _refusal(request, Refused(what, remedy=remedy), 403)
        is_write = request.method not in SAFE_METHODS
        if is_write and not _comes_from_own_page(request.headers):
            what = "This request was started by a page of another site"
            return _refusal(request, Refused(what, remedy="Use the buttons of the dashboard itself"), 403)
        path = path_of(request)
        if path in (SIGN_IN, SIGN_OUT, ACCOUNT):
            return await self._sign_in.respond(request)
        if path == PROVIDER_SIGN_OUT:
            return RedirectResponse(SIGN_OUT, 303)
        is_open = path in OPEN_PATHS or (path in PROVIDER_PATHS and self._policy.takes_accounts)
        if is_open and not is_write:
            return None
        role = self._policy.role_of(_cookies(request.headers))
        if role is None:
            return self._ask(request)
        if is_write and not may_write(role, request.method, path):
            what = "This sign-in opens Glassbox for reading"
            return _refusal(request, Refused(what, remedy="Sign in as a trainer to change things"), 403)
        return None

    def _ask(self, request: Request) -> Response:
        """Send a person to the sign-in page and tell a program to sign in."""
        wants_page = request.method in ("GET", "HEAD") and "text/html" in request.headers.get("accept", "")
        if wants_page and not path_of(request).startswith("/api/"):
            address = sign_in_address(path_of(request), request.scope["query_string"].decode("latin-1"))
            return RedirectResponse(address, 303, {"Cache-Control": "no-store"})
        error = Refused("Sign in first", remedy=f"Open {SIGN_IN} in this browser")
        return _refusal(request, error, 401)

    def _is_open_to_others(self, scope: Scope) -> bool:
        """Whether the socket is reachable from other machines although nobody is asked for a password."""
        server = scope.get("server")
        if self._policy.asks or server is None or server[1] is None:  # a Unix socket has no port
            return False
        return not is_loopback(str(server[0]).partition("%")[0])


def _refusal(request: Request, error: UserError, status: int) -> Response:
    headers = {"Cache-Control": "no-store"}
    if path_of(request).startswith("/api/") or path_of(request) == "/api":
        return error_response(error, status)
    return PlainTextResponse(str(error), status, headers)


def _comes_from_own_page(headers: Headers) -> bool:
    """Whether a write was started by one of our own pages, or by a program that is no browser.

    Modern browsers say so in Sec-Fetch-Site, which a page cannot forge; "same-site" is refused, because another port of
    this machine is the same site. Older browsers send an Origin with every write. A request with neither comes from a
    program, which carries no cookies of somebody else. (The rule of Go's http.CrossOriginProtection, 2025.)
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is None or _is_same_origin(origin, headers)


def _is_same_origin(origin: str, headers: Headers) -> bool:
    """Whether an Origin names the host and port that were asked. The scheme may differ behind a proxy that ends TLS."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc) and parts.netloc.lower() == headers["host"].lower()


def _single(headers: Headers, name: str) -> str | None:
    """The header's value if it was sent exactly once."""
    values = headers.getlist(name)
    return values[0] if len(values) == 1 else None


def _cookies(headers: Headers) -> Mapping[str, str]:
    """All cookies; read leniently, because other programs on this host set cookies that are sent here too."""
    return cookie_parser(headers.get("cookie", ""))


def _with_security_headers(send: Send) -> Callable[[Message], Awaitable[None]]:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return guarded
