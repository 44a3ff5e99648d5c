"""Which curves of a run stand together in a report, and on which axis."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_core.backend.report_charts import run_charts
from llm_core.backend.run_report import chart_report
from llm_core.config.errors import UserError
from llm_core.config.objective_words import objective_words
from llm_core.workspace.metrics import MetricsWriter
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import run_folder
from tests.backend.support import tiny

KEYS = (
    *("device/cpu_percent", "device/memory_bytes", "dead_units/layer 0", "dead_units/layer 1", "mfu"),
    *("gradient_norm/head", "gradient_norm/layer 0", "tokens_per_second", "train_loss", "val_loss"),
)


def measure(folder: Path) -> None:
    with MetricsWriter(folder, "1-a") as writer:
        writer.begin_segment(None, 0)
        for key in KEYS:
            for step in (1, 2):
                writer.point(key, step, 64 * step, 0.5 * step, 1.0 + step)


def test_curves_of_one_kind_and_unit_share_a_chart(tmp_path: Path) -> None:
    measure(tmp_path)
    charts = {chart.title: chart for chart in run_charts(tmp_path, objective_words()["causal"], [])}
    assert next(iter(charts)) == "Loss" and charts["Loss"].y_label == "loss, nats per token"
    assert [curve.label for curve in charts["Share of dead units by part"].curves] == ["layer 0", "layer 1"]
    assert len(charts["Device: cpu percent"].curves) == len(charts["Device: memory bytes"].curves) == 1
    assert charts["Gradient norm by part"].is_log and len(charts["Gradient norm by part"].curves) == 2
    assert not charts["Loss"].is_log and len(charts) == 7


def test_curves_of_several_kinds_are_a_page_of_several_charts(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path / "home")
    with Registry(workspace) as registry:
        record = registry.add("train", "one", tiny("lstm", "name=one").model_dump(mode="json"))
    folder = run_folder(workspace, record.id)
    folder.mkdir(parents=True)
    measure(folder)
    page = chart_report(workspace, record, ["tokens_per_second", "mfu", "nothing", "mfu"])
    assert [chart.title for chart in page.charts.values()] == [
        "Tokens per second",
        "Share of the device's arithmetic that is used",
    ]
    assert [page.body.count(f'<div id="{name}"></div>') for name in page.charts] == [1, 1]
    with pytest.raises(UserError, match="no such curve"):
        chart_report(workspace, record, ["nothing"])
