"""Does a page that stays open grow? The memory of Monitor in Chromium while its run goes on, minute by minute.

    python -m benchmarks.page_heap [--minutes 30]

A run that this process holds gets points twice a second, as a training run would write them; Monitor is open beside it and draws them.
Every minute what the page no longer needs is thrown away (as the browser does now and then) and what is left is counted: bytes that
scripts hold, nodes, listeners. Not here: the web server's memory (`dashboard_load.py`).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import CDPSession, Page, expect

from benchmarks.chromium import chromium_path, page_of
from benchmarks.dashboard_load import begin_run, free_port, start_server
from benchmarks.results import write_result
from llm_core.workspace.metrics import MetricsWriter
from llm_core.workspace.paths import open_workspace

POINTS_BEFORE, POINTS_A_LOOK = 20_000, 10
WRITE_SECONDS, LOOK_SECONDS = 0.5, 60.0
SETTLE_MINUTES = 2
PARTS = ("embedding", "layer 0", "layer 1", "head")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    options = parser.parse_args(arguments)
    chromium = chromium_path()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        workspace = open_workspace(Path(folder) / "workspace")
        run_id, writer = begin_run(workspace, 0, POINTS_BEFORE)
        port, over = free_port(), threading.Event()
        server = start_server(workspace, port)
        growing = threading.Thread(target=grow, args=(writer, over), daemon=True)
        growing.start()
        try:
            with page_of(chromium, height=1000) as page:
                looks = watch(page, f"http://127.0.0.1:{port}/monitor?run={run_id}", options.minutes)
        finally:
            over.set()
            growing.join()
            server.terminate()
            server.wait(10)
            writer.close()
    values = {"minutes": options.minutes, **summary(looks)}
    print(json.dumps(values, indent=1))
    print(f"Kept in {write_result('page-heap', values)}")
    return 0


def grow(writer: MetricsWriter, over: threading.Event) -> None:
    """A training run's points, twice a second, with its layers now and then."""
    step, noise = POINTS_BEFORE, np.random.default_rng(0)
    while not over.wait(WRITE_SECONDS):
        for _ in range(POINTS_A_LOOK):
            step += 1
            place = (step, 768 * step, 0.06 * step)
            values = {
                "train_loss": 1.5 + 2.7 * math.exp(-step / 20_000) + float(noise.normal(0, 0.05)),
                "grad_norm": 1.0 + float(noise.normal(0, 0.1)),
                "learning_rate": 1e-3,
                "tokens_per_second": 12_000 + float(noise.normal(0, 200)),
            }
            for key, value in values.items():
                writer.point(key, *place, value)
        if step % 200 == 0:
            writer.point("val_loss", *place, values["train_loss"])
            for part in PARTS:
                writer.point(f"gradient_norm/{part}", *place, 0.3 + float(noise.normal(0, 0.02)))
                writer.point(f"update_ratio/{part}", *place, 1e-3)
        writer.heartbeat({"phase": "training", "step": step, "tokens": 768 * step, "seconds": 0.06 * step})


def watch(page: Page, address: str, minutes: float) -> list[dict[str, int]]:
    """What the page holds each minute, after throwing away what it no longer needs."""
    page.goto(address)
    expect(page.locator(".js-plotly-plot").first).to_be_visible(timeout=60_000)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    looks: list[dict[str, int]] = []
    until = time.monotonic() + 60 * minutes
    while time.monotonic() < until:
        page.wait_for_timeout(1_000 * min(LOOK_SECONDS, max(0.0, until - time.monotonic())))
        looks.append(held(session))
        print(looks[-1], flush=True)
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    return looks


def held(session: CDPSession) -> dict[str, int]:
    """Bytes that scripts hold, nodes and listeners."""
    session.send("HeapProfiler.collectGarbage")
    metrics = {metric["name"]: metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]}
    names = {"heap_bytes": "JSHeapUsedSize", "nodes": "Nodes", "listeners": "JSEventListeners"}
    return {own: int(metrics[name]) for own, name in names.items()}


def summary(looks: list[dict[str, int]]) -> dict[str, Any]:
    """Medians of the first and the last quarter, once the page has settled, and all looks."""
    settled = looks[SETTLE_MINUTES:] or looks
    part = max(1, len(settled) // 4)
    found: dict[str, Any] = {}
    for name in settled[0]:
        values = [look[name] for look in settled]
        first, last = float(np.median(values[:part])), float(np.median(values[-part:]))
        found[name] = {"first_quarter": first, "last_quarter": last, "most": max(values), "all": values}
    return found


if __name__ == "__main__":
    sys.exit(main())
