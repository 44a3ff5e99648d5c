"""Does training work on this GPU, does it compute the same as the CPU, and how much of the chip does it use?

    python benchmarks/gpu_check.py          # or: make gpu-check

Needs the engine's libraries only (torch, numpy, pydantic, safetensors, tokenizers), no text, no network. Writes one JSON with date and
device under benchmarks/results/. Exit status 0 when all is well or when there is no CUDA GPU, 1 when something is not.

Share of the chip (MFU): tokens per second × FLOP per token ÷ the chip's peak for dense bfloat16 products. FLOP per token are counted as
in PaLM (Chowdhery et al. 2022, appendix B): matrix products only, attention over the whole context, backward twice the forward.
Not here: comparisons on a CPU (`training_speed.py`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

if __package__ in (None, ""):  # started as a file: let it find its neighbours and the package
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.results import FOLDER, write_result
from llm_core.backend.peak_flops import peak_tflops
from llm_core.config.overrides import apply_overrides
from llm_core.config.presets import preset
from llm_core.config.run import RunConfig
from llm_core.models.counting import count_parameters, training_flops_per_token
from llm_core.objectives.registry import build_objective
from llm_core.text.vocabulary import plain_vocabulary
from llm_core.training.trainer import Trainer

# Twenty steps on two devices drift apart by rounding alone, each in its own order of sums; a real fault moves losses by 0.01 and more.
LOSS_TOLERANCE_NATS = 1e-3
COMPARED_STEPS = 20
FAMILIES = {
    "transformer": ("model.kind=transformer", "model.num_layers=4", "model.num_heads=4"),
    "lstm": ("model.kind=lstm", "model.num_layers=2"),
}

LEARNING = ("optimizer.learning_rate=1e-2", "schedule.warmup_steps=10")


@dataclass(frozen=True)
class Sizes:
    """How large the parts of the check are."""

    small: tuple[str, ...]
    """Settings of the two small models."""
    small_steps: int
    large: tuple[str, ...]
    """Changes of the preset whose speed is measured."""
    large_vocabulary_size: int
    timed_steps: int
    compiles: tuple[str, ...]
    """In which ways the speed is measured: "off", "on"."""


FULL = Sizes(
    small=("model.hidden_size=256", "data.context_length=128", "training.batch_size=32"),
    small_steps=200,
    large=(),
    large_vocabulary_size=32_000,
    timed_steps=30,
    compiles=("off", "on"),
)
TINY = Sizes(
    small=("model.hidden_size=32", "data.context_length=16", "training.batch_size=16", "hardware.num_threads=1"),
    small_steps=120,
    large=(
        "model.num_layers=1",
        "model.hidden_size=64",
        "model.num_heads=2",
        "data.context_length=32",
        "hardware.num_threads=1",
    ),
    large_vocabulary_size=200,
    timed_steps=3,
    compiles=("off",),
)


def predictable_tokens(vocabulary_size: int, count: int) -> np.ndarray:
    """Tokens of which four in five follow from the one before, so that there is something to learn."""
    generator = np.random.default_rng(0)
    noise = generator.integers(0, vocabulary_size, count)
    follows = generator.random(count) < 0.8
    tokens = noise.copy()
    for index in range(1, count):
        if follows[index]:
            tokens[index] = (5 * tokens[index - 1] + 3) % vocabulary_size
    return tokens.astype(np.uint32)


def small_config(family: str, device: str, precision: str, steps: int, sizes: Sizes) -> RunConfig:
    """A small model without dropout, whose random stream differs from device to device."""
    changes = [f"hardware.device={device}", f"hardware.precision={precision}", f"training.max_steps={steps}"]
    return apply_overrides(RunConfig(), [*FAMILIES[family], *sizes.small, *changes, "hardware.compile=off", *LEARNING])


def losses(config: RunConfig) -> list[float]:
    """Loss of every step, nats per token."""
    vocabulary_size = 64
    objective = build_objective(config, plain_vocabulary(vocabulary_size))
    trainer = Trainer(config, predictable_tokens(vocabulary_size, 50_000), objective)
    return [trainer.run_step().loss for _ in range(config.training.max_steps or 0)]


def check_learning(family: str, device: str, sizes: Sizes) -> dict[str, Any]:
    """In bfloat16 the loss must fall well below chance."""
    found = losses(small_config(family, device, "bfloat16", sizes.small_steps, sizes))
    first, last = found[0], float(np.mean(found[-5:]))
    return {"first_loss": first, "last_loss": last, "is_well": bool(np.isfinite(found).all() and last < first - 0.5)}


def check_equality(family: str, device: str, sizes: Sizes) -> dict[str, Any]:
    """In float32 the losses of the first steps must be the CPU's, up to rounding."""
    former = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        here = losses(small_config(family, device, "float32", COMPARED_STEPS, sizes))
        there = losses(small_config(family, "cpu", "float32", COMPARED_STEPS, sizes))
    finally:
        torch.set_float32_matmul_precision(former[0])
        torch.backends.cudnn.allow_tf32 = former[1]
    difference = float(np.abs(np.subtract(here, there)).max())
    return {"greatest_difference_nats": difference, "is_well": difference < LOSS_TOLERANCE_NATS}


