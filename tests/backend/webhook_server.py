"""A real server of one answer, for webhooks."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

OK = b"HTTP/1.1 204 No Content\r\n\r\n"


@dataclass
class Server:
    """Answers each connection with the same bytes, or, without any, holds it until it is closed."""

    answer: bytes | None
    tls: ssl.SSLContext | None = None
    requests: list[bytes] = field(default_factory=list[bytes])
    gone: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listening.accept()
            except OSError:
                return
            with suppress(OSError), plain:
                client = plain if self.tls is None else self.tls.wrap_socket(plain, server_side=True)
                with client:
                    self._talk(client)

    def _talk(self, client: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request or len(request.partition(b"\r\n\r\n")[2]) < _length(request):
            part = client.recv(65536)
            if not part:
                break
            request += part
        self.requests.append(request)
        if self.answer is None:
            client.recv(1)
            self.gone.set()
            return
        with suppress(OSError):
            client.sendall(self.answer)


def _length(request: bytes) -> int:
    head = request.lower().partition(b"content-length: ")[2]
    return int(head.partition(b"\r\n")[0] or 0)


@contextmanager
def serving(answer: bytes | None, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(answer, tls)
    try:
        yield server
    finally:
        server.close()
