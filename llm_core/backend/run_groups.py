"""Which runs belong together: by the group in their settings, by a setting they share, or by all of them but the seed.

Settings are read as they lie on disk, by dotted name, so that runs of another version can be grouped too. Not here: making a race or
a sweep (`race.py`, `sweeps.py`), what their losses say (`seed_comparison.py`, `mean_curves.py`).
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm_core.backend.seed_comparison import SeedGroup, seed_verdicts
from llm_core.config.model import MODEL_CONFIGS
from llm_core.config.objective import OBJECTIVES_OF
from llm_core.config.overrides import flatten_values
from llm_core.config.schema import FAMILY_TITLES, describe_run
from llm_core.quantities import three_digits

# What a race and a sweep call their group begins so.
RACE, SWEEP = "race ", "sweep "
NAMING_SETTINGS = ("name", "group", "schema_version")
_SEED = "seed"
_MOST_LABELLED = 3

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Result:
    """What a run came to, as far as a comparison needs it."""

    config: Config
    data_hash: str
    """Of the text as it was read; empty where it was not recorded."""
    losses: Mapping[str, float | None]
    """By unit: the loss on the whole validation text at the end."""
    is_whole: bool
    """Whether it came to its end under one setting from the first step on: not stopped, not changed on the way, no fork."""


def group_of(config: Config) -> str:
    """The group a run says it belongs to; empty for none."""
    return str(config.get("group") or "")


def sweep_of(configs: Sequence[Config]) -> str:
    """The sweep that all of these runs belong to; empty when there is none."""
    groups = {group_of(config) for config in configs}
    group = groups.pop() if len(groups) == 1 else ""
    return group if group.startswith(SWEEP) else ""


def differing_settings(configs: Sequence[Config]) -> dict[str, list[Any]]:
    """The settings in which these runs differ, each with its value in every run; None where a run has no such setting."""
    flat = [flatten_values(config) for config in configs]
    names = dict.fromkeys(name for values in flat for name in values if name not in NAMING_SETTINGS)
    found = {name: [values.get(name) for values in flat] for name in names}
    return {name: values for name, values in found.items() if len(set(map(_key, values))) > 1}


def grouped_by(configs: Sequence[Config], name: str) -> dict[str, list[int]]:
    """The places of the runs by their value of one setting, smallest value first."""
    values = [flatten_values(config).get(name) for config in configs]
    order = sorted(range(len(values)), key=lambda place: _order(values[place]))
    groups: dict[str, list[int]] = {}
    for place in order:
        groups.setdefault(spoken(values[place]), []).append(place)
    return groups


def grouped_but_for_seed(configs: Sequence[Config], besides: Sequence[str] = ()) -> list[list[int]]:
    """The places of the runs that are equal in everything but name, group and seed, in the order they come.

    Args:
        besides: what else must be the same of each run: the hash of its text, since one name may have stood for several texts, and what
            was changed on the way.
    """
    groups: dict[str, list[int]] = {}
    for place, config in enumerate(configs):
        flat = flatten_values(config)
        kept = {name: value for name, value in sorted(flat.items()) if name not in (*NAMING_SETTINGS, _SEED)}
        groups.setdefault(_key([kept, besides[place] if besides else ""]), []).append(place)
    return list(groups.values())


def group_labels(groups: Sequence[Sequence[Config]]) -> list[str]:
    """What to call groups of equal settings: by what sets them apart, as short as it can be.

    The family where each has another one, else up to three settings, else the name of each group's first run.
    """
    firsts = [group[0] for group in groups]
    kinds = [str(flatten_values(config).get("model.kind", "")) for config in firsts]
    if len(set(kinds)) == len(kinds):
        return [FAMILY_TITLES.get(kind, kind) for kind in kinds]
    apart = {name: values for name, values in differing_settings(firsts).items() if name != _SEED}
    if 0 < len(apart) <= _MOST_LABELLED:
        labels = setting_labels()
        rows = zip(
            *([f"{labels.get(name, name)} {spoken(value)}" for value in apart[name]] for name in apart), strict=True
        )
        found = [", ".join(row) for row in rows]
        # Groups that only their past sets apart would be called the same.
        if len(set(found)) == len(found):
            return found
    return [str(config.get("name") or number + 1) for number, config in enumerate(firsts)]


def seed_verdicts_of(results: Sequence[Result]) -> list[str]:
    """What may be said of these runs, as sentences: which settings are better, as far as their seeds can tell.

    Only runs that came whole to their end count. Losses in nats per token compare where tokenizer and objective agree, bits per byte
    wherever there are any.
    """
    finished = [result for result in results if result.is_whole]
    if len(finished) < 2:
        return []
    if len({_text_of(result) for result in finished}) > 1:
        return ["These runs were measured on different texts, so that their losses do not compare."]
    for unit in _units(finished):
        losses = [loss for result in finished if (loss := result.losses.get(unit)) is not None]
        if len(losses) == len(finished):
            groups = _seed_groups(finished, losses)
            return seed_verdicts(groups, unit) if len(groups) > 1 else _spread(groups[0], unit)
    return ["These runs predict different things, so that their losses do not compare."]


def _seed_groups(results: Sequence[Result], losses: Sequence[float]) -> list[SeedGroup]:
    configs = [result.config for result in results]
    groups = grouped_but_for_seed(configs, [result.data_hash for result in results])
    labels = group_labels([[configs[place] for place in places] for places in groups])
    return [
        SeedGroup(label, {int(configs[place].get(_SEED, 0)): losses[place] for place in places})
        for label, places in zip(labels, groups, strict=True)
    ]


def _spread(group: SeedGroup, unit: str) -> list[str]:
    """How far the seeds of one setting lie apart."""
    losses = list(group.loss_of_seed.values())
    if len(losses) < 2:
        return []
    spread = three_digits(statistics.stdev(losses))
    mean = three_digits(group.mean)
    return [f"{len(losses)} seeds of the same settings end at {mean} ± {spread} {unit} (mean and standard deviation)."]


def setting_labels() -> dict[str, str]:
    """What every setting of every family is called in the form, by dotted name; where families differ, as the first one says it."""
    labels: dict[str, str] = {}
    for kind in MODEL_CONFIGS:
        for objective in OBJECTIVES_OF[kind]:
            for row in describe_run(kind, objective):
                labels.setdefault(row.path, row.label)
    return labels


def spoken(value: Any) -> str:
    """A setting's value as people read it."""
    if value is None or value in ("", [], ()):
        return "–"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))  # pyright: ignore[reportUnknownArgumentType]
    return str(value)


def _units(results: Sequence[Result]) -> tuple[str, ...]:
    flat = [flatten_values(result.config) for result in results]
    objectives = {values.get("objective.kind") for values in flat}
    tokenizers = {values.get("data.tokenizer") for values in flat}
    if len(objectives) > 1:
        return ()
    return ("nats", "bits/byte") if len(tokenizers) == 1 else ("bits/byte",)


def _text_of(result: Result) -> tuple[Any, Any]:
    flat = flatten_values(result.config)
    return result.data_hash or flat.get("data.dataset"), flat.get("data.validation_fraction")


def _key(value: Any) -> str:
    """Equal for values that are equal as JSON."""
    return json.dumps(value, sort_keys=True, default=str)


def _order(value: Any) -> tuple[int, float, str]:
    """Nothing first, then numbers by size, then words."""
    if value is None:
        return 0, 0.0, ""
    if isinstance(value, int | float):
        return 1, float(value), ""
    return 2, 0.0, str(value)
