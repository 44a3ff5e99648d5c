"""How far a run is, as pages show it. Not here: keeping it on disk (`lease.py`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class RunProgress:
    """How far the run is, as pages show it. Written by the loop, read by the heartbeat thread; single assignments are atomic."""

    phase: str
    detail: str = ""
    fraction: float | None = None
    values: dict[str, Any] = field(default_factory=dict[str, Any])

    def to_dict(self) -> dict[str, Any]:
        return {**self.values, "phase": self.phase, "detail": self.detail, "fraction": self.fraction}
