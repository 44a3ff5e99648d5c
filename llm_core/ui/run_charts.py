"""The charts of one run: which curve, along what, in which unit, and below it a line that says what good looks like.

Not here: drawing (`live_plot.py`), the verdict (`run_verdict.py`), parts of the network and the machine (`part_charts.py`).
"""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from llm_core.backend.verdict import SHOWN_ORDER
from llm_core.ui.chart_page import ShownChart
from llm_core.ui.guides import guides
from llm_core.ui.live_plot import Band, Look, PlottedRun, XAxis, live_plot
from llm_core.ui.part_charts import Chart, device_charts, layer_chart, speed_charts
from llm_core.ui.run_view import RunView
from llm_core.ui.states import literal
from llm_core.workspace.metrics_read import last_tried_step, metric_keys
from llm_core.workspace.runs import RunSummary

_AXES: dict[XAxis, str] = {
    "step": "steps",
    "tokens": "tokens",
    "epochs": "epochs",
    "seconds": "training time",
    "flops": "FLOPs",
}
LAYERS, SPEED, DEVICE = "Layers", "Speed", "Device"
_MEASURES = {"update_ratio": "Update ratio", "gradient_norm": "Gradient norm"}
PICK_HINT = "Click a point or a mark to look at its step."


def show_charts(
    view: RunView, summary: RunSummary, picked: int | None, on_pick: Callable[[int], None]
) -> list[ShownChart]:
    """The controls and the charts they choose; what they show.

    Args:
        picked: the step that is looked at, marked in every chart.
        on_pick: takes the step of a point that was clicked.
    """
    names = _curve_names(view)
    with st.container(horizontal=True, vertical_alignment="center"):
        shown = st.segmented_control(
            "Curve", names, default="Loss", required=True, label_visibility="collapsed", key="curve", wrap=True
        )
        unit, measure = "nats", "update_ratio"
        if shown == "Loss":
            unit = st.segmented_control(
                "Unit", _units(view), default="nats", required=True, label_visibility="collapsed", key="unit"
            )
        elif shown == LAYERS:
            measure = st.segmented_control(
                "Measure",
                list(_MEASURES),
                format_func=_MEASURES.__getitem__,
                default="update_ratio",
                required=True,
                label_visibility="collapsed",
                key="layer-measure",
            )
        with st.popover("View", icon=":material/tune:"):
            axis, smooth, is_log = _view_settings(view, shown)
            if not view.is_counted and summary.steps:
                _step_box(view, last_tried_step(view.folder), on_pick)
    charts = _charts(view, summary, shown, unit, measure)
    if not charts:
        st.caption("This run has measured nothing of this kind, or nothing yet.")
    told: list[ShownChart] = []
    for place, chart in enumerate(charts):
        data = live_plot(
            runs=[_plotted(view)],
            keys=chart.keys,
            x=axis,
            unit=unit,
            smooth=0.0 if view.is_counted else smooth,
            log=is_log and chart.may_be_log,
            guides=chart.guides,
            band=_band(view, summary, axis) if shown == "Loss" else None,
            x_label="order: tokens looked at" if view.is_counted and axis == "step" else "",
            look=chart.look,
            height=380 if len(charts) == 1 else 220,
            bytes_per_token=view.levels.bytes_per_token if view.levels else None,
            picked=picked,
            on_pick=None if view.is_counted else on_pick,
            key=f"monitor-{view.record.id}" + (f"-{place}" if place else ""),
        )
        st.caption(literal(chart.caption))
        told.append(ShownChart(data, chart.caption.replace(PICK_HINT, "").strip()))
    return told


def _curve_names(view: RunView) -> list[str]:
    if view.is_counted:
        return ["Loss"]
    accuracy = ["Accuracy"] if view.words.accuracy_key else []
    return ["Loss", *accuracy, "Rate", "Gradient", LAYERS, SPEED, DEVICE]


def _units(view: RunView) -> list[str]:
    return ["nats", "perplexity", *(["bits/byte"] if view.levels and view.words.is_code_length else [])]


