"""How the web server bears a full house: 8 growing runs of a million points each, 20 pages that watch them.

    python -m benchmarks.dashboard_load [--minutes 30]

Every page asks the series route as Monitor's chart does: with the revision it has, compressed, again when the answer says so. Kept are
the waiting times of answers with new points, their size after gzip, and, over the minutes, the server's memory, open files, threads
and databases. A plain page of the same server (/_stcore/health) is timed beside it, as the machine's own floor.
Not here: what the browser needs to draw; one chart alone (`dashboard_speed.py`).
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.results import write_result
from llm_core.config.overrides import apply_overrides
from llm_core.config.run import RunConfig
from llm_core.workspace.metrics import MetricsWriter
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.process_identity import this_process
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import prepare_run_folder

CHECKOUT = Path(__file__).resolve().parents[1]
RUNS, POINTS, CLIENTS = 8, 1_000_000, 20
WRITE_SECONDS, LOOK_SECONDS = 0.5, 5.0
PERCENTILES = (50, 95, 99)


@dataclass
class Tally:
    """What the clients saw; shared by their threads."""

    waits_ms: list[float] = field(default_factory=list[float])
    sizes_bytes: list[int] = field(default_factory=list[int])
    unchanged: int = 0
    floor_ms: list[float] = field(default_factory=list[float])
    faults: list[str] = field(default_factory=list[str])
    written: list[int] = field(default_factory=list[int])
    """Points that the runs grew by, each time."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and keep the result; 1 when an answer failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--points", type=int, default=POINTS, help="of each run at the start")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        workspace = open_workspace(Path(folder) / "workspace")
        print(f"Writing {options.runs} runs of {options.points:,} points …", flush=True)
        writers = [begin_run(workspace, number, options.points) for number in range(options.runs)]
        port = free_port()
        server = start_server(workspace, port)
        try:
            values = measure(workspace, writers, server, port, options)
        finally:
            server.terminate()
            server.wait(10)
            for _, writer in writers:
                writer.close()
    print(json.dumps(values, indent=1))
    print(f"Kept in {write_result('dashboard-load', values)}")
    return 1 if values["faults"] else 0


def begin_run(workspace: Workspace, number: int, points: int) -> tuple[str, MetricsWriter]:
    """A run under way, held by this process, with a long curve already."""
    with Registry(workspace) as registry:
        # Each with a learning rate of its own: runs of equal settings are drawn as one band.
        config = apply_overrides(RunConfig(), [f"name=run-{number}", f"optimizer.learning_rate={0.001 * (1 + number)}"])
        made = registry.add("train", config.name, config.model_dump(mode="json"), foreground=True)
        record = registry.claim(this_process(), ["train"], made.id)
        assert record is not None and record.lease_token is not None
        registry.move(made.id, "running", token=record.lease_token)
    folder = prepare_run_folder(workspace, record)
    writer = MetricsWriter(folder, record.lease_token)
    writer.begin_segment(None, 0)
    values = 1.5 + 2.7 * np.exp(-np.arange(1, points + 1) / 20_000)
    values += np.random.default_rng(number).normal(0, 0.05, points)
    for step, value in enumerate(values.tolist(), start=1):
        writer.point("train_loss", step, 768 * step, 0.06 * step, value)
        if step % 1_000 == 0:
            writer.point("val_loss", step, 768 * step, 0.06 * step, value)
        if step % 50_000 == 0:
            writer.commit()
    writer.commit()
    return record.id, writer


