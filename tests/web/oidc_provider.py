"""A small OpenID Connect provider on this machine: says of whoever asks what the test told it, signed as a real one signs."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT = "glassbox"


class Provider:
    """Answers on a free port until it is closed. `claims` is what it says of the next who signs in."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {}
        self._key = RSAKey.generate_key(2048, {"kid": "1"})
        self._nonces: dict[str, str] = {}
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
                if path == "/authorize":
                    return self._send(302, b"", location=provider._authorize(query))
                return self._send(200, json.dumps(provider._documents()[path]).encode())

            def do_POST(self) -> None:
                body = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                self._send(200, json.dumps(provider._token(body["code"][0])).encode())

            def _send(self, status: int, body: bytes, location: str = "") -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                if location:
                    self.send_header("Location", location)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _documents(self) -> dict[str, object]:
        addresses = {name: f"{self.url}/{path}" for name, path in _ENDPOINTS.items()}
        return {
            "/.well-known/openid-configuration": {"issuer": self.url, **addresses},
            "/keys": {"keys": [self._key.as_dict(private=False)]},
        }

    def _authorize(self, query: dict[str, list[str]]) -> str:
        code = f"code-{len(self._nonces)}"
        self._nonces[code] = query["nonce"][0]
        return f"{query['redirect_uri'][0]}?{urlencode({'code': code, 'state': query['state'][0]})}"

    def _token(self, code: str) -> dict[str, object]:
        now = int(time.time())
        standard = {
            "iss": self.url,
            "aud": CLIENT,
            "sub": "1",
            "iat": now,
            "exp": now + 600,
            "nonce": self._nonces[code],
        }
        token = jwt.encode({"alg": "RS256", "kid": "1"}, {**standard, **self.claims}, self._key)
        return {"access_token": "access", "token_type": "Bearer", "id_token": token}


_ENDPOINTS = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
