"""How the inference process and its clients speak: one JSON line each way over a Unix socket, arrays as base64.

Not here: what is asked (`inference_client.py`) and answered (`inference_server.py`).
"""

from __future__ import annotations

import base64
import json
import os
import socket
from pathlib import Path
from typing import Any

import numpy as np

MAXIMUM_REQUEST_BYTES = 4_000_000
MAXIMUM_ANSWER_BYTES = 256_000_000
# Linux and macOS cut socket addresses off at about 104 bytes; longer paths are reached through their folder.
_LONGEST_ADDRESS_BYTES = 100


def encode(value: Any) -> bytes:
    """One line of JSON; numpy arrays become {"array": base64, "dtype", "shape"}."""
    return json.dumps(value, default=_encode_array, ensure_ascii=False).encode("utf-8") + b"\n"


def decode(line: bytes) -> Any:
    """The value of one line, arrays restored."""
    return json.loads(line, object_hook=_decode_array)


def _encode_array(value: object) -> dict[str, Any]:
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{type(value).__name__} has no place in a message")
    data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode("ascii")
    return {"array": data, "dtype": value.dtype.str, "shape": list(value.shape)}


def _decode_array(value: dict[str, Any]) -> Any:
    if set(value) != {"array", "dtype", "shape"}:
        return value
    data = np.frombuffer(base64.b64decode(value["array"]), dtype=np.dtype(value["dtype"]))
    return data.reshape(value["shape"])


def read_line(connection: socket.socket, limit_bytes: int) -> bytes:
    """Everything up to the first line break.

    Raises:
        ConnectionError: the other side left before the end of the line.
        ValueError: the line is longer than the limit.
    """
    pieces: list[bytes] = []
    size_bytes = 0
    while True:
        piece = connection.recv(1 << 16)
        if not piece:
            raise ConnectionResetError("the other side left before the end of the line")
        pieces.append(piece)
        size_bytes += len(piece)
        if piece.endswith(b"\n"):
            return b"".join(pieces)
        if size_bytes > limit_bytes:
            raise ValueError(f"the message is longer than {limit_bytes:,} bytes")


def listen(path: Path) -> socket.socket:
    """A listening socket at the path, for its owner alone (mode 0600). A stale one is replaced; the caller holds the lock."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    former = os.umask(0o177)
    try:
        _at_address(path, listener.bind)
    finally:
        os.umask(former)
    listener.listen(16)
    return listener


def connect(path: Path, timeout_seconds: float) -> socket.socket:
    """A connection to the socket at the path. Raises OSError when nobody listens."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout_seconds)
    try:
        _at_address(path, connection.connect)
    except OSError:
        connection.close()
        raise
    return connection


def _at_address(path: Path, action: Any) -> None:
    """Bind or connect, through /proc/self/fd where the path is too long for a socket address."""
    if len(os.fsencode(path)) <= _LONGEST_ADDRESS_BYTES:
        action(str(path))
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if not Path(f"/proc/self/fd/{folder}").exists():
            raise OSError(f"the path of the socket is longer than this system allows: {path}")
        action(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
