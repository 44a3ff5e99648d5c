"""Numbers from outside are bounded on this side: no number, however written, gets past its declared bounds or ends in a traceback."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from annotated_types import Ge, Le
from pydantic import BaseModel, ValidationError

import llm_core.config.logging
import llm_core.config.sampling
import llm_core.config.slots
import llm_core.config.timing
import llm_core.text.dataset_record
from llm_core.config.errors import UserError
from llm_core.config.model import MODEL_CONFIGS
from llm_core.config.objective import OBJECTIVES_OF
from llm_core.config.overrides import apply_overrides
from llm_core.config.run import RunConfig, config_from_dict
from llm_core.config.schema import SettingDescription, describe_run
from llm_core.config.setting import Settings
from llm_core.text.tokenizer_names import check_size, sized_kinds

WRITTEN = (
    *(
        "1000000000000",
        "-1",
        "nan",
        "NaN",
        "inf",
        "-inf",
        "Infinity",
        "1e309",
        "-1e309",
        "1e-400",
        "9" * 400,
        "9" * 5000,
    ),
    *("0x10", "1_000_000_000_000", "", " ", "5; drop", "5\x00", "$(id)", "--5", "True", "[]", "{}", "1e", "٥" * 20),
)
RAW: tuple[Any, ...] = (
    *(
        10**12,
        -1,
        math.nan,
        math.inf,
        -math.inf,
        10**400,
        -(10**400),
        True,
        "5",
        "nan",
        "1e309",
        [],
        {},
        [5],
        1e308,
        0.5,
    ),
)
FORMS = [(kind, objective) for kind in MODEL_CONFIGS for objective in OBJECTIVES_OF[kind]]


def numeric_rows() -> Iterator[tuple[RunConfig, SettingDescription]]:
    """Every numeric setting of every family and objective, once."""
    seen: set[str] = set()
    for kind, objective in FORMS:
        config = apply_overrides(RunConfig(), [f"model.kind={kind}", f"objective.kind={objective}"])
        for row in describe_run(kind, objective):
            # Groups of one family have their bounds from one place each; the same name elsewhere is another declaration.
            place = f"{kind} {objective} {row.path}" if row.path.startswith(("model.", "objective.")) else row.path
            if row.type in ("integer", "number") and place not in seen:
                seen.add(place)
                yield config, row


def value_at(config: RunConfig, path: str) -> Any:
    value: Any = config
    for name in path.split("."):
        value = getattr(value, name)
    return value


def check(config: RunConfig, row: SettingDescription) -> None:
    """What was accepted lies within the declared bounds."""
    assert row.minimum is not None and row.maximum is not None, row.path
    value = value_at(config, row.path)
    assert value is None or (math.isfinite(value) and row.minimum <= value <= row.maximum), (row.path, value)


def test_no_written_number_gets_past_its_bounds() -> None:
    for config, row in numeric_rows():
        for text in WRITTEN:
            try:
                changed = apply_overrides(config, [f"{row.path}={text}"])
            except UserError:
                continue
            check(changed, row)


def test_no_number_of_a_file_gets_past_its_bounds() -> None:
    for config, row in numeric_rows():
        for value in RAW:
            values = config.model_dump(mode="json")
            *groups, name = row.path.split(".")
            group = values
            for part in groups:
                group = group[part]
            group[name] = value
            try:
                changed = config_from_dict(values)
            except UserError as error:
                json.dumps(error.to_dict(), allow_nan=False)
                continue
            check(changed, row)


# Settings are found as what is derived from them: every module with some is imported above.
def all_settings(base: type[BaseModel] = Settings) -> Iterator[type[BaseModel]]:
    for settings in base.__subclasses__():
        yield settings
        yield from all_settings(settings)


def test_every_number_of_every_group_of_settings_declares_its_bounds() -> None:
    groups = set(all_settings())
    assert len(groups) > 15
    for settings in groups:
        for name, field in settings.model_fields.items():
            kinds = {field.annotation, *get_args(field.annotation)}
            if kinds & {int, float} and name != "schema_version":
                found = {type(bound) for bound in field.metadata}
                assert {Ge, Le} <= found, f"{settings.__name__}.{name}"


def test_what_is_asked_of_a_model_is_bounded() -> None:
    sampling = llm_core.config.sampling.SamplingConfig
    for name, field in sampling.model_fields.items():
        if {int, float} & {field.annotation, *get_args(field.annotation)}:
            for value in (10**400, -1, math.nan, math.inf, "1e309"):
                with pytest.raises(ValidationError):
                    sampling.model_validate({name: value})


def test_a_vocabulary_has_a_size_that_fits_a_machine() -> None:
    for kind in sized_kinds():
        for size in (10**12, -1, 10**400):
            with pytest.raises(UserError):
                check_size(kind, size)
