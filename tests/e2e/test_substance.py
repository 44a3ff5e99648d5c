"""What a finished run's pages draw, against the same figures from elsewhere: the command line, and counts made here."""

from __future__ import annotations

import csv
import math
import os
from collections import Counter
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from llm_core.text.library import open_documents
from llm_core.workspace.metrics_read import read_points, samples
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.runs import run_folder
from tests.cli.support import call
from tests.e2e.conftest import Server, open_page, run_named, settled

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def open_chart(page: Page, server: Server, run_id: str) -> None:
    open_page(page, server, f"monitor?run={run_id}")
    page.wait_for_function(
        "() => document.querySelector('.gb-plot')?.data?.some(trace => trace.name && trace.x.length)"
    )


def trace(page: Page, key: str) -> list[tuple[float, float]]:
    """The points of one curve as drawn."""
    x, y = page.evaluate(
        "key => { const found = document.querySelector('.gb-plot').data"
        ".find(trace => trace.name && trace.meta.key === key); return [[...found.x], [...found.y]]; }",
        key,
    )
    return list(zip(x, y, strict=True))


def metrics_csv(home: Path, run: str, key: str, target: Path) -> list[tuple[int, float]]:
    done = call(dict(os.environ), "--workspace", str(home), "metrics", run, "--key", key, "--csv", str(target))
    assert done.returncode == 0, done.stderr
    with target.open(newline="") as file:
        return [(int(row["step"]), float(row["value"])) for row in csv.DictReader(file)]


@pytest.mark.parametrize("run", ["transformer", "lstm"])
def test_drawn_points_equal_the_csv(browser: Browser, studio: Server, run: str, tmp_path: Path) -> None:
    run_id, _ = run_named(studio.home, run)
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    open_chart(page, studio, run_id)
    page.get_by_role("button", name="View").click()
    page.get_by_role("slider", name="Smoothing").focus()
    page.keyboard.press("Home")
    settled(page)
    page.wait_for_function("() => !document.querySelector('.gb-plot').data.some(trace => trace.meta?.band)")
    for key in ("train_loss", "val_loss"):
        assert trace(page, key) == metrics_csv(studio.home, run, key, tmp_path / f"{key}.csv")
    page.close()


def test_guide_lines_equal_counts_made_here(browser: Browser, studio: Server) -> None:
    run_id, config = run_named(studio.home, "transformer")
    text = "".join(open_documents(open_workspace(studio.home), config.data.dataset))
    train, validation = text[: int(0.9 * len(text))], text[int(0.9 * len(text)) :]
    vocabulary = len(set(text))
    counts = Counter(train)
    seen = [counts[character] / len(train) for character in validation if character in counts]
    # A character that the training part never shows has no finite loss there; this text has none.
    assert len(seen) == len(validation)
    unigram = -math.fsum(math.log(share) for share in seen) / len(seen)

    page = browser.new_page(viewport={"width": 1280, "height": 900})
    open_chart(page, studio, run_id)
    lines = page.evaluate(
        "() => document.querySelector('.gb-plot').layout.shapes.filter(shape => shape.name === 'guide').map(shape => shape.y0)"
    )
    assert lines[0] == pytest.approx(math.log(vocabulary), rel=1e-9)
    assert lines[1] == pytest.approx(unigram, rel=1e-3)
    page.close()


@pytest.mark.parametrize("run", ["transformer", "lstm"])
def test_there_is_a_sample_for_every_evaluation(studio: Server, run: str) -> None:
    run_id, _ = run_named(studio.home, run)
    folder = run_folder(open_workspace(studio.home), run_id)
    evaluations = set(read_points(folder, "val_loss").step.tolist())
    assert evaluations == {0, 20, 40, 60}
    assert {sample.step for sample in samples(folder)} >= evaluations
