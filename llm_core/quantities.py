"""How quantities are spoken: three significant digits, thousands separated, units always, durations as people say them.

Used by the command line and the pages alike, so that a number reads the same everywhere. Free of everything but the standard library.
"""

from __future__ import annotations

import math


def three_digits(value: float) -> str:
    """1.93, 0.00314, 31,200."""
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if exponent >= 3:
        return f"{round(value, 2 - exponent):,.0f}"
    return f"{value:.{max(0, 2 - exponent)}f}"


def large(value: float) -> str:
    """Counts in the unit that keeps them short: 812,544 as 813 thousand, 124,439,808 as 124 million."""
    for limit, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million"), (1e4, "thousand")):
        if value >= limit:
            divisor = limit if limit > 1e4 else 1e3
            return f"{three_digits(value / divisor)} {word}"
    return f"{value:,.0f}"


def duration(seconds: float) -> str:
    """0:31 below an hour, 2 h 05 min above."""
    whole = max(0, round(seconds))
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(number_of_bytes: float) -> str:
    """Bytes in the unit that keeps the number short (powers of 1000)."""
    for unit in ("B", "kB", "MB", "GB"):
        if number_of_bytes < 1000:
            return f"{three_digits(number_of_bytes)} {unit}"
        number_of_bytes /= 1000
    return f"{three_digits(number_of_bytes)} TB"


def loss_faces(nats: float, bits_per_byte: float | None, token_word: str) -> str:
    """A loss with its other faces: nats, bits per byte, and as how many choices it feels."""
    bits = "" if bits_per_byte is None else f" · {three_digits(bits_per_byte)} bits/byte"
    choices = math.exp(nats) if nats < 20 else math.inf
    return f"{three_digits(nats)} nats{bits} · as unsure as choosing among {three_digits(choices)} {token_word}"
