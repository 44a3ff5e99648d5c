"""Which GPUs a run gets, so that each trains on its own and none sees another's.

Worked out from what the registry says of the runs under way, so that a new supervisor finds them as the old one left them.
Not here: taking a job (`llm_core.workspace.registry`), how many run at once (`llm_core.config.slots`).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from llm_core.backend.devices import gpu_ids
from llm_core.workspace.job_record import JobRecord

VISIBLE = "CUDA_VISIBLE_DEVICES"
_CPU_RUNS_BESIDE_GPUS = 1


def visible_gpus(environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """What CUDA_VISIBLE_DEVICES calls each GPU that this process may use: the person's own choice, else all."""
    chosen = (os.environ if environment is None else environment).get(VISIBLE)
    if chosen is None:
        return tuple(gpu_ids())
    names: list[str] = []
    for name in chosen.split(","):
        if not name.strip() or name.strip() == "-1":
            break  # CUDA, too, reads no further
        names.append(name.strip())
    return tuple(names)


def assign_gpus(
    config: Mapping[str, Any], training: Sequence[JobRecord], gpus: Sequence[str], slots: int
) -> tuple[str, ...] | None:
    """The GPUs for the next run, those first that have the fewest runs; None while it has to wait.

    Args:
        config: of the run that wants to start.
        training: the runs under way.
        slots: how many may train at once; more than there are GPUs share them evenly. Beside GPUs one run may compute on the CPU; it
            takes none of these slots.
    """
    wanted = _wanted(config, gpus)
    alike = [record for record in training if (_wanted(record.config, gpus) == 0) == (wanted == 0)]
    if len(alike) >= (_CPU_RUNS_BESIDE_GPUS if gpus and wanted == 0 else slots):
        return None
    if wanted == 0:
        return ()
    runs_on = Counter(gpu for record in training for gpu in record.gpus)
    for record in training:
        if not record.gpus:
            # One in the foreground chose by itself, and torch takes the first.
            runs_on.update(gpus[: _wanted(record.config, gpus)])
    shared_by = -(-slots // len(gpus))
    free = sorted((gpu for gpu in gpus if runs_on[gpu] < shared_by), key=lambda gpu: runs_on[gpu])
    return tuple(free[:wanted]) if len(free) >= wanted else None


def _wanted(config: Mapping[str, Any], gpus: Sequence[str]) -> int:
    hardware = config.get("hardware", {})
    if hardware.get("device", "auto") not in ("auto", "cuda"):
        return 0
    return min(int(hardware.get("num_processes", 1)), len(gpus))
