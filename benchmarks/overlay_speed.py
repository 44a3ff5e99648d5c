"""Do ten runs of 100,000 points laid over each other stay fluid in the browser?

    python -m benchmarks.overlay_speed [--runs 10 --points 100000]

Runs is opened in Chromium with all of them ticked. Kept are the seconds until all curves are drawn, how long a zoom takes until its exact
points are there, and the time between two frames while the pointer moves over the chart; a page without a chart is moved over beside it,
as the machine's own floor. Not here: the route alone under many clients (`dashboard_load.py`), the memory of the page (`page_heap.py`).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, expect

from benchmarks.chromium import chromium_path, page_of
from benchmarks.dashboard_load import begin_run, free_port, start_server
from benchmarks.results import write_result
from llm_core.workspace.metrics import seal_metrics
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import run_folder

DRAWN = (
    "count => document.querySelector('.gb-plot')?.data?.filter(trace => trace.name && trace.x.length).length >= count"
)
FRAMES = """() => { window.frames_seen = []; let last = performance.now(); window.watching = true;
  const look = (now) => { window.frames_seen.push(now - last); last = now; if (window.watching) requestAnimationFrame(look); };
  requestAnimationFrame(look); }"""
MOVES, ZOOMS = 120, 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--points", type=int, default=100_000)
    options = parser.parse_args(arguments)
    chromium = chromium_path()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        workspace = open_workspace(Path(folder) / "workspace")
        ids = [finished_run(workspace, number, options.points) for number in range(options.runs)]
        port = free_port()
        server = start_server(workspace, port)
        try:
            with page_of(chromium, height=1600) as page:
                address = f"http://127.0.0.1:{port}"
                values = {
                    "floor_frames_ms": frames_of(page, f"{address}/"),
                    **overlay(page, f"{address}/runs?run={','.join(ids)}", len(ids)),
                }
        finally:
            server.terminate()
            server.wait(10)
    values = {"runs": options.runs, "points_of_each": options.points, **values}
    print(json.dumps(values, indent=1))
    print(f"Kept in {write_result('overlay-speed', values)}")
    return 0


def finished_run(workspace: Workspace, number: int, points: int) -> str:
    """A run that has ended, with a long curve."""
    run_id, writer = begin_run(workspace, number, points)
    writer.record_state("finished")
    writer.close()
    with Registry(workspace) as registry:
        registry.move(run_id, "finished")
    seal_metrics(run_folder(workspace, run_id))
    return run_id


def overlay(page: Page, address: str, count: int) -> dict[str, Any]:
    """Opening, moving over the chart, zooming."""
    first, again = (seconds_to_open(page, address, count) for _ in range(2))
    plot = page.locator(".gb-plot").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    frames = moved_over(page, box["x"] + 80, box["x"] + box["width"] - 260, box["y"] + box["height"] / 2)
    zooms: list[float] = []
    for turn in range(ZOOMS):
        left, y = box["x"] + 100 + 20 * turn, box["y"] + box["height"] / 2
        page.mouse.move(left, y)
        page.mouse.down()
        page.mouse.move(left + 60, y + 5, steps=6)
        with page.expect_response(lambda answer: "/series" in answer.url and "from=" in answer.url, timeout=60_000):
            started = time.perf_counter()
            page.mouse.up()
        page.wait_for_function(DRAWN, arg=count)
        zooms.append(time.perf_counter() - started)
        page.mouse.dblclick(left, y)
        page.wait_for_timeout(1_500)
    expect(page.locator("[data-testid='stException']")).to_have_count(0)
    return {
        "open_seconds": {"first": round(first, 2), "again": round(again, 2)},
        "zoom_seconds": {"median": round(float(np.median(zooms)), 3), "most": round(max(zooms), 3)},
        "frames_ms": frames,
    }


def seconds_to_open(page: Page, address: str, count: int) -> float:
    """From the address to all curves of the training loss, a click on its name in between."""
    started = time.perf_counter()
    page.goto(address)
    page.get_by_role("radio", name="Training").click()
    page.wait_for_function(DRAWN, arg=count, timeout=120_000)
    return time.perf_counter() - started


def frames_of(page: Page, address: str) -> dict[str, float]:
    """Frames of a page without a chart."""
    page.goto(address)
    expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=60_000)
    page.wait_for_timeout(3_000)
    return moved_over(page, 400, 1_000, 500)


def moved_over(page: Page, left: float, right: float, y: float) -> dict[str, float]:
    """Milliseconds between two frames while the pointer goes from left to right."""
    page.mouse.move(left, y)
    page.evaluate(FRAMES)
    for step in range(MOVES):
        page.mouse.move(left + (right - left) * step / MOVES, y)
    seen = page.evaluate("() => { window.watching = false; return window.frames_seen; }")
    return {f"p{share}": round(float(np.percentile(seen, share)), 1) for share in (50, 95, 99)}


if __name__ == "__main__":
    sys.exit(main())
