"""Several processes that train one model: each computes some rows of every batch, and their gradients are added up.

Every process draws the same whole batch and takes its share of the rows; losses are divided by the targets of the whole step. So the sum
over processes is the gradient of one large batch, whatever the rows hold, and all of them make the same update.
Not here: starting the processes (`llm_core.backend.ranks`), the step itself (`trainer.py`).
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn

from llm_core.objectives.interface import Batch

# While the first process measures and saves, the others wait for its next step; it never waits long for them.
_PATIENCE = datetime.timedelta(days=7)
_PATIENCE_OF_THE_FIRST = datetime.timedelta(minutes=5)
_LOOK_SECONDS = 0.05


class Ranks(Protocol):
    """The processes of one run, seen from one of them."""

    rank: int
    """0 leads: it measures, saves and decides when to end."""
    size: int

    def add_up(self, tensor: Tensor) -> None:
        """The sum over all processes, in place; waits for all of them."""
        ...


class Alone:
    """One process."""

    rank = 0
    size = 1

    def add_up(self, tensor: Tensor) -> None:
        """Nothing to add."""


class ProcessGroup:
    """Processes that meet through a file and talk over loopback (gloo), or between GPUs (NCCL).

    Args:
        meeting_place: a file that does not exist yet, the same for all.
        while_waiting: called again and again until all of them have come; what it raises ends the waiting.
    """

    def __init__(
        self, meeting_place: Path, rank: int, size: int, device: str, while_waiting: Callable[[], None] = lambda: None
    ) -> None:
        self.rank = rank
        self.size = size
        if device == "cuda":
            torch.cuda.set_device(rank)
        backend = "nccl" if device == "cuda" else "gloo"
        patience = _PATIENCE if rank else _PATIENCE_OF_THE_FIRST
        store = dist.FileStore(str(meeting_place), size)  # pyright: ignore[reportPrivateImportUsage] - documented there
        store.set(f"process {rank}", "here")
        everybody = [f"process {other}" for other in range(size)]
        while not store.check(everybody):
            while_waiting()
            time.sleep(_LOOK_SECONDS)
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=patience)

    def add_up(self, tensor: Tensor) -> None:
        dist.all_reduce(tensor)

    def leave(self) -> None:
        """End the group; the others' next sum fails."""
        dist.destroy_process_group()


def share_of(batch: Batch, ranks: Ranks) -> Batch:
    """The rows of this process; counts stay those of the whole batch."""
    if ranks.size == 1:
        return batch
    arrays = {name: array[ranks.rank :: ranks.size] for name, array in batch.arrays.items()}
    return batch._replace(arrays=arrays)


def add_up_gradients(model: nn.Module, ranks: Ranks) -> None:
    """Replace every gradient by its sum over the processes: one exchange for all of them together."""
    if ranks.size == 1:
        return
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    together = torch.cat([gradient.flatten() for gradient in gradients])
    ranks.add_up(together)
    for gradient, summed in zip(gradients, together.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(summed.view_as(gradient))
