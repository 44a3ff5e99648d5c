"""Points of the machine beside a run, written by a thread of the worker through the run's own writer."""

from __future__ import annotations

from pathlib import Path

from llm_core.backend.device_points import DevicePoints, gpu_reader
from llm_core.backend.run_progress import RunProgress
from llm_core.workspace.metrics import MetricsWriter
from llm_core.workspace.metrics_read import metric_keys, read_points
from tests.backend.support import wait_for


def test_the_machine_is_looked_at_while_the_run_goes_on(tmp_path: Path) -> None:
    progress = RunProgress(phase="first step", values={"device": "cpu", "step": 0})
    with MetricsWriter(tmp_path, "000001-a") as writer:
        writer.begin_segment(None, 0)

        def written(key: str) -> int:
            writer.commit()
            return len(read_points(tmp_path, key))

        with DevicePoints(writer, progress, tmp_path, every_seconds=0.01):
            progress.values = {"device": "cpu", "step": 7, "tokens": 700, "seconds": 1.5}
            wait_for("two looks", lambda: written("device/cpu_percent") >= 2)
        seen = written("device/cpu_percent")
        points = read_points(tmp_path, "device/memory_bytes")
        assert set(points.step.tolist()) == {7} and set(points.tokens.tolist()) == {700}
        assert 1e6 < points.value[0] < 1e12
        assert {"device/cpu_percent", "device/memory_bytes", "device/disk_free_bytes"} <= set(metric_keys(tmp_path))
        assert written("device/cpu_percent") == seen, "nothing is written after the end"


def test_a_gpu_tells_its_figures_where_there_is_one() -> None:
    figures = gpu_reader()()
    assert set(figures) <= {"gpu_percent", "gpu_memory_bytes", "gpu_celsius", "gpu_watts"}
