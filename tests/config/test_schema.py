"""One declaration feeds everything: descriptions are complete, bounds agree with validation, the docs table is fresh."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_core.config.errors import UserError
from llm_core.config.model import MODEL_CONFIGS
from llm_core.config.overrides import apply_overrides, flatten
from llm_core.config.run import RunConfig
from llm_core.config.schema import SettingDescription, describe_run
from llm_core.config.settings_table import settings_table

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("kind", MODEL_CONFIGS)
def test_every_setting_is_described_once(kind: str) -> None:
    config = apply_overrides(RunConfig(), [f"model.kind={kind}"])
    described = [row.path for row in describe_run(kind)]
    assert sorted(described) == sorted(name for name in flatten(config) if name != "schema_version")


@pytest.mark.parametrize("row", describe_run(), ids=lambda row: row.path)
def test_every_setting_explains_itself(row: SettingDescription) -> None:
    assert row.help.endswith(".")
    assert row.label
    if row.type in ("integer", "number"):
        assert row.minimum is not None and row.maximum is not None, "every number is bounded on the server side"


@pytest.mark.parametrize("row", [row for row in describe_run() if row.maximum is not None], ids=lambda row: row.path)
def test_bounds_are_enforced_by_the_core(row: SettingDescription) -> None:
    assert row.maximum is not None and row.minimum is not None
    for value in (row.maximum * 10 + 10, row.minimum - 1):
        with pytest.raises(UserError):
            apply_overrides(RunConfig(), [f"{row.path}={int(value) if row.type == 'integer' else value}"])


def test_the_documentation_table_is_fresh() -> None:
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == settings_table(), "run `make docs`"
