"""What the page from the article names is there: files, settings, classes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from llm_core.config.model import MODEL_CONFIGS
from llm_core.config.objective import OBJECTIVES_OF
from llm_core.config.schema import describe_run

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "from-the-article.md"


def test_every_file_that_the_article_names_is_there() -> None:
    text = PAGE.read_text(encoding="utf-8")
    folder: Path | None = None
    named = re.findall(r"`((?:llm_core/[a-z_/]+/)?[a-z_]+\.py)`", text)
    assert len(named) > 40
    for name in named:
        path = ROOT / name
        if "/" not in name:  # in the folder of the file named before it
            assert folder is not None
            path = folder / name
        folder = path.parent
        assert path.is_file(), name


def test_every_setting_that_the_article_names_is_there() -> None:
    text = PAGE.read_text(encoding="utf-8")
    known = {
        row.path for kind in MODEL_CONFIGS for objective in OBJECTIVES_OF[kind] for row in describe_run(kind, objective)
    }
    named = re.findall(r"`((?:model|objective|data|training|optimizer|schedule)\.[a-z_]+)(?:=([a-z0-9-]+))?`", text)
    assert len(named) > 30
    for path, value in named:
        assert path in known, path
        if path == "model.kind" and value:
            assert value in MODEL_CONFIGS
        if path == "objective.kind" and value:
            assert any(value in fitting for fitting in OBJECTIVES_OF.values())


@pytest.mark.parametrize("class_or_function", ["Attention", "causal_mask", "RotaryAngles"])
def test_names_in_layers_are_there(class_or_function: str) -> None:
    source = (ROOT / "llm_core" / "models" / "layers.py").read_text(encoding="utf-8")
    assert re.search(rf"^(class|def) {class_or_function}\b", source, re.MULTILINE)
