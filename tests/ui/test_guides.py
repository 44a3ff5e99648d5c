"""The guide lines of a loss chart, and the charts of the network's parts, against values worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from llm_core.backend.ngram_levels import NgramLevels
from llm_core.ui.guides import guides
from llm_core.ui.part_charts import layer_chart, parts_in_order
from tests.backend.test_verdict import LEVELS


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


def test_counted_levels_are_lines() -> None:
    counted = NgramLevels(nats={2: 2.5, 3: 2.04, 7: 1.52, 8: 1.53}, train_tokens=1_000_000)
    lines = {line["label"]: line["value"] for line in guides(replace(LEVELS, ngrams=counted), "nats")}
    assert lines["3-gram: 2.04"] == 2.04 and lines["best n-gram (7): 1.52"] == 1.52


def test_the_level_of_a_text_known_by_heart_is_shown_when_it_means_something() -> None:
    assert len(guides(LEVELS, "nats", train_loss=2.0)) == 2
    assert guides(LEVELS, "nats", train_loss=0.4)[-1] == {"value": 0.0, "label": "the training text by heart: 0"}
    assert guides(LEVELS, "perplexity", train_loss=0.4)[-1]["value"] == 1.0


def test_parts_stand_in_the_order_of_the_network_and_many_are_chosen_evenly() -> None:
    names = ["head", "layer 10", "layer 2", "embedding", "decoder layer 0", "encoder layer 1"]
    assert parts_in_order(names) == ["embedding", "encoder layer 1", "layer 2", "layer 10", "decoder layer 0", "head"]
    keys = [f"update_ratio/{part}" for part in ("embedding", "head", *(f"layer {number}" for number in range(24)))]
    chart = layer_chart(keys, "update_ratio")
    assert chart is not None and len(chart.keys) == 16 and "16 of 26 parts are shown" in chart.caption
    assert (chart.keys[0], chart.keys[-1]) == ("update_ratio/embedding", "update_ratio/head")
    assert layer_chart(keys, "gradient_norm") is None
