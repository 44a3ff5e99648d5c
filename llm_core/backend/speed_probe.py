"""Measuring how fast a configuration trains here, with a few real steps on random tokens. Needs torch; run by a worker.

Not here: what is made of the figure (`estimates.py`).
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from llm_core.backend.estimates import store_speed
from llm_core.backend.vocabulary import guess_vocabulary
from llm_core.config.errors import Refused
from llm_core.config.run import RunConfig
from llm_core.objectives.registry import build_objective
from llm_core.text.progress import Cancelled, stop_if_cancelled
from llm_core.training.execution import random_tokens
from llm_core.training.trainer import Trainer
from llm_core.workspace.job_record import HELD, QUEUED
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry

_WARM_UP_STEPS = 3
_MEASURED_SECONDS = 3.0
_MEASURED_STEPS = 200
_LOOK_SECONDS = 0.5
LARGEST_WAITING_SHARE = 0.2


def measure_speed(
    workspace: Workspace,
    config: RunConfig,
    report: Callable[[str, int, int | None], None],
    cancelled: Callable[[], bool],
) -> dict[str, Any]:
    """Tokens per second of steps after warming up: median, and the marks of the slowest and quickest tenth as a range.

    Raises:
        Cancelled: on request, or because a training has come, which has the right of way. Nothing is kept then.
        Refused: other work took the cores away, so that the figure would say more about that work than about this machine.
    """
    vocabulary = guess_vocabulary(workspace, config)
    quick = config.model_copy(update={"hardware": config.hardware.model_copy(update={"compile": "off"})})
    objective = build_objective(quick, vocabulary)
    trainer = Trainer(quick, random_tokens(vocabulary, quick), objective)
    looked_at = 0.0

    def give_way() -> None:
        nonlocal looked_at
        stop_if_cancelled(cancelled)
        if time.perf_counter() - looked_at > _LOOK_SECONDS:
            looked_at = time.perf_counter()
            with Registry(workspace) as registry:
                if registry.jobs("train", HELD | {QUEUED}):
                    raise Cancelled

    for step in range(_WARM_UP_STEPS):
        give_way()
        trainer.run_step()
        report("warming up", step + 1, _WARM_UP_STEPS)
    seconds: list[float] = []
    started, waited = time.perf_counter(), _seconds_waited_for_a_core()
    while len(seconds) < _MEASURED_STEPS and (time.perf_counter() - started < _MEASURED_SECONDS or len(seconds) < 3):
        give_way()
        before = time.perf_counter()
        trainer.run_step()
        seconds.append(time.perf_counter() - before)
        report("measuring speed", len(seconds), None)
    waiting_share = (_seconds_waited_for_a_core() - waited) / (time.perf_counter() - started)
    if waiting_share > LARGEST_WAITING_SHARE:
        what = "This machine was too busy with other work for a measurement"
        raise Refused(what, value=f"{waiting_share:.0%} of the time was spent waiting for a core")
    slow, middle, quick_mark = np.quantile(trainer.tokens_per_step / np.array(seconds), [0.1, 0.5, 0.9]).tolist()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    result = {
        "tokens_per_second": middle,
        "tokens_per_second_low": slow,
        "tokens_per_second_high": quick_mark,
        "steps": len(seconds),
        "device": trainer.execution.device,
        "peak_memory_bytes": int(peak),
    }
    store_speed(workspace, config, vocabulary.size, result)
    return result


def _seconds_waited_for_a_core() -> float:
    """How long this thread was ready to run and could not, since it began; 0 where the system does not count it.

    Linux: the second number of schedstat, in nanoseconds (Documentation/scheduler/sched-stats).
    """
    try:
        return int(Path("/proc/thread-self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0
