"""Charts of the parts of a network, of the speed and of the machine: which curves stand together and what they say.

Not here: drawing them (`live_plot.py`), choosing one (`run_charts.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from llm_core.ui.live_plot import Guide, Look

# More lines than these are not told apart.
MAXIMUM_PARTS = 16
USUAL_UPDATE_RATIO = 1e-3
_EMBEDDING, _HEAD = "embedding", "head"
_END_COLORS = {_EMBEDDING: ("#009E73", "#3CC29B"), _HEAD: ("#D55E00", "#F0884A")}
# From the first layer to the last, on paper and on ink.
_DEPTH_COLORS = (("#86BBE0", "#08306B"), ("#2F6C99", "#D2E9FF"))
_NUMBER = re.compile(r"\d+")
_TWO_COLORS = (("#0072B2", "#56B4E9"), ("#D55E00", "#F0884A"))


@dataclass(frozen=True)
class Chart:
    """One picture: its curves, what good looks like, and how it is drawn."""

    keys: list[str]
    caption: str
    look: Look | None = None
    guides: Sequence[Guide] = field(default_factory=tuple[Guide, ...])
    may_be_log: bool = True


def parts_in_order(names: Sequence[str]) -> list[str]:
    """Parts of a network from its input to its output: embedding, layers by number, an encoder before a decoder, head."""

    def place(name: str) -> tuple[bool, bool, bool, int]:
        number = _NUMBER.search(name)
        return (name != _EMBEDDING, name == _HEAD, name.startswith("decoder"), int(number[0]) if number else 0)

    return sorted(names, key=place)


def layer_chart(known_keys: Sequence[str], measure: str) -> Chart | None:
    """A line for each part of the network, coloured by depth; None while nothing was measured.

    Args:
        measure: "update_ratio" or "gradient_norm".
    """
    prefix = f"{measure}/"
    parts = parts_in_order([key.removeprefix(prefix) for key in known_keys if key.startswith(prefix)])
    if not parts:
        return None
    shown = _evenly(parts, MAXIMUM_PARTS)
    left_out = f" {len(shown)} of {len(parts)} parts are shown." if len(shown) < len(parts) else ""
    depth = "One line for each part of the network; the blues go from the first layer to the last."
    if measure == "update_ratio":
        caption = (
            f"{depth} From 0.001 to 0.02 is usual at the peak of the learning rate: a step changes a thousandth to a fiftieth "
            "of the weights. Far below, a part hardly learns; above, it is thrown about."
        )
        title, usual = "length of the update ÷ length of the weights", [_usual_guide()]
    else:
        caption = (
            f"{depth} Lines that stay together are healthy. First layers far below the last ones hardly learn (vanishing "
            "gradients); lines that shoot up explode."
        )
        title, usual = "gradient norm of each part", []
    colors = {f"{prefix}{part}": color for part, color in zip(shown, _colors(shown), strict=True)}
    look = Look(title, ".0~e", ".3~g", "", colors, {f"{prefix}{part}": part for part in shown}, decades=True)
    return Chart([f"{prefix}{part}" for part in shown], caption + left_out, look, usual)


def speed_charts(known_keys: Sequence[str]) -> list[Chart]:
    """Tokens per second, and the share of the machine's full speed where it is known."""
    steady = "Level is healthy. Evaluation, samples and the first step, which warms up, are left out."
    if "mfu" not in known_keys:
        steady += " The share of full speed (MFU) is drawn for devices whose peak is known."
    charts = [Chart(["tokens_per_second"], steady)]
    if "mfu" in known_keys:
        caption = (
            "MFU: the arithmetic that training needs, as a share of what the device can do at best. "
            "30 % to 50 % is good on a large GPU; small models stay far below."
        )
        charts.append(Chart(["mfu"], caption, Look("share of full speed (MFU)", ".0~%", ".1~%"), may_be_log=False))
    return charts


def device_charts(known_keys: Sequence[str]) -> list[Chart]:
    """How busy the machine was while the run went on; what it does not tell is left out."""
    gb = Look("bytes", ".3~s", ".3~s", "B", labels={"device/gpu_memory_bytes": "GPU"})
    wanted = [
        (
            ("device/cpu_percent", "device/gpu_percent"),
            "A device that is less than busy waits for something: for data, or for steps that are too small for it. "
            "The processor's figure is of all cores.",
            Look("busy", ".0f", ".3~g", " %"),
        ),
        (
            ("device/memory_bytes", "device/gpu_memory_bytes"),
            "Level is healthy. What grows without end runs out one day.",
            gb,
        ),
        (("device/gpu_celsius",), "Above about 85 °C GPUs slow down.", Look("GPU temperature", ".0f", ".3~g", " °C")),
        (
            ("device/gpu_watts",),
            "A GPU that is well used draws near its limit.",
            Look("GPU power", ".0f", ".3~g", " W"),
        ),
        (
            ("device/disk_free_bytes",),
            "Checkpoints need room: the run pauses before the disk is full.",
            Look("free on disk", ".3~s", ".3~s", "B"),
        ),
    ]
    charts: list[Chart] = []
    for keys, caption, look in wanted:
        present = [key for key in keys if key in known_keys]
        if present:
            colors = dict(zip(present, _TWO_COLORS, strict=False)) if len(present) > 1 else None
            charts.append(Chart(present, caption, _colored(look, colors), may_be_log=False))
    return charts


def _usual_guide() -> Guide:
    return {"value": USUAL_UPDATE_RATIO, "label": "usual: 0.001 and more"}


def _colored(look: Look, colors: dict[str, tuple[str, str]] | None) -> Look:
    return Look(look.y_label, look.tick, look.hover, look.suffix, colors, look.labels, look.decades)


def _colors(parts: Sequence[str]) -> list[tuple[str, str]]:
    """For each part its colour in the light and in the dark theme."""
    layers = [part for part in parts if part not in _END_COLORS]
    colors: list[tuple[str, str]] = []
    for part in parts:
        if part in _END_COLORS:
            colors.append(_END_COLORS[part])
        else:
            share = layers.index(part) / max(1, len(layers) - 1)
            light, dark = (_mixed(first, last, share) for first, last in _DEPTH_COLORS)
            colors.append((light, dark))
    return colors


def _mixed(first: str, last: str, share: float) -> str:
    """A colour between two."""
    channels = [
        round((1 - share) * int(first[at : at + 2], 16) + share * int(last[at : at + 2], 16)) for at in (1, 3, 5)
    ]
    return "#" + "".join(f"{channel:02X}" for channel in channels)


def _evenly(parts: Sequence[str], count: int) -> list[str]:
    if len(parts) <= count:
        return list(parts)
    return [parts[round(index * (len(parts) - 1) / (count - 1))] for index in range(count)]
