"""The live chart of one run or several: a component that fetches its own points and keeps zoom, node and theme.

The page names runs and curves; the script (`live_plot.js`) polls `/api/runs/{id}/series` and needs no rerun for new points.
Not here: reading and thinning points (`llm_core.web.series`), still pictures (`llm_core.figures`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

from streamlit.components.v2 import component

from llm_core.config.errors import UserError
from llm_core.config.objective_words import objective_words
from llm_core.web.series import is_exact
from llm_core.web.vendor import plotly_path

XAxis = Literal["step", "tokens", "seconds"]

_X_LABELS = {"step": "step", "tokens": "tokens trained on", "seconds": "training time in seconds"}
_LOSS_LABELS = {"nats": "loss, nats per token", "perplexity": "perplexity", "bits/byte": "loss, bits per byte"}
_LABELS = {
    "train_loss": "training",
    "val_loss": "validation",
    "bits_per_byte": "bits per byte",
    "learning_rate": "learning rate",
    "grad_norm": "gradient norm",
    "tokens_per_second": "tokens per second",
}


class PlottedRun(TypedDict):
    """One run of a chart. `state` restarts the polling of a run that was at its end; `bytes_per_token` is for bits/byte."""

    id: str
    name: str
    color: str
    dash: NotRequired[str]
    state: NotRequired[str]
    bytes_per_token: NotRequired[float | None]


class Guide(TypedDict):
    """A horizontal line: its value in the unit that the chart shows, and what it means."""

    value: float
    label: str


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
    x_label: str = "",
    height: int = 380,
    bytes_per_token: float | None = None,
) -> None:
    """Draw curves that grow while the runs train.

    Args:
        runs: what to draw, in the colour and dash of each run; with several, each curve is named at its end.
        keys: metric keys; those measured over a whole split are marked points, never smoothed.
        key: Streamlit key; the chart keeps its zoom as long as it stays.
        unit: "nats", "perplexity" or "bits/byte", for losses; other curves have their own.
        smooth: weight of the moving average, 0 (the stored values) to 1; the raw values stay visible as a band.
        guides: levels to compare with.
        x_label: what the steps are, where they are no steps.
        height: pixels.
        bytes_per_token: for runs that do not name their own.

    Raises:
        UserError: bits per byte are asked for and a run does not say how many bytes its tokens have.
    """
    plotted = [_plotted(run, bytes_per_token) for run in runs]
    if unit == "bits/byte" and any(key.endswith("_loss") for key in keys):
        for run in plotted:
            if not run["bytes_per_token"]:
                remedy = "Show nats or perplexity instead"
                raise UserError(
                    "Bits per byte need the bytes of a token, which are not known", value=run["name"], remedy=remedy
                )
    first = keys[0]
    is_loss = first.endswith("_loss")
    _component()(
        key=key,
        data={
            "key": key,
            "plotly": plotly_path(),
            "runs": plotted,
            "keys": list(keys),
            "x": x,
            "unit": unit,
            "smooth": round(smooth, 3),
            "log": log,
            "guides": list(guides),
            "height": height,
            "exact": [name for name in keys if is_exact(name)],
            "labels": {name: _label(name) for name in keys},
            "x_label": x_label or _X_LABELS[x],
            "y_label": _loss_label(first, unit) if is_loss else _label(first),
        },
    )


def _plotted(run: PlottedRun, bytes_per_token: float | None) -> dict[str, Any]:
    return {
        "id": run["id"],
        "name": run["name"],
        "color": run["color"],
        "dash": run.get("dash") or "solid",
        "state": run.get("state", ""),
        "bytes_per_token": run.get("bytes_per_token") or bytes_per_token,
    }


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
    script = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
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
.gb-line { min-height: 1.2rem; font: 0.8rem var(--st-font); color: var(--st-text-color); opacity: 0.75; text-align: right; }
.gb-line[data-state="problem"] { opacity: 1; color: var(--st-red-text-color); }
"""
