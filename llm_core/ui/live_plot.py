"""The live chart of one run or several: a component that fetches its own points and keeps zoom, node and theme.

The page names runs and curves; the script (`live_plot_picture.js` and `live_plot.js`, joined) polls `/api/runs/{id}/series` and needs
no rerun for new points. Not here: reading and thinning points (`llm_core.web.series`), still pictures (`llm_core.figures`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

import streamlit as st
from streamlit.components.v2 import component

from llm_core.config.errors import UserError
from llm_core.config.objective_words import objective_words
from llm_core.web.series import is_exact
from llm_core.web.vendor import plotly_path

XAxis = Literal["step", "tokens", "epochs", "seconds", "flops"]


@dataclass(frozen=True)
class _Axis:
    """What the route is asked for, and how the axis is labelled; formats are d3's."""

    asked: str
    label: str
    tick: str = ","
    hover: str = ",d"


_AXES: Mapping[XAxis, _Axis] = {
    "step": _Axis("step", "step"),
    "tokens": _Axis("tokens", "tokens trained on", tick="~s"),
    "epochs": _Axis("tokens", "epochs: how often the text was read", hover=".3~f"),
    "seconds": _Axis("seconds", "training time in seconds", hover=",.1f"),
    "flops": _Axis("tokens", "floating-point operations", tick=".1~e", hover=".3~e"),
}
_LOSS_LABELS = {"nats": "loss, nats per token", "perplexity": "perplexity", "bits/byte": "loss, bits per byte"}
_LABELS = {
    "train_loss": "training",
    "val_loss": "validation",
    "bits_per_byte": "bits per byte",
    "learning_rate": "learning rate",
    "grad_norm": "gradient norm",
    "tokens_per_second": "tokens per second",
    "mfu": "share of the machine's full speed (MFU)",
    "device/cpu_percent": "processor",
    "device/gpu_percent": "GPU",
    "device/memory_bytes": "memory of this run",
    "device/gpu_memory_bytes": "GPU memory",
    "device/disk_free_bytes": "free on disk",
    "device/gpu_celsius": "GPU temperature",
    "device/gpu_watts": "GPU power",
}


# Joined in this order: what a chart looks like, then what it does.
SCRIPTS = ("live_plot_picture.js", "live_plot.js")


class PlottedRun(TypedDict):
    """One run of a chart. `state` restarts the polling of a run that was at its end; `bytes_per_token` is for bits/byte,
    `tokens_per_epoch` and `flops_per_token` for those axes."""

    id: str
    name: str
    color: str
    dash: NotRequired[str]
    state: NotRequired[str]
    bytes_per_token: NotRequired[float | None]
    tokens_per_epoch: NotRequired[float | None]
    flops_per_token: NotRequired[float | None]


class Guide(TypedDict):
    """A horizontal line: its value in the unit that the chart shows, and what it means."""

    value: float
    label: str


class Band(TypedDict):
    """A pale area behind the curves: for each place on the axis the lowest and the highest value, losses in nats."""

    x: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


@dataclass(frozen=True)
class Look:
    """How the vertical axis and the curves look where the keys alone do not say it."""

    y_label: str = ""
    tick: str = ""
    """A d3 format of the axis, as `.0%`; empty leaves it to Plotly."""
    hover: str = ".4~g"
    suffix: str = ""
    colors: Mapping[str, tuple[str, str]] | None = None
    """Of a curve, in the light and in the dark theme; each curve then carries its name at its end."""
    labels: Mapping[str, str] | None = None
    decades: bool = False
    """Label only powers of ten of a logarithmic axis."""


