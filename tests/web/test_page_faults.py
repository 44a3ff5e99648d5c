"""A fault of ours in a page: the browser learns that there was one, and nothing of where or why; the log has all of it.

The real server, its real frame and settings, and a program in the browser's place that reads every byte it is sent. Not here: what people
are told of their own mistakes (`tests/app/test_frame.py`), faults of routes (`test_every_route.py`).
"""

from __future__ import annotations

import ast
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

ROOT = Path(__file__).resolve().parents[2]
SECRET = "the-password-of-somebody"
QUIET = "import streamlit as st\nst.title('A page')\n"
# By page: how it goes wrong. Each speaks of a file and a secret, as messages of libraries do.
FAULTS = {
    "home": f"raise RuntimeError(f'{SECRET} in {{__file__}}')\n",
    "data": f"def read():\n    open(__file__ + '/{SECRET}')\ntry:\n    read()\nexcept OSError as error:\n    raise ValueError from error\n",
    "monitor": f"x = ('{SECRET}'\n",
    "runs": f"import nowhere_{SECRET.replace('-', '_')}\n",
    "attention": f"{QUIET}@st.fragment\ndef part():\n    raise KeyError('{SECRET}')\npart()\n",
    "train": f"{QUIET}st.selectbox('{SECRET}', index=1)\n",
}


@dataclass(frozen=True)
class Studio:
    """A server whose pages go wrong."""

    folder: Path
    port: int
    log: Path


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder = tmp_path_factory.mktemp("faulty") / "studio"
    shutil.copytree(ROOT / ".streamlit", folder / ".streamlit")
    shutil.copy(ROOT / "app.py", folder)
    (folder / "assets").symlink_to(ROOT / "assets")
    (folder / "pages").mkdir()
    for path in (ROOT / "pages").glob("*.py"):
        text = path.read_text(encoding="utf-8") if path.name == "main.py" else FAULTS.get(path.stem, QUIET)
        (folder / "pages" / path.name).write_text(text, encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    # The workspace lies elsewhere: its path is shown to whoever may look, on purpose.
    home = tmp_path_factory.mktemp("workspace") / "home"
    environment = {
        **os.environ,
        "GLASSBOX_HOME": str(home),
        "GLASSBOX_IDLE_SECONDS": "1",
        "PYTHONPATH": str(ROOT),
    }
    environment.pop("GLASSBOX_PASSWORD", None)
    log = folder.parent / "server.log"
    command = [sys.executable, "-m", "streamlit", "run", str(folder / "app.py"), "--server.port", str(port)]
    with log.open("wb") as output:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 60
        while not is_healthy(port):
            assert server.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield Studio(folder, port, log)
    finally:
        server.terminate()
        server.wait(20)


def is_healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2):
            return True
    except OSError:
        return False


def everything_sent(studio: Studio, page: str) -> list[bytes]:
    """All messages of one run of a page, as they come over the socket."""
    asked = BackMsg()
    asked.rerun_script.page_name = "" if page == "home" else page
    origin = f"http://127.0.0.1:{studio.port}"
    received: list[bytes] = []
    with connect(f"ws://127.0.0.1:{studio.port}/_stcore/stream", origin=origin, subprotocols=["streamlit"]) as browser:
        browser.send(asked.SerializeToString())
        while not received or parsed(received[-1]).WhichOneof("type") != "script_finished":
            message = browser.recv(timeout=30)
            assert isinstance(message, bytes)
            received.append(message)
    return received


def parsed(message: bytes) -> ForwardMsg:
    found = ForwardMsg()
    found.ParseFromString(message)
    return found


def without_greeting(message: bytes) -> bytes:
    """The message without the place of main.py, which Streamlit names at the beginning of every run, faulty or not."""
    found = parsed(message)
    if found.HasField("new_session"):
        found.new_session.ClearField("main_script_path")
    return found.SerializeToString()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("page", FAULTS)
def test_a_fault_of_a_page_shows_neither_path_nor_code(studio: Studio, page: str) -> None:
    sent = everything_sent(studio, page)
    shown = [parsed(message).delta.new_element for message in sent if parsed(message).WhichOneof("type") == "delta"]
    faults = [element.exception for element in shown if element.WhichOneof("type") == "exception"]
    assert len(faults) == 1, "that something went wrong is said"
    assert not faults[0].type and not faults[0].stack_trace
    assert "redacted" in faults[0].message
    wire = b"".join(map(without_greeting, sent))
    for secret in (SECRET, SECRET.replace("-", "_"), str(studio.folder), str(ROOT), "site-packages", "Traceback"):
        assert secret.encode() not in wire, secret
    for name in (b"RuntimeError", b"ValueError", b"SyntaxError", b"ModuleNotFoundError", b"KeyError", b"TypeError"):
        assert name not in wire
    written = studio.log.read_text(encoding="utf-8")
    assert f"{page}.py" in written, "whoever runs the server finds it in the log"


def test_a_page_without_a_fault_is_sent_whole(studio: Studio) -> None:
    """Else the test above would be content with a server that sends nothing."""
    sent = everything_sent(studio, "tokenizer")
    headings = [parsed(message).delta.new_element.heading.body for message in sent]
    assert "A page" in headings and b"redacted" not in b"".join(sent)


def test_no_page_shows_an_exception_itself() -> None:
    """What `st.exception` is given it shows whole, whatever the settings say."""
    for path in [*(ROOT / "pages").glob("*.py"), *(ROOT / "llm_core" / "ui").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.Attribute) and node.attr in ("exception", "print_exc")), path
