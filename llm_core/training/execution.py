"""Where and how a run computes: "auto" made definite, once, and then kept for the life of the run.

The choice is stored with the checkpoints and used again on resume, because another precision or thread count gives other numbers.
Not here: what the machine has (`llm_core.backend.devices`).
"""

from __future__ import annotations

import os
import shutil
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from llm_core.config.errors import UserError
from llm_core.config.model import NgramConfig
from llm_core.config.run import RunConfig
from llm_core.models.counting import training_flops_per_token
from llm_core.models.families import families
from llm_core.models.registry import build_model
from llm_core.objectives.interface import Objective
from llm_core.text.vocabulary import ModelVocabulary
from llm_core.training.budget import tokens_per_step

# Compiling costs 10 to 60 seconds; it pays for runs of more than about this much arithmetic (minutes on the device).
_COMPILE_FROM_FLOPS = {"cpu": 60e12, "cuda": 1e17}
_BFLOAT16_FROM_WIDTH = 256
_MEASURED_ROWS = 8


@dataclass(frozen=True)
class Execution:
    """How this run computes."""

    device: str
    precision: str
    num_threads: int
    compile: bool

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Execution:
        return cls(**values)

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of a forward pass: bfloat16 products where chosen; weights and sums stay float32."""
        if self.precision == "bfloat16":
            return torch.autocast(self.device, dtype=torch.bfloat16)
        return nullcontext()


def choose_execution(config: RunConfig, objective: Objective, total_steps: int | None) -> Execution:
    """Make every "auto" definite for this machine.

    Raises:
        UserError: a device that this machine or this build of torch does not have.
    """
    device = _choose_device(config.hardware.device)
    _check_processes(config.hardware.num_processes, device)
    num_threads = config.hardware.num_threads or _usable_cores()
    if device == "cpu":
        torch.set_num_threads(num_threads)
    precision = config.hardware.precision
    if precision == "auto":
        precision = _choose_precision(config, objective, device)
    return Execution(device, precision, num_threads, _choose_compile(config, objective, device, total_steps))


def execution_of_resume(
    stored: Execution, config: RunConfig, objective: Objective, total_steps: int | None
) -> tuple[Execution, str]:
    """The stored way to compute where this machine has its device; else a new choice, and a sentence that says so."""
    if _is_here(stored.device):
        return stored, ""
    anywhere = config.model_copy(update={"hardware": config.hardware.model_copy(update={"device": "auto"})})
    chosen = choose_execution(anywhere, objective, total_steps)
    return chosen, (
        f"This machine lacks the run's device ({stored.device}), so it goes on with {chosen.device} in {chosen.precision}. "
        "From here on the numbers may differ from those of an undisturbed run."
    )


def _is_here(device: str) -> bool:
    return {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}.get(device, device == "cpu")


def _check_processes(count: int, device: str) -> None:
    """UserError where so many processes cannot share a run on this device."""
    if count > 1 and device == "mps":
        raise UserError(
            "An Apple GPU serves one process of a run",
            value=f"hardware.num_processes={count}",
            remedy="Set it to 1, or hardware.device to cpu",
        )
    if device == "cuda" and count > torch.cuda.device_count():
        raise UserError(
            "Each process of a run needs a GPU of its own",
            value=f"hardware.num_processes={count}",
            limit=f"{torch.cuda.device_count()} for this run",
            remedy="Set it to the number of GPUs, or to 1",
        )


def _choose_device(wish: str) -> str:
    has_mps = torch.backends.mps.is_available()
    if wish == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu"
    if wish == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "This machine has no usable CUDA GPU",
            value=wish,
            remedy="Choose cpu or auto, or install a CUDA build of torch",
        )
    if wish == "mps" and not has_mps:
        raise UserError("This machine has no Apple GPU that torch can use", value=wish, remedy="Choose cpu or auto")
    return wish


def _usable_cores() -> int:
    """Cores this process may use, which in a container is less than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _choose_precision(config: RunConfig, objective: Objective, device: str) -> str:
    if device == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    assert not isinstance(config.model, NgramConfig), "what is counted needs no precision"
    is_recurrent = families()[config.model.kind].is_recurrent
    if device == "mps" or is_recurrent or config.model.hidden_size < _BFLOAT16_FROM_WIDTH:
        return "float32"  # measured: below this width the casts cost more than the products save
    if not _cpu_multiplies_bfloat16():
        return "float32"  # without the instructions bfloat16 is emulated, several times slower
    seconds = {precision: _measure(config, objective, precision) for precision in ("float32", "bfloat16")}
    return min(seconds, key=seconds.__getitem__)


def _cpu_multiplies_bfloat16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags


def device_name(device: str) -> str:
    """What the maker calls the chip that "cuda" computes on; any other device by its own name."""
    return torch.cuda.get_device_name() if device == "cuda" else device


def random_tokens(vocabulary: ModelVocabulary, config: RunConfig) -> npt.NDArray[np.int64]:
    """Text without sense to measure with: two batches of ordinary tokens, an end of text after every few."""
    generator = np.random.default_rng(0)
    length = max(100_000, 4 * config.training.batch_size * (config.data.context_length + 1))
    tokens = generator.choice(vocabulary.ordinary_ids, length)
    if vocabulary.end_of_text is not None:
        # As long as what fits the context, so that pairs too are measured at their longest.
        tokens[config.data.context_length - 1 :: config.data.context_length] = vocabulary.end_of_text
        ends = np.flatnonzero(tokens == vocabulary.end_of_text)
        tokens = tokens[: ends[len(ends) // 2 * 2 - 1] + 1]
    return tokens


def _measure(config: RunConfig, objective: Objective, precision: str) -> float:
    """Seconds of one forward and backward pass of a single layer of the real width, the quicker of three."""
    execution = Execution("cpu", precision, torch.get_num_threads(), compile=False)
    with torch.random.fork_rng(devices=[]):
        model_config = config.model.model_copy(update={"num_layers": 1})
        model = build_model(model_config, objective.vocabulary.size, config.data.context_length)
        batch = objective.reader(random_tokens(objective.vocabulary, config)).next()
        arguments = {name: torch.from_numpy(array[:_MEASURED_ROWS]) for name, array in batch.arrays.items()}
        step = objective.step(model)
        quickest = float("inf")
        for _ in range(3):
            started = time.perf_counter()
            with execution.autocast():
                loss_sum = step(**arguments).loss_sum
            loss_sum.backward()
            quickest = min(quickest, time.perf_counter() - started)
    return quickest


def _choose_compile(config: RunConfig, objective: Objective, device: str, total_steps: int | None) -> bool:
    if config.hardware.compile != "auto":
        return config.hardware.compile == "on"
    # Recurrent kernels are fused already; a compiler unrolls them in time, which takes minutes.
    if families()[config.model.kind].is_recurrent or device not in _COMPILE_FROM_FLOPS:
        return False
    if config.objective.kind == "sequence-to-sequence":
        return False  # pairs differ in length, and every new length would be compiled anew
    if device == "cpu" and shutil.which("g++") is None and shutil.which("clang++") is None:
        return False
    tokens = (total_steps or 0) * tokens_per_step(config.training, config.data.context_length)
    flops = tokens * training_flops_per_token(config.model, objective.vocabulary.size, config.data.context_length)
    return flops >= _COMPILE_FROM_FLOPS[device]
