"""Downloads over the server: the points and the whole run as attachments, refused in words where there is nothing."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from llm_core.web.application import web_parts
from llm_core.workspace.leases import new_token
from llm_core.workspace.metrics import MetricsWriter
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import prepare_run_folder
from tests.backend.support import tiny

HERE = "http://127.0.0.1:8501"


def test_points_and_archive_are_attachments_for_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLASSBOX_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("GLASSBOX_PASSWORD", raising=False)
    workspace = open_workspace()
    with Registry(workspace) as registry:
        record = registry.add("train", 'é "x"; y', tiny("gru").model_dump(mode="json"))
        waiting = registry.add("train", "waiting", tiny("gru").model_dump(mode="json"))
        job = registry.add("probe", "probe", {})
    folder = prepare_run_folder(workspace, record)
    with MetricsWriter(folder, new_token(1)) as writer:
        for step in range(50_000):
            writer.point("a", step, step, 0.0, 1.0)
    parts = web_parts("127.0.0.1")
    client = TestClient(Starlette(routes=parts.routes, middleware=parts.middleware), base_url=HERE)
    points = client.get(f"/api/runs/{record.id}/points.csv")
    assert points.status_code == 200 and len(points.text.splitlines()) == 50_001
    assert points.headers["content-type"].startswith("text/csv")
    disposition = points.headers["content-disposition"]
    assert disposition.startswith("attachment;") and disposition.isascii() and "%C3%A9" in disposition
    archive = client.get(f"/api/runs/{record.id}/run.zip")
    with zipfile.ZipFile(io.BytesIO(archive.content)) as opened:
        assert opened.testzip() is None
        assert sorted(opened.namelist()) == [f"{record.id}/config.json", f"{record.id}/metrics.db"]
    assert client.head(f"/api/runs/{record.id}/run.zip").content == b""
    for address in ("nothing/points.csv", f"{job.id}/run.zip", f"{waiting.id}/run.zip", f"{record.id}/other.zip"):
        refused = client.get(f"/api/runs/{address}")
        assert refused.status_code == 404 and refused.json()["error"]["what"], address
    assert client.get(f"/api/runs/{waiting.id}/points.csv").text == "key,step,tokens,seconds,value\n"
    monkeypatch.setenv("GLASSBOX_PASSWORD", "a long enough password")
    closed = web_parts("127.0.0.1")
    outside = TestClient(Starlette(routes=closed.routes, middleware=closed.middleware), base_url=HERE)
    assert outside.get(f"/api/runs/{record.id}/points.csv").status_code == 401
