"""A chart as the page shows it, written down: the same axis, unit, scale, smoothing, levels and grouping."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from llm_core.config.errors import UserError
from llm_core.figures.standalone_page import standalone_page
from llm_core.ui.chart_page import ShownChart, chart_page
from llm_core.ui.live_plot import PlottedRun, live_plot
from llm_core.ui.part_charts import device_charts, layer_chart
from llm_core.web.curves import DebiasedAverage
from llm_core.workspace.metrics_read import metric_keys
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.registry import Registry
from tests.web.live_run import SECONDS_PER_STEP, TOKENS_PER_STEP, LiveRun

COLOR = "#0072B2"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    # What the browser would be told is looked at here, drawing it has tests of its own.
    monkeypatch.setattr("llm_core.ui.live_plot._component", lambda: lambda **given: None)
    return open_workspace(tmp_path / "home")


@pytest.fixture
def run(workspace: Workspace) -> Iterator[LiveRun]:
    with Registry(workspace) as registry:
        run = LiveRun(workspace, registry, "<one>")
        run.running()
        yield run
        run.writer.close()


def plotted(run: LiveRun) -> PlottedRun:
    tokens_per_epoch = 10 * TOKENS_PER_STEP
    return {"id": run.id, "name": "<one>", "color": COLOR, "tokens_per_epoch": tokens_per_epoch, "bytes_per_token": 2.0}


def test_a_loss_is_written_down_as_it_is_shown(workspace: Workspace, run: LiveRun) -> None:
    stored = {step: 3 + (step % 2) - step / 100 for step in range(1, 101)}
    run.points("train_loss", stored)
    run.points("val_loss", {0: 4.0, 100: 2.0})
    run.writer.event("checkpoint", "Checkpoint at step 50.", step=50)
    run.writer.commit()
    told = live_plot(
        [plotted(run)],
        key="loss",
        x="epochs",
        unit="perplexity",
        smooth=0.9,
        log=True,
        guides=[{"value": 65.0, "label": "chance: 65"}],
        band={"x": [0.0, 5.0, 20.0], "low": [2.0, 1.5, 1.0], "high": [4.0, 3.0, 2.0]},
    )
    page = chart_page(workspace, run.record, [ShownChart(told, "Lower is better.")])
    (chart,) = page.charts.values()
    assert (chart.y_label, chart.is_log, chart.title) == ("perplexity", True, "Perplexity")
    assert chart.x_label.startswith("epochs") and chart.x_hover == ".3~f"
    training, validation = chart.curves
    assert (training.label, validation.label, validation.is_marked) == ("training", "validation", True)
    assert training.x[-1] == pytest.approx(10) and validation.y == pytest.approx(np.exp([4.0, 2.0]))
    smoothed = DebiasedAverage(0.9).extend(np.array(list(stored.values())))
    assert training.y == pytest.approx(np.exp(smoothed), rel=1e-4)
    reference, measured = chart.areas
    assert measured.high == pytest.approx(np.exp(list(stored.values())), rel=1e-4), "the values as measured around it"
    assert reference.x == [0.0, 5.0] and reference.low == pytest.approx(np.exp([2.0, 1.5])), "as far as the run came"
    assert [(level.value, level.label) for level in chart.levels] == [(65.0, "chance: 65")]
    assert [(mark.kind, mark.x) for mark in chart.marks] == [("checkpoint", pytest.approx(5))]
    assert "<h1>&lt;one&gt;</h1>" in page.body and "Lower is better." in page.body
    bits = live_plot([plotted(run)], ["val_loss"], key="loss", x="seconds", unit="bits/byte")
    (chart,) = chart_page(workspace, run.record, [ShownChart(bits, "")]).charts.values()
    assert chart.curves[0].y == pytest.approx([4 / np.log(2) / 2, 2 / np.log(2) / 2])
    assert chart.curves[0].x == [0, 100 * SECONDS_PER_STEP] and not chart.is_log and not chart.areas


def test_every_chart_of_the_page_keeps_its_unit(workspace: Workspace, run: LiveRun) -> None:
    for key, value in (("cpu_percent", 93.0), ("memory_bytes", 6e8), ("disk_free_bytes", 2e10)):
        run.points(f"device/{key}", {1: value, 2: value})
    run.points("update_ratio/layer 0", {1: 1e-3, 2: 2e-3})
    run.points("update_ratio/layer 1", {1: 1e-2, 2: 2e-2})
    charts = device_charts(metric_keys(run.folder))
    layers = layer_chart(metric_keys(run.folder), "update_ratio")
    assert layers is not None
    shown = [
        ShownChart(live_plot([plotted(run)], chart.keys, key=str(place), look=chart.look), chart.caption)
        for place, chart in enumerate(charts)
    ]
    told = live_plot([plotted(run)], layers.keys, key="layers", look=layers.look, guides=layers.guides, log=True)
    page = chart_page(workspace, run.record, [*shown, ShownChart(told, layers.caption)])
    assert [chart.y_suffix for chart in page.charts.values()] == [" %", "B", "B", ""]
    *_, by_part = page.charts.values()
    assert by_part.is_log and by_part.decades and [curve.label for curve in by_part.curves] == ["layer 0", "layer 1"]
    assert len({curve.color for curve in by_part.curves}) == 2 and all(curve.dark_color for curve in by_part.curves)
    html = standalone_page(page, "/* plotly */")
    drawn = json.loads(re.search(r'id="charts">(.*?)</script>', html, re.DOTALL)[1])  # pyright: ignore
    assert [found["layout"]["yaxis"]["type"] for found in drawn.values()] == ["linear"] * 3 + ["log"]
    assert drawn["chart-1"]["layout"]["yaxis"]["ticksuffix"] == " %"
    (name,) = drawn["chart-4"]["layout"]["annotations"]
    assert name["y"] == pytest.approx(-3), "0.001 on a logarithmic axis"


def test_an_empty_chart_is_refused_with_a_remedy(workspace: Workspace, run: LiveRun) -> None:
    told = live_plot([plotted(run)], key="loss")
    with pytest.raises(UserError, match="empty so far"):
        chart_page(workspace, run.record, [ShownChart(told, "")])
