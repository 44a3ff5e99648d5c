"""The declarations as a plain list: what the form, the command line's help and the documentation table are made from.

Not here: the widgets (`llm_core.ui.forms`), the table's file (`docs/settings.md`, written by `settings_table`).
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from llm_core.config.model import MODEL_CONFIGS
from llm_core.config.objective import OBJECTIVE_CONFIGS, OBJECTIVES_OF
from llm_core.config.run import RunConfig
from llm_core.config.setting import Level, Settings

FAMILY_TITLES = {
    "ngram": "n-gram",
    "rnn": "RNN",
    "gru": "GRU",
    "mingru": "minGRU",
    "lstm": "LSTM",
    "transformer": "Transformer",
    "encoder": "Encoder",
    "encoder-decoder": "Encoder-decoder",
}
OBJECTIVE_TITLES = {
    "causal": "Next token",
    "masked": "Hidden tokens",
    "span-corruption": "Hidden stretches",
    "sequence-to-sequence": "Answers to sources",
}

ValueType = Literal["integer", "number", "boolean", "choice", "text", "texts"]


@dataclass(frozen=True)
class SettingDescription:
    """One setting, ready to be shown: where it stands, what it takes, what it means."""

    path: str
    label: str
    type: ValueType
    default: Any
    choices: tuple[str, ...]
    choice_labels: dict[str, str]
    minimum: float | None
    maximum: float | None
    unit: str
    help: str
    level: Level
    optional: bool


def describe_settings(settings: type[Settings], prefix: str = "") -> list[SettingDescription]:
    """Every plain field of one settings class, in the order of declaration. Nested groups are left to the caller."""
    return [
        _describe(f"{prefix}{name}", name, field)
        for name, field in settings.model_fields.items()
        if _is_plain(field) and name != "schema_version"
    ]


def describe_run(model_kind: str = "transformer", objective_kind: str = "") -> list[SettingDescription]:
    """Every setting of a run with dotted paths (`model.num_layers`).

    Args:
        model_kind: the family whose model settings are listed.
        objective_kind: the objective whose settings are listed; the usual one of the family when empty or none of its own.
    """
    fitting = OBJECTIVES_OF[model_kind]
    return list(_walk(RunConfig, "", model_kind, objective_kind if objective_kind in fitting else fitting[0]))


def _walk(settings: type[Settings], prefix: str, model_kind: str, objective_kind: str) -> Iterator[SettingDescription]:
    for name, field in settings.model_fields.items():
        if name == "schema_version":
            continue
        if name == "model" and settings is RunConfig:
            yield _family()
            yield from _fields("model.", MODEL_CONFIGS[model_kind])
        elif name == "objective" and settings is RunConfig:
            yield _objective(OBJECTIVES_OF[model_kind])
            yield from _fields("objective.", OBJECTIVE_CONFIGS[objective_kind])
        elif isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            yield from _walk(field.annotation, f"{prefix}{name}.", model_kind, objective_kind)
        else:
            yield _describe(f"{prefix}{name}", name, field)


def _fields(prefix: str, settings: type[Settings]) -> Iterator[SettingDescription]:
    for name, field in settings.model_fields.items():
        if name != "kind":
            yield _describe(prefix + name, name, field)


def _family() -> SettingDescription:
    return _kind(
        path="model.kind",
        label="Family",
        default="transformer",
        choices=tuple(MODEL_CONFIGS),
        choice_labels=FAMILY_TITLES,
        help="The family of the network. Choosing another one resets its other settings and the objective to that family's defaults.",
    )


def _objective(fitting: tuple[str, ...]) -> SettingDescription:
    return _kind(
        path="objective.kind",
        label="Objective",
        default=fitting[0],
        choices=fitting,
        choice_labels=OBJECTIVE_TITLES,
        help="What the model is asked to predict. Choosing another one resets its settings.",
    )


def _kind(
    *, path: str, label: str, default: str, choices: tuple[str, ...], choice_labels: dict[str, str], help: str
) -> SettingDescription:
    return SettingDescription(
        path=path,
        label=label,
        type="choice",
        default=default,
        choices=choices,
        choice_labels={choice: choice_labels[choice] for choice in choices},
        minimum=None,
        maximum=None,
        unit="",
        help=help,
        level="simple",
        optional=False,
    )


def _is_plain(field: FieldInfo) -> bool:
    return not (isinstance(field.annotation, type) and issubclass(field.annotation, Settings))


def _describe(path: str, name: str, field: FieldInfo) -> SettingDescription:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    value_type, choices, optional = _value_type(field.annotation)
    minimum, maximum = _bounds(field)
    label = str(extra.get("label") or name.replace("_", " ").capitalize())
    choice_labels: Any = extra.get("choice_labels") or {choice: choice for choice in choices}
    return SettingDescription(
        path=path,
        label=label,
        type=value_type,
        default=field.default,
        choices=choices,
        choice_labels=dict(choice_labels),
        minimum=minimum,
        maximum=maximum,
        unit=str(extra.get("unit", "")),
        help=field.description or "",
        level="simple" if extra.get("level") == "simple" else "advanced",
        optional=optional,
    )


def _value_type(annotation: Any) -> tuple[ValueType, tuple[str, ...], bool]:
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [argument for argument in get_args(annotation) if argument is not type(None)]
        assert len(inner) == 1, f"a setting is one type or None, not {annotation}"
        value_type, choices, _ = _value_type(inner[0])
        return value_type, choices, True
    if get_origin(annotation) is Literal:
        return "choice", tuple(str(choice) for choice in get_args(annotation)), False
    if get_origin(annotation) is tuple:
        return "texts", (), False
    plain: dict[Any, ValueType] = {bool: "boolean", int: "integer", float: "number", str: "text"}
    return plain[annotation], (), False


def _bounds(field: FieldInfo) -> tuple[float | None, float | None]:
    minimum: float | None = None
    maximum: float | None = None
    for constraint in field.metadata:
        minimum = getattr(constraint, "ge", minimum)
        maximum = getattr(constraint, "le", maximum)
    return minimum, maximum