def measure_speed(device: str, compile_model: str, sizes: Sizes) -> dict[str, Any]:
    """Tokens per second of `gpt-124m` in bfloat16, with the largest batch that the memory takes, and its share of the chip's peak."""
    batch_size = preset("gpt-124m").training.batch_size if device == "cuda" else 2
    while True:
        try:
            return _speed_of(_large_config(device, compile_model, batch_size, sizes), sizes)
        except torch.OutOfMemoryError:
            if batch_size == 1:
                raise
            batch_size //= 2
        torch.cuda.empty_cache()


def _large_config(device: str, compile_model: str, batch_size: int, sizes: Sizes) -> RunConfig:
    changes = [f"hardware.device={device}", "hardware.precision=bfloat16", f"hardware.compile={compile_model}"]
    batch = [f"training.batch_size={batch_size}", "training.gradient_accumulation_steps=1"]
    return apply_overrides(preset("gpt-124m"), [*sizes.large, *changes, *batch])


def _speed_of(config: RunConfig, sizes: Sizes) -> dict[str, Any]:
    if config.hardware.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    generator = np.random.default_rng(0)
    tokens = generator.integers(0, sizes.large_vocabulary_size, 1_000_000).astype(np.uint32)
    started = time.perf_counter()
    trainer = Trainer(config, tokens, build_objective(config, plain_vocabulary(sizes.large_vocabulary_size)))
    for _ in range(3):
        trainer.run_step()
    first_seconds = time.perf_counter() - started
    _synchronize(trainer.execution.device)
    started = time.perf_counter()
    for _ in range(sizes.timed_steps):
        trainer.advance()
        if trainer.must_read:
            trainer.take_reports()
    trainer.take_reports()
    _synchronize(trainer.execution.device)
    seconds = time.perf_counter() - started
    tokens_per_second = sizes.timed_steps * trainer.tokens_per_step / seconds
    flops = training_flops_per_token(config.model, sizes.large_vocabulary_size, config.data.context_length)
    peak = peak_tflops(torch.cuda.get_device_name()) if trainer.execution.device == "cuda" else None
    return {
        "compile": config.hardware.compile,
        "parameters": count_parameters(config.model, sizes.large_vocabulary_size, config.data.context_length).total,
        "batch_size": config.training.batch_size,
        "context_length": config.data.context_length,
        "seconds_before_timing": first_seconds,
        "seconds_per_step": seconds / sizes.timed_steps,
        "tokens_per_second": tokens_per_second,
        "flops_per_token": flops,
        "tflops": tokens_per_second * flops / 1e12,
        "peak_tflops": peak,
        "share_of_peak": None if peak is None else tokens_per_second * flops / 1e12 / peak,
        "peak_memory_bytes": torch.cuda.max_memory_allocated() if trainer.execution.device == "cuda" else None,
    }


def _synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def check(device: str, sizes: Sizes) -> dict[str, Any]:
    """All parts on one device."""
    found: dict[str, Any] = {"convention": "PaLM FLOP per token, dense bfloat16 peak", "learning": {}, "equality": {}}
    for family in FAMILIES:
        print(f"{family}: learning in bfloat16, then {COMPARED_STEPS} losses in float32 against the CPU", flush=True)
        found["learning"][family] = check_learning(family, device, sizes)
        found["equality"][family] = check_equality(family, device, sizes)
    found["speed"] = {}
    for way in sizes.compiles:
        print(f"gpt-124m: speed with compile={way}", flush=True)
        try:
            found["speed"][way] = measure_speed(device, way, sizes)
        except RuntimeError as error:
            if way == "off":
                raise
            # Compiling needs a C compiler on the machine; without one the other figures still count.
            print(f"compiling did not work here: {str(error).splitlines()[0]}")
    parts = [*found["learning"].values(), *found["equality"].values()]
    found["is_well"] = all(part["is_well"] for part in parts)
    return found


def report(found: dict[str, Any]) -> None:
    """The findings in a few lines."""
    for family, part in found["learning"].items():
        print(f"{family}: loss {part['first_loss']:.3f} to {part['last_loss']:.3f} {_word(part)}")
    for family, part in found["equality"].items():
        print(f"{family}: at most {part['greatest_difference_nats']:.1e} nats from the CPU {_word(part)}")
    for way, part in found["speed"].items():
        share = part["share_of_peak"]
        of_peak = "peak of this chip not listed" if share is None else f"{100 * share:.1f} % of the chip's peak"
        speed = f"{part['tokens_per_second']:,.0f} tokens/s, {part['tflops']:.1f} TFLOP/s"
        print(f"gpt-124m, compile={way}, batch {part['batch_size']}: {speed}, {of_peak}")


def _word(part: dict[str, Any]) -> str:
    return "(well)" if part["is_well"] else "(NOT WELL)"


def main(arguments: Sequence[str] | None = None, folder: Path = FOLDER) -> int:
    """Check the GPU; with the one argument `cpu`, walk the same path on the CPU with tiny sizes, which says nothing about speed."""
    on_cpu = list(sys.argv[1:] if arguments is None else arguments) == ["cpu"]
    if not on_cpu and not torch.cuda.is_available():
        print("This machine has no GPU that torch can use with CUDA, so there is nothing to check.")
        return 0
    found = check("cpu", TINY) if on_cpu else check("cuda", FULL)
    report(found)
    if not on_cpu:
        print(f"Kept in {write_result('gpu-check', found, folder)}")
    return 0 if found["is_well"] else 1


if __name__ == "__main__":
    sys.exit(main())
