"""Changing a configuration by dotted names, as `--set model.num_layers=4` does, and naming what differs between two.

Not here: which settings exist (`schema.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from llm_core.config.errors import UserError
from llm_core.config.model import MODEL_CONFIGS
from llm_core.config.objective import OBJECTIVE_CONFIGS, OBJECTIVES_OF
from llm_core.config.run import RunConfig, config_from_dict
from llm_core.config.schema import SettingDescription, describe_run


def apply_overrides(config: RunConfig, assignments: Iterable[str]) -> RunConfig:
    """The configuration with assignments such as "model.num_layers=4" applied from left to right.

    Setting `model.kind` resets the other model settings and the objective to that family's defaults, `objective.kind` those of the
    objective. Bounds and combinations are checked once,
    after the last assignment, so that two settings can change together.

    Raises:
        UserError: for an unknown name, a value that does not fit its type, or a combination that cannot work.
    """
    values = config.model_dump(mode="json")
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        path = path.strip()
        if not equals:
            raise UserError(
                "A setting is written as name=value", value=assignment, remedy="For example --set model.num_layers=4"
            )
        description = _find(path, values["model"]["kind"], values["objective"]["kind"])
        value = read_value(description, text)
        if path == "model.kind":
            _set_family(values, str(value))
        elif path == "objective.kind":
            _set_objective(values, str(value), description.choices)
        else:
            _assign(values, path, value)
    return config_from_dict(values)


def _set_family(values: dict[str, Any], kind: str) -> None:
    if kind not in MODEL_CONFIGS:
        raise UserError("There is no family of this kind", value=kind, limit=", ".join(MODEL_CONFIGS))
    if kind == values["model"]["kind"]:
        return
    values["model"] = MODEL_CONFIGS[kind]().model_dump(mode="json")
    if values["objective"]["kind"] not in OBJECTIVES_OF[kind]:
        values["objective"] = OBJECTIVE_CONFIGS[OBJECTIVES_OF[kind][0]]().model_dump(mode="json")


def _set_objective(values: dict[str, Any], kind: str, fitting: tuple[str, ...]) -> None:
    if kind not in fitting:
        family = values["model"]["kind"]
        raise UserError(
            f"A model of kind {family} cannot learn by this objective", value=kind, limit=", ".join(fitting)
        )
    if kind != values["objective"]["kind"]:
        values["objective"] = OBJECTIVE_CONFIGS[kind]().model_dump(mode="json")


def read_value(description: SettingDescription, text: str) -> Any:
    """The text of one value as the setting's own type; "none" or nothing clears an optional one. Raises UserError."""
    stripped = text.strip()
    if description.optional and stripped.lower() in ("", "none", "null"):
        return None
    try:
        return _READERS[description.type](text)
    except ValueError as error:
        limit = " | ".join(description.choices) or description.type
        raise UserError(f"Setting {description.path} cannot read this value", value=text, limit=limit) from error


def config_differences(first: RunConfig, second: RunConfig) -> list[tuple[str, Any, Any]]:
    """Every setting in which two configurations differ, as (dotted name, first value, second value); missing ones are None."""
    left, right = flatten(first), flatten(second)
    names = [*left, *(name for name in right if name not in left)]
    return [(name, left.get(name), right.get(name)) for name in names if left.get(name) != right.get(name)]


def assignments(first: RunConfig, second: RunConfig) -> list[str]:
    """The shortest list with `apply_overrides(first, assignments(first, second)) == second`, ready for `--set`."""
    found: list[str] = []
    if first.model.kind != second.model.kind:
        found.append(f"model.kind={second.model.kind}")
        first = apply_overrides(first, found)
    if first.objective.kind != second.objective.kind:
        found.append(f"objective.kind={second.objective.kind}")
        first = apply_overrides(first, found[-1:])
    return found + [f"{name}={write_value(value)}" for name, _, value in config_differences(first, second)]


def flatten(config: RunConfig) -> dict[str, Any]:
    """All settings by dotted name, as JSON values."""
    return flatten_values(config.model_dump(mode="json"))


def flatten_values(groups: Mapping[str, Any]) -> dict[str, Any]:
    """Groups within groups as one mapping by dotted name."""
    flat: dict[str, Any] = {}
    for name, value in groups.items():
        if isinstance(value, dict):
            inner = flatten_values(value)  # pyright: ignore[reportUnknownArgumentType]
            flat |= {f"{name}.{path}": part for path, part in inner.items()}
        else:
            flat[name] = value
    return flat


def nest_values(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The way back from `flatten_values`."""
    groups: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = name.split(".")
        target = groups
        for part in path:
            target = target.setdefault(part, {})
        target[last] = value
    return groups


def _find(path: str, model_kind: str, objective_kind: str) -> SettingDescription:
    descriptions = {description.path: description for description in describe_run(model_kind, objective_kind)}
    if path in descriptions:
        return descriptions[path]
    last = path.rsplit(".", 1)[-1]
    near = [name for name in descriptions if name.rsplit(".", 1)[-1] == last or (len(last) > 3 and last in name)]
    remedy = f"Did you mean {', '.join(near[:3])}?" if near else "`glassbox presets --fields` lists every setting"
    raise UserError(f"There is no setting {path} for a model of kind {model_kind}", remedy=remedy)


def _assign(values: dict[str, Any], path: str, value: Any) -> None:
    *groups, name = path.split(".")
    for group in groups:
        values = values[group]
    values[name] = value


def _read_integer(text: str) -> int:
    """Accepts 1_000, 1e6 and 2000.0 as whole numbers, because people write large counts that way."""
    try:
        return int(text)
    except ValueError:
        number = float(text)
        if not number.is_integer():
            raise
        return int(number)


def _read_boolean(text: str) -> bool:
    value = {
        "true": True,
        "yes": True,
        "on": True,
        "1": True,
        "false": False,
        "no": False,
        "off": False,
        "0": False,
    }.get(text.strip().lower())
    if value is None:
        raise ValueError(text)
    return value


def _read_texts(text: str) -> list[str]:
    if not text.strip():
        return []
    if text.lstrip().startswith("["):
        values = json.loads(text)
        if not isinstance(values, list):
            raise ValueError(text)
        return [str(value) for value in values]  # pyright: ignore[reportUnknownArgumentType]
    return [text]


def write_value(value: Any) -> str:
    """A JSON value as `read_value` reads it."""
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _read_choice(text: str) -> str:
    return text.strip()


_READERS = {
    "integer": _read_integer,
    "number": float,
    "boolean": _read_boolean,
    "choice": _read_choice,
    "text": str,
    "texts": _read_texts,
}
