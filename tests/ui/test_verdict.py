"""The sentence under the chart, and its guide lines, against values worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from llm_core.backend.ngram_levels import NgramLevels
from llm_core.ui.part_charts import layer_chart, parts_in_order
from llm_core.ui.verdict import Levels, band_remark, first_loss_remark, guides, in_unit, verdict

LEVELS = Levels(vocabulary_size=65, unigram_nats=3.35, bytes_per_token=1.0, token_word="character")


@pytest.mark.parametrize("unit", ["nats", "perplexity", "bits/byte"])
def test_guides_stand_at_chance_and_at_the_unigram_level(unit: str) -> None:
    chance, unigram = guides(LEVELS, unit)
    expected = {
        "nats": (math.log(65), 3.35),
        "perplexity": (65.0, math.exp(3.35)),
        "bits/byte": (math.log2(65), 3.35 / math.log(2)),
    }
    assert (chance["value"], unigram["value"]) == pytest.approx(expected[unit])
    assert "chance" in chance["label"] and "each character by its frequency" in unigram["label"]


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


def test_counted_levels_are_lines_and_part_of_the_sentence() -> None:
    counted = NgramLevels(nats={2: 2.5, 3: 2.04, 7: 1.52, 8: 1.53}, train_tokens=1_000_000)
    levels = replace(LEVELS, ngrams=counted)
    lines = {line["label"]: line["value"] for line in guides(levels, "nats")}
    assert lines["3-gram: 2.04"] == 2.04 and lines["best n-gram (7): 1.52"] == 1.52
    assert "Below the 3-gram level, 0.410 nats above the best n-gram." in verdict(1.93, 1.9, None, levels)
    assert "0.120 nats below the best n-gram" in verdict(1.40, 1.3, None, levels)
    assert "better than knowing only how often" in verdict(2.2, None, None, levels)


def test_the_first_loss_is_measured_against_chance() -> None:
    assert first_loss_remark(math.log(65) + 0.04, LEVELS) == "" and first_loss_remark(None, LEVELS) == ""
    assert "5.30 instead of about ln 65 = 4.17" in first_loss_remark(5.3, LEVELS)
    assert "knew something of the text" in first_loss_remark(2.0, LEVELS)


def test_the_level_of_a_text_known_by_heart_is_shown_when_it_means_something() -> None:
    assert len(guides(LEVELS, "nats", train_loss=2.0)) == 2
    assert guides(LEVELS, "nats", train_loss=0.4)[-1] == {"value": 0.0, "label": "the training text by heart: 0"}
    assert guides(LEVELS, "perplexity", train_loss=0.4)[-1]["value"] == 1.0


def test_a_loss_is_placed_among_earlier_runs() -> None:
    assert band_remark(2.0, None, 3) == ""
    assert band_remark(2.0, (1.8, 2.1), 3).endswith("between 1.80 and 2.10 after as many tokens: this one is within.")
    assert band_remark(2.5, (1.8, 2.1), 3).endswith("above.") and band_remark(1.5, (1.8, 2.1), 3).endswith("below.")
    assert band_remark(2.5, (2.1, 2.1), 1) == "An earlier run of this text stood at 2.10 after as many tokens."


def test_parts_stand_in_the_order_of_the_network_and_many_are_chosen_evenly() -> None:
    names = ["head", "layer 10", "layer 2", "embedding", "decoder layer 0", "encoder layer 1"]
    assert parts_in_order(names) == ["embedding", "encoder layer 1", "layer 2", "layer 10", "decoder layer 0", "head"]
    keys = [f"update_ratio/{part}" for part in ("embedding", "head", *(f"layer {number}" for number in range(24)))]
    chart = layer_chart(keys, "update_ratio")
    assert chart is not None and len(chart.keys) == 16 and "16 of 26 parts are shown" in chart.caption
    assert (chart.keys[0], chart.keys[-1]) == ("update_ratio/embedding", "update_ratio/head")
    assert layer_chart(keys, "gradient_norm") is None
