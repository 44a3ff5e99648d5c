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
from llm_core.config.run import RunConfig
from llm_core.config.setting import Level, Settings

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


def describe_run(model_kind: str = "transformer") -> list[SettingDescription]:
    """Every setting of a run whose model is of the given family, with dotted paths (`model.num_layers`)."""
    return list(_walk(RunConfig, "", model_kind))


def _walk(settings: type[Settings], prefix: str, model_kind: str) -> Iterator[SettingDescription]:
    for name, field in settings.model_fields.items():
        if name == "schema_version":
            continue
        if name == "model" and settings is RunConfig:
            yield from _describe_model(model_kind)
        elif isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            yield from _walk(field.annotation, f"{prefix}{name}.", model_kind)
        else:
            yield _describe(f"{prefix}{name}", name, field)


def _describe_model(model_kind: str) -> Iterator[SettingDescription]:
    yield SettingDescription(
        path="model.kind",
        label="Family",
        type="choice",
        default="transformer",
        choices=tuple(MODEL_CONFIGS),
        choice_labels={"rnn": "RNN", "gru": "GRU", "lstm": "LSTM", "transformer": "Transformer"},
        minimum=None,
        maximum=None,
        unit="",
        help="The family of the network. Choosing another one resets the other model settings to that family's defaults.",
        level="simple",
        optional=False,
    )
    for name, field in MODEL_CONFIGS[model_kind].model_fields.items():
        if name != "kind":
            yield _describe(f"model.{name}", name, field)


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
