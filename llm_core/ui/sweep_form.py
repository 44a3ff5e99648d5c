"""*Sweep*: the form behind the button. Not here: what a sweep is (`llm_core.backend.sweeps`)."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from llm_core.backend.estimates import estimate_run
from llm_core.backend.run_groups import NAMING_SETTINGS
from llm_core.backend.sweeps import MOST_RUNS, Axis, plan_grid, plan_random, read_axis, submit_sweep
from llm_core.config.errors import UserError
from llm_core.config.overrides import apply_overrides, flatten
from llm_core.config.presets import find_preset, presets
from llm_core.config.run import RunConfig, config_from_dict
from llm_core.config.schema import SettingDescription, describe_run
from llm_core.quantities import duration
from llm_core.text.library import list_datasets
from llm_core.ui.forms import accepted_range
from llm_core.ui.group_start import start_group, was_started
from llm_core.ui.guards import may, require
from llm_core.ui.run_summaries import ListedRun
from llm_core.ui.states import literal, show_error
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.paths import Workspace

_PLACE = "sweep"
_FIRST_PRESET, _FIRST_SETTING = "pocket-gpt", "optimizer.learning_rate"
_FACTORS = (0.5, 1, 2)
_SEED, _USED_SEED = "sweep-first-seed", "sweep-used-seed"
_SEEDS = 1_000_000
_NOT_VARIED = (*NAMING_SETTINGS, "data.dataset", "objective.kind", "training.sample_prompts")


def sweep_form(workspace: Workspace, runs: Sequence[ListedRun], ticked: Sequence[str]) -> None:
    """Where it starts from, what is varied, and how.

    Args:
        runs: whose settings it may start from.
        ticked: ids in the link; the first of them is where the form starts from.
    """
    if not may("sweep"):
        st.caption("Your password opens Glassbox for reading. A sweep is started with the other one.")
        return
    if was_started(_PLACE, "sweep"):
        _say_seed()
        return
    st.markdown("One configuration many times, with some settings varied.")
    try:
        base = _base(workspace, runs, ticked)
        axes = _axes(base)
        chance = _chance()
        if chance is None:
            planned, aside = plan_grid(base, axes), ""
        else:
            draw = plan_random(base, axes, chance.count, random_seed=chance.seed)
            planned, aside = draw.runs, draw.passed_over
        st.caption(literal(f"{_what_it_comes_to(workspace, planned)} {aside}".strip()))
    except UserError as error:
        show_error(error)
        return

    def submit(once: str) -> Sequence[JobRecord]:
        require("sweep")
        count, seed = (None, 0) if chance is None else (chance.count, chance.seed)
        records = submit_sweep(workspace, base, axes, random_runs=count, random_seed=seed, once=once)
        st.session_state[_USED_SEED] = None if chance is None else seed
        return records

    if st.button("Start the sweep", type="primary", icon=":material/grid_view:", key="start-sweep"):
        start_group(_PLACE, submit)


def _base(workspace: Workspace, runs: Sequence[ListedRun], ticked: Sequence[str]) -> RunConfig:
    """The configuration that everything else is kept from: a run's or a preset's, on a text of choice."""
    by_id = {run.id: run for run in runs}
    titles = {run.id: f"the settings of {run.name}" for run in runs}
    titles |= {name: preset.title for name, preset in presets().items()}
    first = next((part for part in ticked if part in by_id), _FIRST_PRESET)
    names = [record.name for record in list_datasets(workspace)]
    left, right = st.columns(2)
    with left:
        options = list(titles)
        chosen: str = st.selectbox(
            "Start from", options, index=options.index(first), format_func=titles.__getitem__, key=f"sweep-base-{first}"
        )
    base = config_from_dict(by_id[chosen].config) if chosen in by_id else find_preset(chosen).config
    with right:
        wanted = base.data.dataset
        names = names if wanted in names else [wanted, *names]
        dataset: str = st.selectbox("Text", names, index=names.index(wanted), key=f"sweep-text-{chosen}")
    return apply_overrides(base, [f"data.dataset={dataset}"])


def _axes(base: RunConfig) -> list[Axis]:
    """What is varied, and the values of each."""
    rows = {
        row.path: row
        for row in describe_run(base.model.kind, base.objective.kind)
        if row.path not in _NOT_VARIED and row.type != "texts"
    }
    paths: list[str] = st.multiselect(
        "Vary",
        list(rows),
        default=[_FIRST_SETTING],
        format_func=lambda path: f"{rows[path].label} ({path})",
        key="sweep-paths",
    )
    present = flatten(base)
    axes: list[Axis] = []
    for path in paths:
        row = rows[path]
        written = st.text_input(
            row.label,
            value=_first_values(row, present[path]),
            help=f"{row.help} {_how_to_write(row)}",
            key=f"sweep-values-{path}",
            placeholder="value, value, value",
        )
        axes.append(read_axis(f"{path}={written}"))
    return axes


@dataclass(frozen=True)
class _Chance:
    """How many combinations chance chooses, and from which seed."""

    count: int
    seed: int


def _chance() -> _Chance | None:
    """What is drawn at random; None for every combination."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        way = st.segmented_control(
            "Combinations", ("all", "some at random"), default="all", required=True, key="sweep-way"
        )
        if way == "all":
            return None
        count = st.number_input("Runs", 1, MOST_RUNS, 10, width=140, key="sweep-count")
        seed = st.number_input(
            "Seed of the draw",
            *(0, 2**31 - 1, _fresh_seed()),
            width=180,
            key="sweep-seed",
            help="The same seed draws the same combinations again, also with `glassbox sweep --random-seed`.",
        )
        return _Chance(int(count), int(seed))


def _fresh_seed() -> int:
    """Where the form begins: a seed that stays while one sweep is planned, and is another for the next one."""
    if st.session_state.get(_SEED) in (None, st.session_state.get(_USED_SEED)):
        st.session_state[_SEED] = secrets.randbelow(_SEEDS)
    return st.session_state[_SEED]


def _say_seed() -> None:
    """After the start, for whoever wants to draw the same again."""
    seed: int | None = st.session_state.get(_USED_SEED)
    if seed is not None:
        st.caption(f"Drawn with seed {seed}.")


def _first_values(row: SettingDescription, value: object) -> str:
    """Something to begin with: for a number, half of it, itself and twice as much."""
    if row.choices:
        return ", ".join(row.choices)
    if row.type == "boolean":
        return "off, on"
    if row.path == "seed":
        return "1, 2, 3"
    if isinstance(value, bool) or not isinstance(value, int | float) or not value:
        return "" if value is None else str(value)
    values = [value * factor for factor in _FACTORS]
    kept = [value for value in values if row.maximum is None or value <= row.maximum]
    return ", ".join(f"{round(value)}" if row.type == "integer" else f"{value:g}" for value in kept)


def _how_to_write(row: SettingDescription) -> str:
    if row.type in ("integer", "number"):
        return f"{accepted_range(row)} At random also from a range: 0.001..0.01, or 0.001..0.01:log.".strip()
    return ""


def _what_it_comes_to(workspace: Workspace, planned: Sequence[RunConfig]) -> str:
    """How many runs, and for how long: as the first of them goes."""
    runs = "1 run" if len(planned) == 1 else f"{len(planned)} runs"
    seconds = estimate_run(workspace, planned[0]).seconds
    if seconds is None:
        return f"{runs}, one after another."
    return f"{runs}, about {duration(seconds * len(planned))} one after another."
