"""What was measured, when and on which machine: one JSON file for each measurement, under benchmarks/results/.

Not here: what is measured (its neighbours), what follows from it (docs/log.md).
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

FOLDER = Path(__file__).resolve().parent / "results"


def machine() -> dict[str, Any]:
    """Processor, cores that may be used, GPU, versions; and how busy the machine was, because that decides what a figure is worth."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": cores,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "load_average": list(os.getloadavg()),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def write_result(name: str, values: dict[str, Any], folder: Path = FOLDER) -> Path:
    """Keep one measurement as `<date>-<name>.json`; a later one of the same minute takes its place."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{time.strftime('%Y-%m-%d-%H%M')}-{name}.json"
    content = {"measured": name, "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "machine": machine(), **values}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def compare(
    contestants: dict[str, Callable[[], float]], *, against: str, rounds: int
) -> dict[str, dict[str, float | int]]:
    """Rates of several contestants in the same run, turn by turn, so that a busy moment of the machine meets all of them.

    Args:
        contestants: what each is called, and a function that works for a while and returns its rate (more is better).
        against: the contestant that the others are divided by.
        rounds: how often each has its turn, after one turn that does not count.

    Returns:
        For each its median and best rate, the ratio of the best rates (what a busy machine disturbs least), and the median, least
        and greatest ratio within a round.
    """
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, work in contestants.items():
            rate = work()
            if turn:
                rates[name].append(rate)
    found: dict[str, dict[str, float | int]] = {}
    for name, own in rates.items():
        ratios = [a / b for a, b in zip(own, rates[against], strict=True)]
        found[name] = {
            "rate": _short(statistics.median(own)),
            "best_rate": _short(max(own)),
            "best_ratio": _short(max(own) / max(rates[against])),
            "ratio": _short(statistics.median(ratios)),
            "ratio_low": _short(min(ratios)),
            "ratio_high": _short(max(ratios)),
            "rounds": rounds,
        }
    return found


def timed(work: Callable[[], object], amount: float) -> float:
    """Amount of work per second."""
    started = time.perf_counter()
    work()
    return amount / (time.perf_counter() - started)


def print_rates(title: str, unit: str, found: dict[str, dict[str, float | int]]) -> None:
    """One line for each contestant."""
    print(title, flush=True)
    for name, values in found.items():
        print(
            f"  {name:<44} {values['rate']:>10,.4g} {unit}, best {values['best_rate']:>10,.4g}   × {values['ratio']:.2f}"
            f"  (best × {values['best_ratio']:.2f}; {values['ratio_low']:.2f} to {values['ratio_high']:.2f} in {values['rounds']} rounds)",
            flush=True,
        )


def median(values: Sequence[float]) -> float:
    """The middle value, with four digits."""
    return _short(statistics.median(values))


def _short(value: float) -> float:
    return float(f"{value:.4g}")
