"""What the command prints: one JSON object on the last line, plain tables, and a progress line on standard error.

Not here: what is printed (each verb decides that).
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Sequence
from typing import Any

from llm_core.quantities import three_digits

# Exit statuses of the command.
DONE, FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130


def print_json(values: Any) -> None:
    """One line of JSON; NaN and infinities become null, because JSON has neither."""
    sys.stdout.flush()
    print(json.dumps(_finite(values), ensure_ascii=False, default=str), flush=True)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Left-aligned columns, as wide as their widest cell."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max([len(title), *(len(row[index]) for row in cells)]) for index, title in enumerate(columns)]
    for row in [list(columns), *cells]:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return three_digits(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


class ProgressLine:
    """One line on standard error that is rewritten in place; silent where nobody reads it (no terminal, or --json)."""

    def __init__(self, *, quiet: bool) -> None:
        self._active = not quiet and sys.stderr.isatty()
        self._plain = not quiet and not self._active
        self._last_phase = ""
        self._last_time = 0.0

    def show(self, phase: str, done: float, total: float | None, detail: str = "") -> None:
        """Draw a bar when the total is known, else the count. At most ten times a second."""
        now = time.monotonic()
        finished = total is not None and done >= total
        if self._plain:
            if phase != self._last_phase:
                print(phase, file=sys.stderr, flush=True)
        elif self._active and (finished or phase != self._last_phase or now - self._last_time > 0.1):
            bar = ""
            if total:
                filled = int(24 * min(done / total, 1.0))
                bar = f" [{'#' * filled}{'·' * (24 - filled)}] {100 * min(done / total, 1.0):3.0f} %"
            elif done:
                bar = f" {done:,.0f}"
            print(f"\r\x1b[2K{phase}{bar}  {detail}", end="", file=sys.stderr, flush=True)
            self._last_time = now
        self._last_phase = phase

    def close(self) -> None:
        """End the line, so that what follows starts on a new one."""
        if self._active and self._last_phase:
            print(file=sys.stderr, flush=True)
