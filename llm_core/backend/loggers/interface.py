"""What a logger is: five small methods, called from one thread of its own, in order, never at once.

A logger may be slow and may raise: `background.py` keeps both away from training. Not here: which loggers there are (`registry.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_core.config.run import RunConfig


@dataclass(frozen=True)
class RunFacts:
    """Which run is logged."""

    run_id: str
    """Lasts over every resume, so that a logger finds what it began."""
    name: str
    folder: Path
    """The run folder; a logger that writes files does so in a folder of its own there."""


class Logger(ABC):
    """One other program that is told of a run. Constructing one does nothing; its package is imported in `start`."""

    title: str
    """How people call it."""

    @abstractmethod
    def start(self, config: RunConfig, facts: RunFacts) -> None:
        """Before everything else, at each attempt: a resumed run goes on where its logger left off."""

    @abstractmethod
    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """What was measured at one step, by the keys of metrics.db; NaN and infinities come as they are.

        One step may come in several parts.
        """

    @abstractmethod
    def text(self, step: int, prompt: str, sample: str) -> None:
        """What the model wrote after `step` updates."""

    def rewind(self, step: int) -> None:  # noqa: B027 - most loggers let a later value stand beside an earlier one
        """The run goes on after `step` updates: what was told of later steps no longer counts. -1 takes back everything."""

    @abstractmethod
    def finish(self, state: str, summary: Mapping[str, Any]) -> None:
        """The attempt has ended.

        Args:
            state: `finished`, `stopped`, `failed`, `diverged`, or `paused`, from which the run may go on.
            summary: the figures of `glassbox train --json`; empty where there are none.
        """


def settings_to_tell(config: RunConfig) -> dict[str, Any]:
    """The settings of a run as JSON values, without whom else it tells."""
    return config.model_dump(mode="json", exclude={"logging"})


class PromptNumbers:
    """Numbers prompts from 1 in the order in which they first come, so that each has its own place over all steps."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def of(self, prompt: str) -> int:
        """The number of this prompt."""
        return self._numbers.setdefault(prompt, len(self._numbers) + 1)
