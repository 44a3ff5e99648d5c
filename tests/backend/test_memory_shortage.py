"""Out of memory in words: torch's real errors are understood, the parts are named, and what is proposed fits."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from llm_core.backend.endings import explain
from llm_core.backend.memory_shortage import (
    NotEnoughMemory,
    Shortage,
    memory_shortage_named,
    not_enough_memory,
    shortage_of,
)
from llm_core.config.overrides import apply_overrides
from llm_core.config.run import RunConfig
from llm_core.models.counting import training_memory
from llm_core.objectives.row_shape import row_shape

# As torch 2.13 words it on a GPU.
CUDA = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8.00 GiB of which 512.00 MiB is free. Including "
    "non-PyTorch memory, this process has 7.40 GiB memory in use. Of the allocated memory 7.00 GiB is allocated by PyTorch."
)
LARGE = apply_overrides(RunConfig(), ["model.hidden_size=768", "data.context_length=1024", "training.batch_size=48"])


def test_real_errors_are_understood() -> None:
    with pytest.raises(RuntimeError) as cpu:
        torch.empty(2**50, dtype=torch.uint8)
    assert shortage_of(cpu.value) == Shortage(2**50, None, None)
    with pytest.raises(MemoryError) as numpy_error:
        np.empty((2**50,), dtype=np.uint8)
    assert shortage_of(numpy_error.value) == Shortage(2**50, None, None)
    assert shortage_of(torch.OutOfMemoryError(CUDA)) == Shortage(2 * 2**30, 2**29, 8 * 2**30)
    mps = "MPS backend out of memory (MPS allocated: 8.00 GB, max allowed: 9.07 GB). Tried to allocate 256.00 MB on private pool."
    assert shortage_of(RuntimeError(mps)) == Shortage(256_000_000, None, 9_070_000_000)
    assert shortage_of(RuntimeError("size mismatch")) is None


def test_the_reason_names_the_parts_and_the_remedy_fits() -> None:
    with pytest.raises(NotEnoughMemory) as raised, memory_shortage_named(lambda: LARGE, 5_000):
        raise torch.OutOfMemoryError(CUDA)
    reason, remedy = explain(raised.value)
    assert "2.15 GB more were asked for, 537 MB were free" in reason
    for word in ("weights", "optimizer", "activations", "scores"):
        assert re.search(rf"{word} [\d.]+ [MG]B", reason), reason
    match = re.search(
        r"batch_size from 48 to (\d+), and raise training.gradient_accumulation_steps from 1 to (\d+)", remedy
    )
    assert match is not None, remedy
    batch, pieces = int(match[1]), int(match[2])
    assert batch * pieces == 48
    smaller = apply_overrides(LARGE, [f"training.batch_size={batch}"])
    assert training_memory(smaller, 5_000, row=row_shape(smaller)).total_bytes <= 0.8 * 8 * 2**30
    twice = apply_overrides(LARGE, [f"training.batch_size={2 * batch}"])
    assert training_memory(twice, 5_000, row=row_shape(twice)).total_bytes > 0.8 * 8 * 2**30


def test_other_ways_out() -> None:
    def remedy(config: RunConfig, capacity: int) -> str:
        return not_enough_memory(Shortage(None, None, capacity), config, 5_000).remedy

    assert "other programs" in remedy(LARGE, 10**12)
    assert "data.context_length from 1,024 to" in remedy(LARGE, 2 * 10**9)
    single = apply_overrides(LARGE, ["training.batch_size=1"])
    lowered = remedy(single, 2 * 10**9)
    assert lowered.startswith("Lower data.context_length from 1,024 to") and "accumulation" not in lowered
    assert "width" in remedy(LARGE, 10**9)
    with pytest.raises(ZeroDivisionError), memory_shortage_named(lambda: LARGE, 5_000):
        _ = 1 / 0
