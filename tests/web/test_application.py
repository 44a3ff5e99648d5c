"""The parts put together as app.py does: lock, supervisor, gate, vendored script, generations; free of torch."""

from __future__ import annotations

import gzip
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import plotly
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from llm_core.backend.inference_client import InferenceClient
from llm_core.backend.jobs import submit_run
from llm_core.backend.worker import run_in_foreground
from llm_core.config.sampling import SamplingConfig
from llm_core.config.timing import Timing
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus
from llm_core.web.application import web_parts
from llm_core.web.vendor import PlotlyScript, plotly_path
from llm_core.workspace.locks import is_locked
from llm_core.workspace.paths import Workspace
from tests.backend.support import tiny

HERE = "http://127.0.0.1:8501"


@pytest.fixture
def server(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The whole server but for Streamlit; its supervisor and inference process leave soon after it."""
    for name, value in {"HOME": str(workspace.root), "IDLE_SECONDS": "0.5", "INFERENCE_IDLE_SECONDS": "2"}.items():
        monkeypatch.setenv(f"GLASSBOX_{name}", value)
    monkeypatch.delenv("GLASSBOX_PASSWORD", raising=False)
    parts = web_parts("127.0.0.1")
    app = Starlette(routes=parts.routes, middleware=parts.middleware, lifespan=parts.lifespan)
    with TestClient(app, base_url=HERE) as client:
        yield client
    assert not is_locked(workspace.web_lock)
    wait_until("the supervisor has left", lambda: not is_locked(workspace.supervisor_lock))
    wait_until("the inference process has left", lambda: not is_locked(workspace.inference_lock))


def wait_until(what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_while_it_serves_there_is_a_lock_and_a_supervisor(server: TestClient, workspace: Workspace) -> None:
    assert is_locked(workspace.web_lock)
    wait_until("a supervisor is there", lambda: is_locked(workspace.supervisor_lock))
    assert server.get("/api/status").json()["workspace"] == str(workspace.root)
    assert server.get("/api/status", headers={"Host": "evil.test"}).status_code == 403


def test_a_generation_is_read_piece_by_piece_and_stopped(server: TestClient, workspace: Workspace) -> None:
    import_corpus(workspace, "the statement is executed " * 200, ImportOptions(name="letters", kind="paste"))
    record = submit_run(workspace, tiny("rnn", "name=writer"), foreground=True)
    assert run_in_foreground(workspace, record.id, Timing()).state == "finished"
    settings = SamplingConfig(max_tokens=40, temperature=1.0, seed=3)
    generation = InferenceClient(workspace).start_generation(record.id, None, "the ", settings)
    seen: list[str] = []
    wait_until("it is written", lambda: read(server, generation, seen)["state"] != "running")
    answer = read(server, generation, seen)
    assert "".join(seen) == answer["text"] and len(seen) == answer["new_tokens"] == 40
    assert server.post(f"/api/generations/{generation}/stop").status_code == 202
    assert server.get(f"/api/generations/{generation}?after=40").json()["tokens"] == []
    for wrong in ("-1", "x", "1e3", "9" * 12):
        assert server.get(f"/api/generations/{generation}?after={wrong}").status_code == 400
    unknown = server.get("/api/generations/unknown")
    assert 400 <= unknown.status_code < 500 and unknown.json()["error"]["remedy"]


def read(server: TestClient, generation: str, seen: list[str]) -> dict[str, object]:
    """Poll as the component does, keeping the texts of the tokens in `seen`."""
    answer = server.get(f"/api/generations/{generation}?after={len(seen)}").json()
    for token in answer["tokens"]:
        assert len(token["alternatives"]) == 10 and sum(other["p"] for other in token["alternatives"]) <= 1 + 1e-6
        seen.append(token["text"])
    return answer


@pytest.mark.parametrize("address", ["0.0.0.0", "::", None])  # noqa: S104
def test_it_does_not_start_open_to_everybody(
    address: str | None, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLASSBOX_HOME", str(workspace.root))
    monkeypatch.delenv("GLASSBOX_PASSWORD", raising=False)
    with pytest.raises(SystemExit, match="GLASSBOX_PASSWORD"):
        web_parts(address)
    monkeypatch.setenv("GLASSBOX_PASSWORD", "correct horse")
    assert web_parts(address).routes


def test_plotly_is_the_installed_one_compressed_once_and_kept() -> None:
    expected = (Path(plotly.__file__).parent / "package_data" / "plotly.min.js").read_bytes()
    script = PlotlyScript()
    client = TestClient(Starlette(routes=[script.route()]), base_url=HERE)
    first = client.get(plotly_path())
    assert first.headers["content-encoding"] == "gzip" and first.content == expected
    assert int(first.headers["content-length"]) < 0.4 * len(expected)
    assert first.headers["cache-control"] == "public, max-age=31536000, immutable"
    plain = client.get(plotly_path(), headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers and plain.content == expected
    assert gzip.decompress(script._read()) == expected and script._read() is script._read()
    assert plotly.__version__ in plotly_path()


def test_what_the_web_process_imports_is_free_of_torch() -> None:
    code = "import sys, llm_core.web.application, llm_core.ui.live_plot, llm_core.ui.token_view, llm_core.ui.status\n"
    code += "sys.exit(', '.join({'torch', 'transformers', 'datasets'} & set(sys.modules)) or 0)"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
