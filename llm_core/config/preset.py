"""What a preset is. Not here: the presets (`sized_presets.py`, `form_presets.py`), finding one (`presets.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from llm_core.config.run import RunConfig


@dataclass(frozen=True)
class Preset:
    """A configuration with the words that introduce it."""

    name: str
    title: str
    sentence: str
    scale: Literal["cpu", "gpu"]
    config: RunConfig