def live_plot(
    runs: Sequence[PlottedRun],
    keys: Sequence[str] = ("train_loss", "val_loss"),
    *,
    key: str,
    x: XAxis = "step",
    unit: str = "nats",
    smooth: float = 0.0,
    log: bool = False,
    guides: Sequence[Guide] = (),
    band: Band | None = None,
    x_label: str = "",
    look: Look | None = None,
    height: int = 380,
    bytes_per_token: float | None = None,
    picked: int | None = None,
    on_pick: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Draw curves that grow while the runs train. Gives back what the chart was told, for `chart_page.py`.

    Args:
        runs: what to draw, in the colour and dash of each run; with several, each curve is named at its end.
        keys: metric keys; those measured over a whole split are marked points, never smoothed.
        key: Streamlit key; the chart keeps its zoom as long as it stays.
        x: what stands along the chart; epochs and FLOPs need the factor of each run.
        unit: "nats", "perplexity" or "bits/byte", for losses; other curves have their own.
        smooth: weight of the moving average, 0 (the stored values) to 1; the raw values stay visible as a band.
        guides: levels to compare with.
        band: what the curves are compared with along the way, on the axis shown.
        x_label: what the steps are, where they are no steps.
        height: pixels.
        bytes_per_token: for runs that do not name their own.
        picked: a step that is marked.
        on_pick: takes the step of a point that was clicked, before the page runs again.

    Raises:
        UserError: bits per byte, epochs or FLOPs are asked for and a run does not say what they need.
    """
    look = look or Look()
    plotted = [_plotted(run, x, bytes_per_token) for run in runs]
    if unit == "bits/byte" and any(key.endswith("_loss") for key in keys):
        for run in plotted:
            if not run["bytes_per_token"]:
                remedy = "Show nats or perplexity instead"
                raise UserError(
                    "Bits per byte need the bytes of a token, which are not known", value=run["name"], remedy=remedy
                )
    first = keys[0]
    axis = _AXES[x]
    data = {
        "key": key,
        "plotly": plotly_path(),
        "runs": plotted,
        "keys": list(keys),
        "x": axis.asked,
        "axis": x,
        "unit": unit,
        "smooth": round(smooth, 3),
        "log": log,
        "guides": list(guides),
        "band": band,
        "height": height,
        "exact": [name for name in keys if is_exact(name)],
        "labels": {name: (look.labels or {}).get(name) or _label(name) for name in keys},
        "colors": {name: list(pair) for name, pair in (look.colors or {}).items()},
        "x_label": x_label or axis.label,
        "x_tick": axis.tick,
        "x_hover": axis.hover,
        "y_label": look.y_label or (_loss_label(first, unit) if first.endswith("_loss") else _label(first)),
        "y_tick": look.tick,
        "y_hover": look.hover,
        "y_suffix": look.suffix,
        "decades": look.decades,
        "picked": picked,
        "picks": on_pick is not None,
    }
    if on_pick is None:
        _component()(key=key, data=data)
        return data

    def clicked() -> None:
        step = st.session_state[key]["picked"]
        if isinstance(step, int) and step >= 0:
            on_pick(step)

    _component()(key=key, data=data, on_picked_change=clicked)
    return data


def _plotted(run: PlottedRun, x: XAxis, bytes_per_token: float | None) -> dict[str, Any]:
    return {
        "id": run["id"],
        "name": run["name"],
        "color": run["color"],
        "dash": run.get("dash") or "solid",
        "state": run.get("state", ""),
        "bytes_per_token": run.get("bytes_per_token") or bytes_per_token,
        "scale": _scale(run, x),
    }


def _scale(run: PlottedRun, x: XAxis) -> float:
    """By what the axis that the route knows is multiplied."""
    if x not in ("epochs", "flops"):
        return 1.0
    factor = run.get("tokens_per_epoch") if x == "epochs" else run.get("flops_per_token")
    if not factor:
        what = "Epochs need the length of the text" if x == "epochs" else "FLOPs need the operations of a token"
        raise UserError(f"{what}, which is not known", value=run["name"], remedy="Show tokens instead")
    return 1 / factor if x == "epochs" else float(factor)


def _label(key: str) -> str:
    if key in _LABELS:
        return _LABELS[key]
    if key.endswith("_loss"):
        return "validation" if "_val_" in key else "training"
    return "share found" if key.endswith("_accuracy") else key.replace("_", " ")


def _loss_label(key: str, unit: str) -> str:
    """What the axis of a loss says: an objective that is no code length has an axis of its own."""
    own = {words.train_key: words.axis_title for words in objective_words().values()}
    return own.get(key, _LOSS_LABELS[unit]) if unit == "nats" else _LOSS_LABELS[unit]


@cache
def _component() -> Any:
    """Registered once a process. Styles are not isolated, because Plotly puts its own into the document's head."""
    script = "\n".join(Path(__file__).with_name(name).read_text(encoding="utf-8") for name in SCRIPTS)
    return component("glassbox_live_plot", html=_HTML, css=_CSS, js=script, isolate_styles=False)


_HTML = """
<div class="gb-box" role="img" tabindex="0" aria-label="Chart">
  <div class="gb-plot"></div>
  <div class="gb-phases" role="status" hidden><strong></strong><span></span><small></small></div>
</div>
<div class="gb-line" role="status"></div>
"""

_CSS = """
.gb-box { position: relative; width: 100%; border-radius: var(--st-base-radius); }
.gb-box:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 2px; }
.gb-phases { position: absolute; inset: 0; display: flex; flex-direction: column; align-items: center; justify-content: center;
  gap: 0.5rem; padding: 1rem; text-align: center; color: var(--st-text-color); font-family: var(--st-font);
  border: 1px dashed var(--st-border-color); border-radius: var(--st-base-radius); }
.gb-phases[hidden] { display: none; }
.gb-phases strong { font-size: 1.15rem; font-weight: 600; }
.gb-phases span, .gb-phases small { opacity: 0.75; font-size: 0.9rem; }
.gb-line { min-height: 1.2rem; margin-top: -1.2rem; position: relative; pointer-events: none; font: 0.8rem var(--st-font);
  color: var(--st-text-color); opacity: 0.75; text-align: right; }
.gb-line[data-state="problem"] { opacity: 1; color: var(--st-red-text-color); }
"""
