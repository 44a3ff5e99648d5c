"""Overrides read values by the field's own type, and say what is wrong with the rest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_core.config.errors import NotFound, UserError
from llm_core.config.model import LSTMConfig, TransformerConfig
from llm_core.config.overrides import (
    apply_overrides,
    assignments,
    config_differences,
    flatten,
    flatten_values,
    nest_values,
)
from llm_core.config.presets import preset, preset_names
from llm_core.config.run import RunConfig, load_config


def test_values_are_read_by_their_type() -> None:
    config = apply_overrides(
        RunConfig(),
        [
            "model.num_layers=2",
            "training.max_steps=1e3",
            "optimizer.learning_rate=3e-4",
            "model.tie_embeddings=no",
            "training.max_minutes=none",
        ],
    )
    assert isinstance(config.model, TransformerConfig)
    assert (config.model.num_layers, config.training.max_steps, config.optimizer.learning_rate) == (2, 1000, 3e-4)
    assert config.model.tie_embeddings is False
    assert config.training.max_minutes is None


def test_another_family_resets_the_other_model_settings() -> None:
    config = apply_overrides(preset("pocket-gpt"), ["model.num_layers=3", "model.kind=lstm", "model.hidden_size=64"])
    assert config.model == LSTMConfig(hidden_size=64)


def test_the_same_family_keeps_them() -> None:
    assert apply_overrides(RunConfig(), ["model.num_layers=3", "model.kind=transformer"]).model.num_layers == 3


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("model.num_heads=3", "cannot be cut into 3 heads"),
        ("model.layers=3", "num_layers"),
        ("training.batch_size=0", "at least 1"),
        ("training.batch_size=many", "integer"),
        ("hardware.device=tpu", "cuda"),
        ("optimizer.learning_rate=nan", "learning_rate"),
        ("training.max_steps=none", "no end"),
        ("just words", "name=value"),
        ("model.dropout=1e309", "dropout"),
        ("training.max_steps=2.5", "max_steps"),
    ],
)
def test_what_is_wrong_is_named(assignment: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        apply_overrides(RunConfig(), [assignment])


@pytest.mark.parametrize("name", preset_names())
def test_presets_survive_json(name: str) -> None:
    config = preset(name)
    assert load_config(config.model_dump_json()) == config


def test_unknown_preset_lists_what_there_is() -> None:
    with pytest.raises(NotFound, match="pocket-gpt"):
        preset("pocket")


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(UserError, match=r"no setting training\.epochs"):
        load_config('{"training": {"epochs": 3}}')
    with pytest.raises(UserError, match="not JSON"):
        load_config("{")


def test_differences_name_the_setting_and_both_values() -> None:
    changed = apply_overrides(RunConfig(), ["model.kind=lstm", "seed=7"])
    differences = {name: (first, second) for name, first, second in config_differences(RunConfig(), changed)}
    assert differences["seed"] == (1337, 7)
    assert differences["model.kind"] == ("transformer", "lstm")
    assert differences["model.num_heads"] == (4, None)
    assert "training.batch_size" not in differences


@given(st.integers(1, 200), st.floats(0.0, 0.9), st.booleans())
def test_flattening_and_overriding_are_inverse(layers: int, dropout: float, tied: bool) -> None:
    config = RunConfig(model=TransformerConfig(num_layers=layers, dropout=dropout, tie_embeddings=tied))
    values = flatten(config)
    names = ("model.num_layers", "model.dropout", "model.tie_embeddings")
    assert apply_overrides(RunConfig(), [f"{name}={values[name]}" for name in names]) == config


@pytest.mark.parametrize("other", preset_names())
@pytest.mark.parametrize("name", preset_names())
def test_assignments_lead_from_any_preset_to_any_other(name: str, other: str) -> None:
    first, second = preset(name), preset(other)
    assert apply_overrides(first, assignments(first, second)) == second


def test_assignments_are_only_what_differs_and_carry_every_type() -> None:
    changes = [
        "data.dataset=two words",
        "model.kind=rnn",
        "model.nonlinearity=relu",
        "model.tie_embeddings=true",
        "training.max_steps=none",
        "training.max_minutes=0.5",
        'training.sample_prompts=["To be", "é=1"]',
        "seed=12345678901234567",
    ]
    config = apply_overrides(RunConfig(), changes)
    found = assignments(RunConfig(), config)
    assert sorted(part.partition("=")[0] for part in found) == sorted(part.partition("=")[0] for part in changes)
    assert apply_overrides(RunConfig(), found) == config
    assert assignments(config, config) == []


@given(st.recursive(st.integers(), lambda inner: st.dictionaries(st.text("abc", min_size=1), inner, min_size=1)))
def test_nesting_is_the_way_back_from_flattening(values: object) -> None:
    groups = {"group": values}
    assert nest_values(flatten_values(groups)) == groups


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"seed": ' + b"9" * 10_000 + b"}", "not JSON"),
        (b"[1, 2]", "not one object"),
        (b'{"seed": NaN}', "seed"),
        (b'{"colour": 1}', "no setting colour"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused_in_words(content: bytes, words: str) -> None:
    with pytest.raises(UserError, match=words):
        load_config(content)
