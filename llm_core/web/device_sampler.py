"""One look at the devices for everybody in this process: ten open pages ask for figures, the devices are asked once.

Not here: how a device is asked (`llm_core.backend.devices`).
"""

from __future__ import annotations

import threading
import time
from functools import cache

from llm_core.backend.devices import DeviceLoad, device_loads

SAMPLE_SECONDS = 2.0


class DeviceSampler:
    """The loads of all devices, at most two seconds old."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sampled_at = float("-inf")
        self._loads: list[DeviceLoad] = []

    def latest(self) -> list[DeviceLoad]:
        """GPUs first, then the CPU, whose figure is the mean since the sample before."""
        with self._lock:
            now = time.monotonic()
            if now - self._sampled_at >= SAMPLE_SECONDS:
                self._loads, self._sampled_at = device_loads(), now
            return self._loads


@cache
def shared_sampler() -> DeviceSampler:
    """The sampler of this process: pages and routes share it, because the CPU's figure counts from the last call."""
    return DeviceSampler()
