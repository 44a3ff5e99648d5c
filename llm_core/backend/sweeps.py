"""A sweep: one configuration many times, with some settings varied over a grid or at random.

An axis is written as a setting is (`optimizer.learning_rate=0.001,0.003`), with several values, or for random draws as a range
(`optimizer.learning_rate=1e-4..1e-2:log`). Planning is pure. Its runs share the group "sweep …", which stands in their settings.
Not here: what came of it (`run_groups.py`, `llm_core.figures.sweep`), several kinds of model (`race.py`).
"""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from llm_core.backend.group_submission import free_group, submit_group
from llm_core.backend.run_groups import NAMING_SETTINGS, SWEEP
from llm_core.config.errors import UserError
from llm_core.config.model import MODEL_CONFIGS
from llm_core.config.objective import OBJECTIVES_OF
from llm_core.config.overrides import apply_overrides
from llm_core.config.run import RunConfig
from llm_core.config.schema import ValueType, describe_run
from llm_core.text.library import find_dataset
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.paths import Workspace

MOST_RUNS = 200
_DRAWS_PER_RUN = 100
# So many combinations that cannot work are drawn anew: some for each run, together no more than a page can check while somebody waits.
_REFUSED_PER_RUN, _MOST_REFUSED = 100, 2_000
# Choosing one of these resets others, so they are set first.
_FIRST = ("model.kind", "objective.kind")


@dataclass(frozen=True)
class Axis:
    """One setting and what it may be: values as they are written, or a range."""

    path: str
    values: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    is_log: bool = False
    is_whole: bool = False
    """Whether a number drawn from the range is a whole one."""

    @property
    def is_range(self) -> bool:
        """Whether values are drawn from a range."""
        return not self.values

    def draw(self, chance: random.Random) -> str:
        """One value, as it is written; of a range with three significant digits."""
        if self.values:
            return chance.choice(self.values)
        if self.is_log:
            value = math.exp(chance.uniform(math.log(self.low), math.log(self.high)))
        else:
            value = chance.uniform(self.low, self.high)
        value = min(self.high, max(self.low, value))
        return str(round(value)) if self.is_whole else f"{float(f'{value:.3g}'):g}"


def read_axis(text: str) -> Axis:
    """An axis from "name=value,value", "name=low..high" or "name=low..high:log"; values with commas as a JSON list.

    Raises:
        UserError: it is not written so, or the range is none.
    """
    path, equals, written = text.partition("=")
    path, written = path.strip(), written.strip()
    if not equals or not path or not written:
        remedy = "For example optimizer.learning_rate=0.001,0.003"
        raise UserError("A setting to vary is written as name=value,value", value=text, remedy=remedy)
    if path in NAMING_SETTINGS:
        raise UserError("A name is no setting to vary", value=path, remedy="Name the sweep itself")
    kind = _types().get(path)
    if kind == "texts":
        return Axis(path, (written,))
    if ".." in written and kind in ("integer", "number", None):
        return _range(path, written, is_whole=kind == "integer")
    values = _values(path, written)
    return Axis(path, tuple(dict.fromkeys(values)))


def plan_grid(base: RunConfig, axes: Sequence[Axis]) -> list[RunConfig]:
    """Every combination of the values, the last axis changing quickest.

    Raises:
        UserError: an axis is a range, there are too many runs, or a combination cannot work.
    """
    _check_axes(axes)
    for axis in axes:
        if axis.is_range:
            remedy = "Write its values out, or draw at random"
            raise UserError("A grid needs the values of each setting", value=axis.path, remedy=remedy)
    _check_count(math.prod(len(axis.values) for axis in axes))
    chosen = itertools.product(*(axis.values for axis in axes))
    return [_config(base, axes, values) for values in chosen]


@dataclass(frozen=True)
class Draw:
    """What chance gave."""

    runs: list[RunConfig]
    refused: list[UserError]
    """What is wrong with the combinations that came up and cannot work."""

    @property
    def passed_over(self) -> str:
        """A sentence on combinations that cannot work, so that a slip among the values is seen; empty where there were none."""
        if not self.refused:
            return ""
        some = "1 combination" if len(self.refused) == 1 else f"{len(self.refused):,} combinations"
        return f"{some} that cannot work came up and got another one instead. {self.refused[0]}"


def plan_random(base: RunConfig, axes: Sequence[Axis], count: int, *, random_seed: int = 0) -> Draw:
    """`count` different combinations drawn at random, the same ones for the same seed.

    For one that cannot work, such as a width that its heads do not divide, another one is drawn.

    Raises:
        UserError: there are not so many that can work, or they are too many.
    """
    _check_axes(axes)
    _check_count(count)
    chance = random.Random(random_seed)
    planned: dict[tuple[str, ...], RunConfig] = {}
    refused: dict[tuple[str, ...], UserError] = {}
    for _ in range(_DRAWS_PER_RUN * count):
        values = tuple(axis.draw(chance) for axis in axes)
        if values in planned or values in refused:
            continue
        try:
            planned[values] = _config(base, axes, values)
        except UserError as error:
            refused[values] = error
        if len(planned) == count:
            return Draw(list(planned.values()), list(refused.values()))
        if len(refused) == min(_MOST_REFUSED, _REFUSED_PER_RUN * count):
            break
    raise _too_few(count, len(planned), list(refused.values()))


