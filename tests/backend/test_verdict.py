"""The sentence under the chart against values worked out by hand. Its guide lines: `tests/ui/test_guides.py`."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from llm_core.backend.ngram_levels import NgramLevels
from llm_core.backend.verdict import Levels, band_remark, first_loss_remark, in_unit, levels_of_run, verdict
from llm_core.config.overrides import apply_overrides
from llm_core.config.run import RunConfig
from llm_core.workspace.paths import open_workspace

LEVELS = Levels(vocabulary_size=65, unigram_nats=3.35, bytes_per_token=1.0, token_word="character")


def test_bits_per_byte_count_the_bytes_of_a_token() -> None:
    wide = Levels(1000, 5.0, bytes_per_token=4.0, token_word="token")
    assert in_unit(4 * math.log(2), "bits/byte", wide) == pytest.approx(1.0)


def test_the_sentence_says_where_the_loss_stands() -> None:
    assert "1.67 nats better than knowing only how often each character occurs" in verdict(1.68, 1.5, 2.42, LEVELS)
    assert "as unsure as choosing among 5.37 characters" in verdict(1.68, 1.5, 2.42, LEVELS)
    assert "not yet better than knowing" in verdict(4.0, None, None, LEVELS)
    assert "Not better than chance yet" in verdict(4.2, None, None, LEVELS)


def test_the_sentence_compares_validation_with_training() -> None:
    assert "Validation follows training" in verdict(1.68, 1.5, None, LEVELS)
    assert "0.680 above training" in verdict(1.68, 1.0, None, LEVELS)
    assert "training" not in verdict(1.68, math.nan, None, None)


def test_counted_levels_are_part_of_the_sentence() -> None:
    counted = NgramLevels(nats={2: 2.5, 3: 2.04, 7: 1.52, 8: 1.53}, train_tokens=1_000_000)
    levels = replace(LEVELS, ngrams=counted)
    assert "Below the 3-gram level, 0.410 nats above the best n-gram." in verdict(1.93, 1.9, None, levels)
    assert "0.120 nats below the best n-gram" in verdict(1.40, 1.3, None, levels)
    assert "better than knowing only how often" in verdict(2.2, None, None, levels)


def test_the_first_loss_is_measured_against_chance() -> None:
    assert first_loss_remark(math.log(65) + 0.04, LEVELS) == "" and first_loss_remark(None, LEVELS) == ""
    assert "5.30 instead of about ln 65 = 4.17" in first_loss_remark(5.3, LEVELS)
    assert "knew something of the text" in first_loss_remark(2.0, LEVELS)


def test_a_run_without_a_text_is_compared_with_nothing(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path / "home")
    for dataset in ("", "gone"):
        config = apply_overrides(RunConfig(), [f"data.dataset={dataset}"])
        assert levels_of_run(workspace, config) is None


def test_a_loss_is_placed_among_earlier_runs() -> None:
    assert band_remark(2.0, None, 3) == ""
    assert band_remark(2.0, (1.8, 2.1), 3).endswith("between 1.80 and 2.10 after as many tokens: this one is within.")
    assert band_remark(2.5, (1.8, 2.1), 3).endswith("above.") and band_remark(1.5, (1.8, 2.1), 3).endswith("below.")
    assert band_remark(2.5, (2.1, 2.1), 1) == "An earlier run of this text stood at 2.10 after as many tokens."
