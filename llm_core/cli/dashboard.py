"""`glassbox` without a verb: the dashboard.

Starts the server as a child, waits until it is healthy, opens the browser where somebody sits at the terminal, and on Ctrl-C ends it and
says which runs go on. If one serves this workspace already, it prints where. Not here: the server (`app.py`, `llm_core.web`).
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from pathlib import Path
from types import FrameType

from llm_core.config.errors import UserError
from llm_core.web.access_policy import PASSWORD_VARIABLE, people_sign_in
from llm_core.workspace.job_record import HELD
from llm_core.workspace.json_files import read_json, write_json
from llm_core.workspace.locks import is_locked
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.registry import Registry

_START_SECONDS = 60
_ADDRESS_FILE = "web.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the dashboard itself."""
    parser.add_argument("--port", type=int, default=0, help="where to serve (default: 8501, or the next free one)")
    parser.add_argument("--address", default="127.0.0.1", help="another address needs GLASSBOX_PASSWORD")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")


def run(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C; exit status 0."""
    workspace = open_workspace(options.workspace)
    if options.address not in ("127.0.0.1", "localhost", "::1") and not people_sign_in(os.environ):
        raise UserError(
            "The dashboard would be open to everybody on the network",
            value=options.address,
            limit="127.0.0.1",
            remedy=f"Set {PASSWORD_VARIABLE}, or leave --address out",
        )
    running = _running_url(workspace)
    if running is not None:
        print(f"Glassbox already serves this workspace at {running}")
        _open_browser(running, options)
        return 0
    port = options.port or _free_port(options.address, 8501)
    url = url_of(options.address, port)
    server = subprocess.Popen(_command(options.address, port), env={**os.environ, "GLASSBOX_HOME": str(workspace.root)})
    ended = _forward_signals(server)
    try:
        _wait_until_healthy(server, url)
        write_json(workspace.root / _ADDRESS_FILE, {"url": url, "pid": server.pid})
        print(
            f"Glassbox is at {url}\nWorkspace {workspace.root}\nCtrl-C ends the dashboard; running trainings go on.",
            flush=True,
        )
        _open_browser(url, options)
        status = server.wait()
    finally:
        if server.poll() is None:
            server.terminate()
            server.wait()
    if not ended:
        return 1 if status else 0
    _say_goodbye(workspace)
    return 0


def url_of(address: str, port: int) -> str:
    """Where a browser finds it; an IPv6 address stands in brackets there."""
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def dashboard_file() -> Path:
    """app.py: in the wheel's own folder, else in the checkout."""
    package = Path(__file__).resolve().parents[1]
    for candidate in (package / "_dashboard" / "app.py", package.parent / "app.py"):
        if candidate.is_file():
            return candidate
    raise UserError("This installation has no dashboard", remedy="Install the wheel of glassbox-lm, or use a checkout")


def _command(address: str, port: int) -> list[str]:
    command = [
        *(sys.executable, "-m", "streamlit", "run", str(dashboard_file())),
        *("--server.port", str(port), "--server.address", address),
    ]
    if people_sign_in(os.environ):
        # Streamlit's own list knows loopback names alone; where people sign in our middleware decides, for the WebSocket too.
        command += ["--server.allowedHosts", "*"]
    return command


def _running_url(workspace: Workspace) -> str | None:
    """Where this workspace is served now, if it is."""
    if not is_locked(workspace.web_lock):
        return None
    known = read_json(workspace.root / _ADDRESS_FILE)
    url = str(known["url"]) if known and "url" in known else None
    return url if url is not None and _is_healthy(url) else None


def _is_healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2) as answer:  # noqa: S310  our own address
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def _wait_until_healthy(server: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _is_healthy(url):
        if server.poll() is not None:
            raise UserError(
                "The dashboard did not start", value=f"exit status {server.returncode}", remedy="Read the lines above"
            )
        if time.monotonic() > deadline:
            raise UserError(
                "The dashboard did not answer", limit=f"{_START_SECONDS} seconds", remedy="Read the lines above"
            )
        time.sleep(0.1)


def _free_port(address: str, wish: int) -> int:
    for port in range(wish, wish + 50):
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                continue
            return port
    raise UserError("No port is free", value=f"{wish} to {wish + 49}", remedy="Name one with --port")


def _forward_signals(server: subprocess.Popen[bytes]) -> list[int]:
    """Ctrl-C or SIGTERM ends the server in order; the returned list is not empty once that happened."""
    ended: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        ended.append(number)
        if server.poll() is None:
            server.terminate() if len(ended) < 3 else server.kill()

    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)
    return ended


def _open_browser(url: str, options: argparse.Namespace) -> None:
    if sys.stdout.isatty() and not options.no_browser:
        webbrowser.open(url)


def _say_goodbye(workspace: Workspace) -> None:
    with Registry(workspace) as registry:
        names = [record.name for record in registry.jobs("train", HELD)]
    if names:
        print(f"The dashboard has ended. Still training: {', '.join(names)}. `glassbox` opens it again.")
    else:
        print("The dashboard has ended. Nothing is running.")
