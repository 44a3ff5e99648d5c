"""What this machine computes with, and how busy it is. Free of torch: the web server asks every few seconds.

psutil and NVIDIA's library are imported where they are used, so that the engine runs without them.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Device:
    """One processor that can train."""

    kind: str
    """"cpu" or "cuda"."""
    name: str
    cores: int
    memory_bytes: int


@dataclass(frozen=True)
class DeviceLoad:
    """How busy a device is now. `None` where the machine does not tell."""

    device: Device
    busy_percent: float | None
    used_bytes: int | None
    temperature_celsius: float | None

    @property
    def line(self) -> str:
        """One line for the status block."""
        device = self.device
        busy = "" if self.busy_percent is None else f" · {self.busy_percent:.0f} %"
        if device.kind == "cpu":
            return f"CPU · {device.cores} cores{busy}"
        memory = (
            "" if self.used_bytes is None else f" · {self.used_bytes / 1e9:.0f} of {device.memory_bytes / 1e9:.0f} GB"
        )
        heat = "" if self.temperature_celsius is None else f" · {self.temperature_celsius:.0f} °C"
        return f"{device.name}{busy}{memory}{heat}"


def list_devices() -> list[Device]:
    """The GPUs, then the CPU."""
    return [*(load.device for load in _gpu_loads()), _cpu()]


def device_loads() -> list[DeviceLoad]:
    """How busy each device is, GPUs first. The CPU's figure is since the last call."""
    try:
        import psutil

        busy: float | None = psutil.cpu_percent(interval=None)
        used: int | None = psutil.virtual_memory().used
    except ImportError:
        busy = used = None
    return [*_gpu_loads(), DeviceLoad(_cpu(), busy, used, None)]


def usable_cores() -> int:
    """Cores this process may use, which in a container is less than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_bytes() -> int:
    """Main memory of this machine, or of its container where that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")):
        try:
            text = limit.read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            total = min(total, int(text))
    return total


def _cpu() -> Device:
    return Device("cpu", _cpu_name(), usable_cores(), memory_bytes())


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def gpu_ids() -> list[str]:
    """The GPUs of this machine by the names that CUDA_VISIBLE_DEVICES takes, which no other order of counting changes.

    None of them where one is cut into instances (MIG): which instance is whose is the person's choice then.
    """
    names = _ask_gpus(_gpu_id)
    return [] if None in names else [name for name in names if name]


def _gpu_loads() -> list[DeviceLoad]:
    return _ask_gpus(_gpu_load)


def _ask_gpus(question: Callable[[Any, int], _Answer]) -> list[_Answer]:
    """The answer of each GPU, given NVIDIA's library and the number of the GPU; none where there is no driver."""
    try:
        import pynvml
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        return [question(pynvml, number) for number in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return []
    finally:
        pynvml.nvmlShutdown()


def _gpu_id(library: Any, number: int) -> str | None:
    handle = library.nvmlDeviceGetHandleByIndex(number)
    try:
        if library.nvmlDeviceGetMigMode(handle)[0]:
            return None
    except library.NVMLError_NotSupported:
        pass  # a GPU that cannot be cut
    name = library.nvmlDeviceGetUUID(handle)
    return name if isinstance(name, str) else name.decode()


def _gpu_load(library: Any, number: int) -> DeviceLoad:
    handle = library.nvmlDeviceGetHandleByIndex(number)
    memory = library.nvmlDeviceGetMemoryInfo(handle)
    name = library.nvmlDeviceGetName(handle)
    device = Device("cuda", name if isinstance(name, str) else name.decode(), 1, int(memory.total))
    busy = float(library.nvmlDeviceGetUtilizationRates(handle).gpu)
    heat = float(library.nvmlDeviceGetTemperature(handle, library.NVML_TEMPERATURE_GPU))
    return DeviceLoad(device, busy, int(memory.used), heat)