def _too_few(count: int, found: int, refused: Sequence[UserError]) -> UserError:
    """Why not so many could be drawn; where none can work, what is wrong with the first."""
    if refused and not found:
        return refused[0]
    why = f"; {len(refused):,} that were drawn cannot work. {refused[0].what}" if refused else ""
    return UserError(
        f"There are too few combinations for so many runs{why}",
        value=count,
        limit=f"about {found}",
        remedy="Ask for fewer runs, or give more values",
    )


def submit_sweep(
    workspace: Workspace,
    base: RunConfig,
    axes: Sequence[Axis],
    *,
    random_runs: int | None = None,
    random_seed: int = 0,
    name: str = "",
    once: str | None = None,
) -> list[JobRecord]:
    """Queue a sweep; the second call with the same `once` returns the runs of the first.

    Args:
        random_runs: how many are drawn at random; None takes the whole grid.

    Raises:
        UserError: as `plan_grid` and `plan_random`, or a run cannot work; then nothing is queued.
    """
    if random_runs is None:
        planned = plan_grid(base, axes)
    else:
        planned = plan_random(base, axes, random_runs, random_seed=random_seed).runs
    wish = name.strip() or find_dataset(workspace, planned[0].data.dataset).name
    group = free_group(workspace, f"{SWEEP}{wish}")
    return submit_group(workspace, [config.model_copy(update={"group": group}) for config in planned], once=once)


def _config(base: RunConfig, axes: Sequence[Axis], values: Sequence[str]) -> RunConfig:
    chosen = list(zip(axes, values, strict=True))
    varied = [
        f"{axis.path.rpartition('.')[2]} {value}" for axis, value in chosen if axis.is_range or len(axis.values) > 1
    ]
    ordered = sorted(chosen, key=lambda pair: pair[0].path not in _FIRST)
    assignments = [f"{axis.path}={value}" for axis, value in ordered]
    try:
        return apply_overrides(base, [*assignments, f"name={', '.join(varied)}"])
    except UserError as error:
        raise UserError(
            f"With {', '.join(assignments)}: {error.what}", value=error.value, limit=error.limit, remedy=error.remedy
        ) from error


def _check_axes(axes: Sequence[Axis]) -> None:
    paths = [axis.path for axis in axes]
    if all(len(axis.values) == 1 for axis in axes):
        raise UserError("Nothing varies", remedy="Give at least one setting several values")
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice is not None:
        raise UserError("A setting is varied twice", value=twice, remedy="Put all its values into one line")


def _check_count(count: int) -> None:
    if not 1 <= count <= MOST_RUNS:
        remedy = "Take fewer values, or draw some of the combinations at random"
        raise UserError(
            "That is no size for a sweep", value=f"{count:,} runs", limit=f"1 to {MOST_RUNS}", remedy=remedy
        )


def _range(path: str, written: str, *, is_whole: bool) -> Axis:
    numbers, _, scale = written.partition(":")
    first, _, second = numbers.partition("..")
    try:
        low, high = float(first), float(second)
    except ValueError:
        low = high = math.nan
    if not low < high or math.isinf(low) or math.isinf(high) or scale not in ("", "log"):
        raise UserError("A range is written as low..high or low..high:log", value=f"{path}={written}")
    if scale == "log" and low <= 0:
        remedy = "Begin above 0, or leave :log out"
        raise UserError("A range on a logarithmic scale begins above 0", value=f"{path}={written}", remedy=remedy)
    return Axis(path, low=low, high=high, is_log=scale == "log", is_whole=is_whole)


def _values(path: str, written: str) -> list[str]:
    if written.startswith("["):
        try:
            listed = json.loads(written)
        except ValueError as error:
            remedy = 'For example ["one, two", "three"]'
            raise UserError("This list of values is not JSON", value=f"{path}={written}", remedy=remedy) from error
        values = [value if isinstance(value, str) else json.dumps(value) for value in listed]
    else:
        values = [value.strip() for value in written.split(",")]
    if not values or not all(values):
        raise UserError("A value is empty", value=f"{path}={written}", remedy='Write "none" for no value')
    return values


def _types() -> dict[str, ValueType]:
    """The type of every setting of every family."""
    return {
        row.path: row.type
        for kind in MODEL_CONFIGS
        for objective in OBJECTIVES_OF[kind]
        for row in describe_run(kind, objective)
    }
