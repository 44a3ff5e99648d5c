"""The card of Train: everything that follows from the settings, true at once; the speed as soon as it is measured.

Not here: the figures themselves (`llm_core.backend.estimates`), what stands in the way (`llm_core.backend.readiness`).
"""

from __future__ import annotations

import time
from typing import Literal

import streamlit as st

from llm_core.backend.estimates import Estimate, estimate_run, speed_key
from llm_core.backend.probing import Measurement, end_measurement, measurement_of, start_measurement
from llm_core.config.errors import UserError
from llm_core.config.run import RunConfig
from llm_core.figures.architecture import architecture, describe
from llm_core.figures.curves import schedule
from llm_core.models.families import families
from llm_core.quantities import duration, large, size, three_digits
from llm_core.training.schedules import learning_rate
from llm_core.ui.guards import may, require
from llm_core.ui.network import network_of
from llm_core.ui.refreshing import refreshed
from llm_core.ui.states import literal
from llm_core.workspace.paths import Workspace

_TICK_SECONDS = 1.0
# A configuration has to stay the same for so long before it is measured, so that typing starts no measurement.
_REST_SECONDS = 1.5
_PROBE, _RESTING = "train-probe", "train-resting"
_TOKENS_PER_PARAMETER = 20
_HOW = {
    "measured": "Measured on this machine.",
    "measuring": "By rule of thumb; measuring…",
    "possible": "By rule of thumb; measuring…",
    "unmeasured": "By rule of thumb; nobody has measured it on this machine yet.",
    "busy": "By rule of thumb: this machine is busy with other work, which would falsify a measurement.",
    "training": "By rule of thumb: measuring would slow down the run that is training. This one would wait its turn.",
    "too large": "By rule of thumb: measuring this model here would take minutes.",
    "failed": "By rule of thumb: no measurement came about just now.",
    "counted": "By rule of thumb: counting is quick, and nothing has to warm up.",
}


def show_network(config: RunConfig, vocabulary_size: int) -> None:
    """The diagram."""
    network = network_of(config.model, vocabulary_size, config.data.context_length)
    st.plotly_chart(
        architecture(network, dark=st.context.theme.type == "dark"),
        key="network",
        config={"displayModeBar": False},
        theme=None,
        alt=describe(network),
    )


def show_figures(workspace: Workspace, config: RunConfig) -> None:
    """Parameters, memory, speed, time and what they mean; looks again each second while the speed is being measured."""
    state = measurement_of(workspace, config)
    waits = state in ("measuring", "possible") and may("measure")

    @refreshed(_TICK_SECONDS if waits else None)
    def figures() -> None:
        now = measurement_of(workspace, config) if waits else state
        if now == "possible" and may("measure"):
            _measure_when_at_rest(workspace, config)
        _tiles(estimate_run(workspace, config), now if now != "possible" or may("measure") else "unmeasured")
        if now != state and now not in ("measuring", "possible"):
            st.rerun()

    figures()


def make_room() -> None:
    """End this session's measurement; the run that starts has the right of way."""
    probe = st.session_state.pop(_PROBE, None)
    if probe is not None and may("measure"):
        end_measurement(*probe)


def _measure_when_at_rest(workspace: Workspace, config: RunConfig) -> None:
    key = speed_key(config, 0)
    seen, since = st.session_state.get(_RESTING, ("", 0.0))
    if seen != key:
        st.session_state[_RESTING] = (key, time.monotonic())
        make_room()  # a measurement of the settings before these
    elif time.monotonic() - since >= _REST_SECONDS:
        require("measure")
        probe = start_measurement(workspace, config)
        if probe is not None:
            st.session_state[_PROBE] = (workspace, probe)


def _tiles(estimate: Estimate, state: Measurement | Literal["unmeasured"]) -> None:
    with st.container(horizontal=True, gap="small"):
        title = "n-grams, at most" if estimate.parameters.is_upper_bound else "Parameters"
        st.metric(title, large(estimate.parameters.total), width="content")
        st.metric("Memory", size(estimate.memory.total_bytes), width="content")
        st.metric("Speed", f"{three_digits(estimate.tokens_per_second)} tokens/s", width="content")
        if estimate.seconds is not None:
            st.metric("Time", duration(estimate.seconds), width="content")
    between = ""
    if estimate.seconds_low is not None and estimate.seconds_high is not None:
        between = f"Time between {duration(estimate.seconds_low)} and {duration(estimate.seconds_high)}. "
    st.caption(literal(f"{between}{_HOW[state]} To use it afterwards takes {size(estimate.inference_bytes)}."))


def show_meaning(estimate: Estimate) -> None:
    """Tokens against parameters, epochs, vocabulary, in words."""
    lines: list[str] = []
    if estimate.flops_per_token:
        lines.append(f"Training takes {large(estimate.flops_per_token)} floating-point operations for each token.")
    if estimate.tokens is not None and estimate.steps is not None:
        epochs = "" if estimate.epochs is None else f", the text {three_digits(estimate.epochs)} times"
        lines.append(f"{estimate.steps:,} steps read {large(estimate.tokens)} tokens{epochs}.")
    if not estimate.vocabulary_is_known:
        lines.append(f"The text has not been read yet: {estimate.vocabulary_size:,} different characters are a guess.")
    ratio = estimate.tokens_per_parameter
    if ratio is not None:
        lines.append(f"The text has {three_digits(ratio)} tokens for each parameter. {_ratio_words(ratio)}")
    for line in lines:
        st.markdown(literal(line))


def _ratio_words(ratio: float) -> str:
    usual = f"About {_TOKENS_PER_PARAMETER} is compute-optimal for large models"
    if ratio < _TOKENS_PER_PARAMETER / 4:
        return f"{usual}; with far fewer, watch the validation loss: it rises once the text is learned by heart."
    if ratio < 4 * _TOKENS_PER_PARAMETER:
        return f"{usual}, so size and text fit together."
    return f"{usual}; there is text enough for a larger model."


def show_problems(blocking: list[UserError], warnings: list[UserError]) -> None:
    """Ready, or what is missing, or what is unwise."""
    for problem in blocking:
        st.error(literal(str(problem)), icon=":material/block:")
    for warning in warnings:
        st.warning(literal(f"{warning} You can start anyway."), icon=":material/warning:")
    if not blocking and not warnings:
        st.badge("Ready", icon=":material/check:", color="green")


def show_schedule(config: RunConfig, steps: int | None) -> None:
    """The learning rate over the run, where its end is known."""
    if not steps or families()[config.model.kind].is_counted:
        return
    peak = config.optimizer.learning_rate
    marks = [max(1, steps * part // 200) for part in range(201)]
    rates = [learning_rate(step, steps, config.schedule, peak) for step in marks]
    st.plotly_chart(
        schedule(marks, rates, dark=st.context.theme.type == "dark"),
        key="schedule",
        config={"displayModeBar": False},
        theme=None,
        alt=f"Learning rate: {rates[0]:.2g} at first, {max(rates):.2g} at its peak, {rates[-1]:.2g} at the end.",
    )
