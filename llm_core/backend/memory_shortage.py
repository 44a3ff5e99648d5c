"""A training that ran out of memory: what was asked for, what the run needs and for what, and which settings would fit.

Figures of the moment come from the error's own text (CUDA, MPS, the CPU's allocator, numpy), what the run needs from the closed forms of
`llm_core.models.counting`. Not here: the estimate before a start (`estimates.py`), how a run ends with it (`endings.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

from llm_core.backend.devices import memory_bytes
from llm_core.config.errors import UserError
from llm_core.config.run import RunConfig
from llm_core.models.counting import MemoryEstimate, training_memory
from llm_core.objectives.row_shape import row_shape
from llm_core.quantities import size

# What an estimate may fill of a memory, and the shortest context that is proposed.
_USABLE_SHARE, _SHORTEST_CONTEXT = 0.8, 32
_WORDS = (
    ("weights", "weights_bytes"),
    ("gradients", "gradients_bytes"),
    ("optimizer", "optimizer_bytes"),
    ("activations", "activations_bytes"),
    ("scores", "logits_bytes"),
    ("evaluation", "evaluation_bytes"),
    ("program", "runtime_bytes"),
)
_AMOUNT = r"([\d.]+) ?([KMGTP]i?B|bytes)"
_ASKED = re.compile(r"(?:[Tt]ri?ed to allocate|Unable to allocate) " + _AMOUNT)
_CAPACITY = re.compile(r"(?:total capacity of|max allowed:) " + _AMOUNT)
_FREE = re.compile(r"of which " + _AMOUNT + r" is free")
_UNITS = {
    "bytes": 1,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
    "PiB": 2**50,
    "KB": 1e3,
    "MB": 1e6,
    "GB": 1e9,
}


class NotEnoughMemory(UserError):
    """A device's memory did not suffice; says for what it was needed and what to lower to what."""


@dataclass(frozen=True)
class Shortage:
    """What an error tells of the moment, in bytes; None for what it does not tell."""

    asked_bytes: int | None
    free_bytes: int | None
    capacity_bytes: int | None
    """None where the machine's main memory is meant."""


def shortage_of(error: BaseException) -> Shortage | None:
    """The shortage that an error reports, or None for any other fault."""
    text = str(error)
    is_shortage = (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"  # torch's, which this file does without
        or (isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text))
    )
    return Shortage(_bytes(_ASKED, text), _bytes(_FREE, text), _bytes(_CAPACITY, text)) if is_shortage else None


@contextmanager
def memory_shortage_named(present_config: Callable[[], RunConfig], vocabulary_size: int) -> Generator[None]:
    """Within, running out of memory is raised as NotEnoughMemory with figures and a remedy; any other error as it is.

    Args:
        present_config: the settings at that moment; a person may have made the batch larger on the way.
    """
    try:
        yield
    except Exception as error:
        shortage = shortage_of(error)
        if shortage is None:
            raise
        raise not_enough_memory(shortage, present_config(), vocabulary_size) from error


def not_enough_memory(shortage: Shortage, config: RunConfig, vocabulary_size: int) -> NotEnoughMemory:
    """The error in words: what was asked for, what the run needs, and the largest settings that should fit."""
    capacity = shortage.capacity_bytes or memory_bytes()
    need = _need(config, vocabulary_size)
    asked = "" if shortage.asked_bytes is None else f": {size(shortage.asked_bytes)} more were asked for"
    free = "" if shortage.free_bytes is None else f", {size(shortage.free_bytes)} were free"
    parts = " + ".join(f"{word} {size(getattr(need, field))}" for word, field in _WORDS if getattr(need, field))
    return NotEnoughMemory(
        f"The memory was not enough{asked}{free}",
        value=f"about {size(need.total_bytes)} = {parts}",
        limit=f"{size(capacity)}, of which a run should need four fifths at most",
        remedy=_remedy(config, vocabulary_size, need, int(_USABLE_SHARE * capacity)),
    )


def _remedy(config: RunConfig, vocabulary_size: int, need: MemoryEstimate, usable_bytes: int) -> str:
    if need.total_bytes <= usable_bytes:
        half = max(1, config.training.batch_size // 2)
        return (
            "By the estimate this run would fit, so other programs or other runs hold the memory. Wait for them or end them"
            + ("" if half == config.training.batch_size else f"; or lower training.batch_size to {half}")
        )
    batch_size, context = config.training.batch_size, config.data.context_length
    smaller = config
    while batch_size > 1 and _need(smaller, vocabulary_size).total_bytes > usable_bytes:
        batch_size //= 2
        smaller = _with(config, batch_size, context)
    while context > _SHORTEST_CONTEXT and _need(smaller, vocabulary_size).total_bytes > usable_bytes:
        context //= 2
        smaller = _with(config, batch_size, context)
    if _need(smaller, vocabulary_size).total_bytes > usable_bytes:
        return "No batch and context is small enough for this network: lower its width (model.hidden_size) or its number of layers"
    changes: list[str] = []
    if context != config.data.context_length:
        changes.append(f"data.context_length from {config.data.context_length:,} to {context:,}")
    if batch_size == config.training.batch_size:
        return f"Lower {changes[0]}: the model then looks back less far"
    changes.insert(0, f"training.batch_size from {config.training.batch_size:,} to {batch_size:,}")
    pieces = config.training.gradient_accumulation_steps
    more = round(pieces * config.training.batch_size / batch_size)
    return (
        f"Lower {' and '.join(changes)}, and raise training.gradient_accumulation_steps from {pieces} to {more}: "
        "a step then learns from as many rows as before, in smaller pieces"
    )


def _need(config: RunConfig, vocabulary_size: int) -> MemoryEstimate:
    return training_memory(config, vocabulary_size, row=row_shape(config))


def _with(config: RunConfig, batch_size: int, context_length: int) -> RunConfig:
    training = config.training.model_copy(update={"batch_size": batch_size})
    data = config.data.model_copy(update={"context_length": context_length})
    return config.model_copy(update={"training": training, "data": data})


def _bytes(pattern: re.Pattern[str], text: str) -> int | None:
    match = pattern.search(text)
    return None if match is None else int(float(match[1].rstrip(".")) * _UNITS[match[2]])