def _view_settings(view: RunView, shown: str) -> tuple[XAxis, float, bool]:
    """How the picture is drawn: axis, smoothing, scale."""
    axes: list[XAxis] = [
        axis
        for axis in _AXES
        if not (axis == "epochs" and view.tokens_per_epoch is None)
        and not (axis == "flops" and view.flops_per_token is None)
    ]
    axis: XAxis = st.segmented_control(
        "Along", axes, format_func=_AXES.__getitem__, default="step", required=True, key="axis"
    )
    smooth = st.slider(
        "Smoothing", 0.0, 0.99, 0.6, 0.01, key="smooth", help="The values as measured stay visible as a thin band."
    )
    # Layers differ by powers of ten, so that they begin on a logarithmic scale.
    is_layers = shown == LAYERS
    is_log = st.toggle("Logarithmic scale", value=is_layers, key="log-layers" if is_layers else "log")
    return axis, smooth, is_log


def _step_box(view: RunView, last_step: int, on_pick: Callable[[int], None]) -> None:
    """The same as a click in the chart, for the keyboard."""
    key = f"look-at-step-{view.record.id}"

    def chosen() -> None:
        step = st.session_state[key]
        st.session_state[key] = None  # a run that is taken back has fewer steps than were asked for
        if step is not None:
            on_pick(int(step))

    hint = "as a click in the chart"
    st.number_input("Look at step", 1, max(1, last_step), value=None, placeholder=hint, key=key, on_change=chosen)


def _charts(view: RunView, summary: RunSummary, shown: str, unit: str, measure: str) -> list[Chart]:
    words = view.words
    if shown == "Loss":
        return [_loss_chart(view, summary, unit)]
    if shown == "Accuracy":
        caption = "How often the likeliest token is the right one, on text that is never trained on: higher is better."
        return [Chart([words.accuracy_key], f"{caption} {PICK_HINT}", Look(tick=".0%"))]
    if shown == "Rate":
        caption = "How far a step goes. It rises while warming up and then follows its schedule; a change is marked."
        return [Chart(["learning_rate"], caption)]
    if shown == "Gradient":
        clip = view.config.optimizer.gradient_clip
        clipped = f"What is longer than {clip:g} is clipped to it. " if clip > 0 else ""
        caption = "How strongly the batch pulls at the weights. Level or slowly falling is healthy, a jump to many times as much is not."
        return [Chart(["grad_norm"], f"{caption} {clipped}{PICK_HINT}")]
    known = metric_keys(view.folder)
    if shown == LAYERS:
        chart = layer_chart(known, measure)
        return [] if chart is None else [chart]
    return speed_charts(known) if shown == SPEED else device_charts(known)


def _loss_chart(view: RunView, summary: RunSummary, unit: str) -> Chart:
    words = view.words
    train_loss = summary.train_loss if words.is_code_length else None
    shown_guides = guides(view.levels, unit, words.kind, train_loss) if view.levels else []
    if view.is_counted:
        return Chart([words.train_key, words.validation_key], "Lower is better.", guides=shown_guides)
    parts = ["Lower is better. Dots are validation, on text that is never trained on."]
    if view.levels is not None and view.levels.ngrams is not None:
        parts.append(
            f"A {SHOWN_ORDER}-gram guesses each token by counting what followed the {SHOWN_ORDER - 1} before it."
        )
    parts.append(PICK_HINT)
    if view.band is not None:
        names = view.band.names
        who = names[0] if len(names) == 1 else f"{len(names)} earlier runs of this text ({', '.join(names[:3])}"
        more = "" if len(names) == 1 else (", …)" if len(names) > 3 else ")")
        shape = "Pale line" if len(names) == 1 else "Pale area"
        parts.append(f"{shape}: validation of {who}{more} after as many tokens.")
    return Chart([words.train_key, words.validation_key], " ".join(parts), guides=shown_guides)


def _band(view: RunView, summary: RunSummary, axis: XAxis) -> Band | None:
    """The range of earlier runs on this axis; time does not compare between machines."""
    band = view.band
    if band is None or axis == "seconds":
        return None
    factor = {
        "step": 1 / view.tokens_per_step(summary),
        "tokens": 1.0,
        "epochs": 1 / (view.tokens_per_epoch or 1),
        "flops": view.flops_per_token or 1,
    }[axis]
    return {"x": [tokens * factor for tokens in band.tokens], "low": list(band.low), "high": list(band.high)}


def _plotted(view: RunView) -> PlottedRun:
    record = view.record
    return {
        "id": record.id,
        "name": record.name,
        "color": record.color,
        "dash": record.dash,
        "state": record.state,
        "tokens_per_epoch": view.tokens_per_epoch,
        "flops_per_token": view.flops_per_token,
    }
