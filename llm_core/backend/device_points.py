"""How busy the machine is while a run goes on, as points of the run: `device/cpu_percent` and its like, about every ten seconds.

A thread of the worker reads them, so that the loop never waits; a look costs about a millisecond. What the machine does not tell is
left out. Not here: the same figures for the status line (`devices.py`), their charts (`llm_core.ui.layer_charts`).
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from llm_core.backend.run_progress import RunProgress
from llm_core.workspace.metrics import MetricsWriter

EVERY_SECONDS = 10.0
# A short run shall have a figure as well.
FIRST_SECONDS = 2.0

Figures = dict[str, float]


class DevicePoints:
    """Writes points from entering to leaving the block; the points are committed with the next heartbeat.

    Args:
        progress: tells the step, tokens and seconds that a point belongs to, and whether the run uses a GPU.
        folder: of the run; its disk is the one that may run full.
    """

    def __init__(
        self, writer: MetricsWriter, progress: RunProgress, folder: Path, every_seconds: float = EVERY_SECONDS
    ) -> None:
        self._writer = writer
        self._progress = progress
        self._folder = folder
        self._every_seconds = every_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="device points", daemon=True)

    def __enter__(self) -> DevicePoints:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        machine = machine_reader(self._folder)
        gpu: Callable[[], Figures] | None = None
        machine()  # the CPU's figure counts from the look before
        wait = min(FIRST_SECONDS, self._every_seconds)
        while not self._stop.wait(wait):
            wait = self._every_seconds
            values = self._progress.values
            if "tokens" not in values:
                continue  # nothing was trained yet, so there is no place for a point
            if gpu is None and values.get("device") == "cuda":
                gpu = gpu_reader()
            for name, value in {**machine(), **(gpu() if gpu else {})}.items():
                self._writer.point(f"device/{name}", values["step"], values["tokens"], values["seconds"], value)


def machine_reader(folder: Path) -> Callable[[], Figures]:
    """What reads the processor (percent of all cores), the memory of this process and the free room of the folder's disk."""
    try:
        import psutil
    except ImportError:
        return lambda: _disk(folder)
    process = psutil.Process()

    def read() -> Figures:
        busy = psutil.cpu_percent(interval=None)
        return {"cpu_percent": busy, "memory_bytes": float(process.memory_info().rss), **_disk(folder)}

    return read


def gpu_reader() -> Callable[[], Figures]:
    """What reads the first GPU that this process may use: percent busy, bytes used by everybody, degrees Celsius, watts."""
    try:
        import pynvml
    except ImportError:
        return dict
    library = cast("Any", pynvml)
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    try:
        library.nvmlInit()
        handle = (
            library.nvmlDeviceGetHandleByUUID(first)
            if first.startswith("GPU-")
            else library.nvmlDeviceGetHandleByIndex(int(first) if first.isdecimal() else 0)
        )
    except library.NVMLError:
        return dict
    questions: dict[str, Callable[[], float]] = {
        "gpu_percent": lambda: library.nvmlDeviceGetUtilizationRates(handle).gpu,
        "gpu_memory_bytes": lambda: library.nvmlDeviceGetMemoryInfo(handle).used,
        "gpu_celsius": lambda: library.nvmlDeviceGetTemperature(handle, library.NVML_TEMPERATURE_GPU),
        "gpu_watts": lambda: library.nvmlDeviceGetPowerUsage(handle) / 1000,
    }

    def read() -> Figures:
        figures: Figures = {}
        for name, question in questions.items():
            try:
                figures[name] = float(question())
            except library.NVMLError:
                continue  # this card does not tell, or not now
        return figures

    return read


def _disk(folder: Path) -> Figures:
    try:
        return {"disk_free_bytes": float(shutil.disk_usage(folder).free)}
    except OSError:
        return {}
