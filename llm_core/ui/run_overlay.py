"""Several runs in one chart: laid over each other, or by a setting as mean and band; what their seeds can tell; a sweep's picture.

Not here: tables (`run_comparison.py`), the arithmetic (`llm_core.backend.run_groups`, `seed_comparison.py`, `mean_curves.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import streamlit as st

from llm_core.backend.mean_curves import mean_band
from llm_core.backend.run_groups import (
    Result,
    differing_settings,
    group_labels,
    grouped_but_for_seed,
    grouped_by,
    seed_verdicts_of,
    setting_labels,
    sweep_of,
)
from llm_core.config.objective_words import ObjectiveWords, objective_words
from llm_core.figures.group_bands import Band, group_bands
from llm_core.figures.sweep import SweepAxis, parallel_coordinates
from llm_core.models.families import families
from llm_core.ui.live_plot import Guide, PlottedRun, XAxis, live_plot
from llm_core.ui.run_summaries import ListedRun
from llm_core.ui.states import literal
from llm_core.ui.still_pictures import still_picture
from llm_core.web.series import is_exact
from llm_core.workspace.job_record import FINAL, FINISHED
from llm_core.workspace.metrics_read import PointArrays, events, few_points, read_points, segments, surviving
from llm_core.workspace.paths import Workspace
from llm_core.workspace.runs import run_folder

MOST_CURVES = 20
MOST_SENTENCES = 6
MOST_AXES = 8
_NOISY_POINTS = 300
_X_WORDS: dict[XAxis, str] = {"step": "steps", "tokens": "tokens", "seconds": "time"}
_X_TITLES: dict[XAxis, str] = {
    "step": "step",
    "tokens": "tokens trained on",
    "seconds": "training time in seconds",
}
_NOT_GROUPED, _BY_SEED = "", "seed"
_CHANGES = ("changed", "rolled_back")


@dataclass(frozen=True)
class Curve:
    """What can be laid over each other."""

    title: str
    key: str
    y_title: str
    caption: str


def show_overlay(workspace: Workspace, runs: Sequence[ListedRun]) -> None:
    """The controls, the chart, and what may be said.

    Args:
        runs: two or more, the best first.
    """
    curves = _curves(runs)
    choices = _groupings(runs)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        title = st.segmented_control(
            "Curve", list(curves), default=next(iter(curves)), required=True, key="runs-curve", wrap=True
        )
        x: XAxis = st.segmented_control(
            "Over", list(_X_WORDS), default="step", required=True, format_func=lambda name: _X_WORDS[name], key="runs-x"
        )
        by = _NOT_GROUPED
        if len(choices) > 1:
            # Curves that grow are shown one by one; of runs at rest the seeds belong together.
            is_at_rest = all(run.summary.state in FINAL for run in runs)
            by = st.selectbox(
                "Group by",
                list(choices),
                index=list(choices).index(_BY_SEED) if is_at_rest and _BY_SEED in choices else 0,
                format_func=choices.__getitem__,
                width=240,
                key=f"runs-by-{len(runs)}-{is_at_rest}",
            )
    # Other runs may have other curves than those among which this one was chosen.
    curve = curves.get(title) or next(iter(curves.values()))
    if by == _NOT_GROUPED:
        _lay_over(runs, curve, x)
    else:
        _show_bands(workspace, runs, curve, x, by)
    sentences = _sentences(workspace, runs)
    if sentences:
        st.markdown("  \n".join(map(literal, sentences)))
    if any("(p " in sentence for sentence in sentences):
        st.caption(
            "Paired t-test over the common seeds; ± is the 95 % interval. Both allow for the number of comparisons."
        )


def show_sweep(runs: Sequence[ListedRun]) -> None:
    """The picture of a sweep, where all runs belong to one: each run a line through what was varied, to its loss."""
    configs = [run.config for run in runs]
    sweep = sweep_of(configs)
    apart = differing_settings(configs)
    if len(apart) > 1:
        apart.pop(_BY_SEED, None)
    if not sweep or not apart:
        return
    labels = setting_labels()
    axes = [SweepAxis(labels.get(name, name), values) for name, values in list(apart.items())[:MOST_AXES]]
    losses = [run.summary.bits_per_byte for run in runs]
    title = "bits per byte"
    if not any(loss is not None for loss in losses):
        losses, title = [run.summary.val_loss for run in runs], "validation loss"
    st.markdown(f"**{literal(sweep.capitalize())}**")
    still_picture(
        parallel_coordinates(
            axes,
            losses,
            [run.name for run in runs],
            loss_title=title,
            dark=st.context.theme.type == "dark",
        ),
        key="runs-sweep",
        alt="Settings and loss of each run of the sweep",
        file_name="sweep",
    )
    more = f" The first {MOST_AXES} of {len(apart)} settings are drawn." if len(apart) > MOST_AXES else ""
    st.caption(
        f"A line is a run; it meets each setting at its value and ends at its loss. The thick one has the lowest loss.{more}"
    )


def _curves(runs: Sequence[ListedRun]) -> dict[str, Curve]:
    """Of one objective its own losses; of several, bits per byte, which only some of them have."""
    kinds = {run.summary.objective for run in runs}
    words = objective_words()[kinds.pop() if len(kinds) == 1 else "causal"]
    found = [
        _validation(words),
        Curve("Training", words.train_key, words.axis_title, "The loss of each step's own batch."),
    ]
    if words.accuracy_key:
        found.append(Curve("Right", words.accuracy_key, "share right", "Share of validation targets hit."))
    found += [
        Curve("Rate", "learning_rate", "learning rate", "The learning rate of each step."),
        Curve("Gradient", "grad_norm", "gradient norm", "Length of the gradient before clipping."),
        Curve("Speed", "tokens_per_second", "tokens per second", "Without compilation and evaluation."),
    ]
    return {curve.title: curve for curve in found}


def _validation(words: ObjectiveWords) -> Curve:
    if words.is_code_length:
        caption = "Validation in bits per byte, which compares across tokenizers. Lower is better."
        return Curve("Validation", "bits_per_byte", "bits per byte", caption)
    return Curve("Validation", words.validation_key, words.axis_title, "On the validation text. Lower is better.")


def _groupings(runs: Sequence[ListedRun]) -> dict[str, str]:
    """What the runs can be grouped by: whatever puts at least two of them together, and not all."""
    configs = [run.config for run in runs]
    found = {_NOT_GROUPED: "nothing: every run by itself"}
    if any(len(places) > 1 for places in grouped_but_for_seed(configs, _besides(runs))):
        found[_BY_SEED] = "all settings but the seed"
    labels = setting_labels()
    for name in differing_settings(configs):
        if name != _BY_SEED and len(grouped_by(configs, name)) < len(runs):
            found[name] = f"{labels.get(name, name)} ({name})"
    return found


def _lay_over(runs: Sequence[ListedRun], curve: Curve, x: XAxis) -> None:
    """The live chart. What is counted has no steps, so its level is drawn across."""
    known = families()
    counted = [run for run in runs if run.summary.kind in known and known[run.summary.kind].is_counted]
    drawn = [run for run in runs if run not in counted] if curve.key == "bits_per_byte" else list(runs)
    guides: list[Guide] = []
    if curve.key == "bits_per_byte" and drawn:
        guides = [
            {"value": run.summary.bits_per_byte, "label": run.name}
            for run in counted
            if run.summary.bits_per_byte is not None
        ]
    drawn = (drawn or list(runs))[:MOST_CURVES]
    plotted: list[PlottedRun] = [
        {
            "id": run.id,
            "name": run.name,
            "color": run.summary.color,
            "dash": run.summary.dash,
            "state": run.summary.state,
        }
        for run in drawn
    ]
    unit = "bits/byte" if curve.key == "bits_per_byte" else "nats"
    smooth = 0.0 if is_exact(curve.key) else 0.6
    live_plot(
        plotted,
        [curve.key],
        x=x,
        unit=unit,
        smooth=smooth,
        guides=guides,
        key="overlay-" + "-".join(run["id"] for run in plotted),
    )
    some = (
        ""
        if len(drawn) + len(guides) >= len(runs)
        else f" The {len(drawn)} of {len(runs)} with the lowest loss are drawn."
    )
    st.caption(curve.caption + some)


def _show_bands(workspace: Workspace, runs: Sequence[ListedRun], curve: Curve, x: XAxis, by: str) -> None:
    """Mean, lowest and highest of each group."""
    configs = [run.config for run in runs]
    if by == _BY_SEED:
        places = grouped_but_for_seed(configs, _besides(runs))
        groups = dict(zip(group_labels([[configs[place] for place in group] for group in places]), places, strict=True))
    else:
        groups = grouped_by(configs, by)
    bands: list[Band] = []
    left_out: dict[str, int] = {}
    is_cut = False
    for label, group in groups.items():
        points = [_points(workspace, runs[place], curve.key) for place in group]
        band = mean_band([(getattr(found, x), found.value) for found in points])
        if band.count:
            bands.append(Band(label, band.x, band.mean, band.low, band.high, band.count))
            is_cut |= band.is_cut
        if band.left_out:
            left_out[label] = band.left_out
    if not bands:
        st.caption("None of these runs has such a curve yet.")
        return
    still_picture(
        group_bands(bands, x_title=_X_TITLES[x], y_title=curve.y_title, dark=st.context.theme.type == "dark"),
        key="runs-bands",
        alt=f"{curve.y_title} by group",
        file_name=f"{curve.title.lower()}-by-group",
    )
    means = "The line is the mean of a group, the band reaches from its lowest run to its highest."
    st.caption(literal(" ".join((curve.caption, means, *_ended_early(left_out, is_cut=is_cut)))))


def _ended_early(left_out: dict[str, int], *, is_cut: bool) -> list[str]:
    """What of the runs is not in the bands."""
    said: list[str] = []
    if left_out:
        counted = ", ".join(f"{count} of “{label}”" for label, count in left_out.items())
        said.append(f"Left out, because they came less than half as far as the longest of their group: {counted}.")
    if is_cut:
        said.append("A band ends where the shortest of its runs does.")
    return said


def _besides(runs: Sequence[ListedRun]) -> list[str]:
    """What must be the same of runs beside their settings: the text, and what was changed on the way."""
    return [f"{run.data_hash} {run.history}" for run in runs]


def _points(workspace: Workspace, run: ListedRun, key: str) -> PointArrays:
    if run.summary.state in FINAL:
        return _kept_points(str(workspace.root), run.id, run.summary.ended_at, key, workspace)
    return _read_points(workspace, run.id, key)


@st.cache_resource(max_entries=400, show_spinner=False)
def _kept_points(root: str, run_id: str, ended_at: float | None, key: str, _workspace: Workspace) -> PointArrays:
    """Those of an ended run change no more."""
    return _read_points(_workspace, run_id, key)


def _read_points(workspace: Workspace, run_id: str, key: str) -> PointArrays:
    """All of what was measured rarely, an even choice of what was logged often; in the order of their steps."""
    folder = run_folder(workspace, run_id)
    points = read_points(folder, key) if is_exact(key) else few_points(folder, key, _NOISY_POINTS)
    kept: npt.NDArray[np.bool_] = surviving(points, segments(folder))
    return points.where(kept)


def _sentences(workspace: Workspace, runs: Sequence[ListedRun]) -> list[str]:
    """What the seeds of these runs can tell, in a few sentences."""
    found = seed_verdicts_of([_result(workspace, run) for run in runs])
    if len(found) > MOST_SENTENCES:
        return [*found[:MOST_SENTENCES], f"… and {len(found) - MOST_SENTENCES} more comparisons."]
    return found


def _result(workspace: Workspace, run: ListedRun) -> Result:
    summary = run.summary
    is_whole = summary.state == FINISHED and run.lineage is None
    if is_whole:
        is_whole = not _was_changed(str(workspace.root), run.id, summary.ended_at, workspace)
    losses = {"nats": summary.val_loss, "bits/byte": summary.bits_per_byte}
    return Result(run.config, run.data_hash, losses, is_whole)


@st.cache_resource(max_entries=2_000, show_spinner=False)
def _was_changed(root: str, run_id: str, ended_at: float | None, _workspace: Workspace) -> bool:
    """Whether somebody changed an ended run on its way."""
    return any(event.kind in _CHANGES for event in events(run_folder(_workspace, run_id)))