def measure(
    workspace: Workspace,
    writers: list[tuple[str, MetricsWriter]],
    server: subprocess.Popen[bytes],
    port: int,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Let the clients watch for the minutes; what they and the server showed."""
    run_ids = [run_id for run_id, _ in writers]
    ask_once(port, run_ids)  # what is read for the first time is read for everybody
    tally, over = Tally(), threading.Event()
    threads = [
        threading.Thread(target=watch, args=(port, run_ids, tally, over, seed), daemon=True)
        for seed in range(options.clients)
    ]
    threads.append(threading.Thread(target=write_on, args=(writers, options.points, tally, over), daemon=True))
    for thread in threads:
        thread.start()
    looks = look_at(workspace, server, time.monotonic() + 60 * options.minutes)
    over.set()
    for thread in threads:
        thread.join(20)
    waits = np.array(tally.waits_ms or [np.nan])
    return {
        "minutes": options.minutes,
        "runs": options.runs,
        "points_of_each": options.points,
        "clients": options.clients,
        "answers": len(waits),
        "unchanged": tally.unchanged,
        "waits_ms": {f"p{share}": round(float(np.percentile(waits, share)), 1) for share in PERCENTILES},
        "floor_ms": {
            f"p{share}": round(float(np.percentile(tally.floor_ms or [np.nan], share)), 1) for share in PERCENTILES
        },
        "largest_answer_bytes_gzip": max(tally.sizes_bytes, default=0),
        "points_written_meanwhile": sum(tally.written),
        "server": looks,
        "faults": tally.faults[:20],
    }


def write_on(writers: list[tuple[str, MetricsWriter]], step: int, tally: Tally, over: threading.Event) -> None:
    """Every run grows, as a training run's file does."""
    while not over.wait(WRITE_SECONDS):
        step += 10
        for _, writer in writers:
            writer.point("train_loss", step, 768 * step, 0.06 * step, 1.5)
            writer.heartbeat({"phase": "training", "step": step})
        tally.written.append(len(writers))


def watch(port: int, run_ids: list[str], tally: Tally, over: threading.Event, seed: int) -> None:
    """One page: asks for a run's curves, waits as long as the answer says, zooms in now and then."""
    choice = random.Random(seed)
    run_id = run_ids[seed % len(run_ids)]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    revision, rounds = "", 0
    over.wait(choice.random() * 2)
    while not over.is_set():
        rounds += 1
        zoom = "&from=200000&to=240000" if rounds % 10 == 0 else ""
        path = (
            f"/api/runs/{run_id}/series?keys=train_loss,val_loss&x=step&smooth=0.6&pixels=900"
            f"&revision={'' if zoom else revision}{zoom}"
        )
        try:
            started = time.perf_counter()
            status, body = get(connection, path)
            wait_ms = 1000 * (time.perf_counter() - started)
            started = time.perf_counter()
            get(connection, "/_stcore/health")
            tally.floor_ms.append(1000 * (time.perf_counter() - started))
        except OSError as error:
            tally.faults.append(repr(error))
            connection.close()
            over.wait(1)
            continue
        pause_ms = 1000.0
        if status == 200:
            tally.waits_ms.append(wait_ms)
            tally.sizes_bytes.append(len(body))
            answer = json.loads(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
            pause_ms = answer["next_poll_ms"] or pause_ms
            revision = answer["revision"] if not zoom else revision
        elif status == 304:
            tally.unchanged += 1
        else:
            tally.faults.append(f"{status} {body[:200]!r}")
        over.wait(pause_ms / 1000)
    connection.close()


def get(connection: http.client.HTTPConnection, path: str) -> tuple[int, bytes]:
    """Status and body, compressed as the browser gets it."""
    for attempt in (1, 2):
        try:
            connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
            response = connection.getresponse()
            return response.status, response.read()
        except http.client.RemoteDisconnected:
            # The server closes a connection that rests for some seconds; a browser then opens another one, and so do we.
            connection.close()
            if attempt == 2:
                raise
    raise AssertionError("unreachable")


def ask_once(port: int, run_ids: list[str]) -> None:
    """Fill the server's memory of the curves."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    for run_id in run_ids:
        status, body = get(
            connection, f"/api/runs/{run_id}/series?keys=train_loss,val_loss&x=step&smooth=0.6&pixels=900"
        )
        assert status == 200, body[:300]
    connection.close()


def look_at(workspace: Workspace, server: subprocess.Popen[bytes], until: float) -> dict[str, Any]:
    """The server's memory, files and threads over time, and what the databases came to."""
    process = psutil.Process(server.pid)
    memory: list[int] = []
    files: list[int] = []
    threads: list[int] = []
    while time.monotonic() < until:
        memory.append(process.memory_info().rss)
        files.append(process.num_fds())
        threads.append(process.num_threads())
        time.sleep(LOOK_SECONDS)
    part = max(1, len(memory) // 4)
    databases = sum(path.stat().st_size for path in workspace.root.rglob("*.db*"))
    return {
        "memory_mb": {
            "first_quarter": round(float(np.mean(memory[:part])) / 1e6, 1),
            "last_quarter": round(float(np.mean(memory[-part:])) / 1e6, 1),
            "most": round(max(memory) / 1e6, 1),
            "by_minute": [round(bytes_ / 1e6, 1) for bytes_ in memory[:: round(60 / LOOK_SECONDS)]],
        },
        "open_files": {"first_quarter": max(files[:part]), "last_quarter": max(files[-part:])},
        "threads": {"first_quarter": max(threads[:part]), "last_quarter": max(threads[-part:])},
        "databases_mb": round(databases / 1e6, 1),
        "cpu_seconds": round(sum(process.cpu_times()[:2]), 1),
    }


def start_server(workspace: Workspace, port: int) -> subprocess.Popen[bytes]:
    """The dashboard, as `glassbox` starts it."""
    environment = {**os.environ, "GLASSBOX_HOME": str(workspace.root), "GLASSBOX_IDLE_SECONDS": "5"}
    command = [sys.executable, "-m", "streamlit", "run", str(CHECKOUT / "app.py"), "--server.port", str(port)]
    server = subprocess.Popen(
        command, env=environment, cwd=CHECKOUT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
            get(connection, "/_stcore/health")
            return server
        except OSError:
            assert time.monotonic() < deadline and server.poll() is None, "the server does not answer"
            time.sleep(0.2)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main())
