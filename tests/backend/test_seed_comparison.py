"""The paired test against values worked out by hand and printed in tables, its sentences, and grouping by settings."""

from __future__ import annotations

import importlib.util
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_core.backend.mean_curves import MOST_POINTS, mean_band
from llm_core.backend.run_groups import (
    Result,
    differing_settings,
    group_labels,
    grouped_but_for_seed,
    grouped_by,
    seed_verdicts_of,
    sweep_of,
)
from llm_core.backend.seed_comparison import SeedGroup, paired_t_test, seed_verdicts, t_limit, two_sided_p
from llm_core.config.overrides import apply_overrides
from llm_core.config.run import RunConfig


def config(*changes: str) -> dict[str, Any]:
    return apply_overrides(RunConfig(), changes).model_dump(mode="json")


def test_students_t_is_that_of_the_tables() -> None:
    # Quantiles as every printed table has them: two-sided 5 % and 1 %.
    for degrees, five, one in [
        (1, 12.706, 63.657),
        (2, 4.303, 9.925),
        (4, 2.776, 4.604),
        (9, 2.262, 3.250),
        (30, 2.042, 2.750),
    ]:
        assert t_limit(0.05, degrees) == pytest.approx(five, abs=6e-4)
        assert t_limit(0.01, degrees) == pytest.approx(one, abs=6e-4)
    assert two_sided_p(1.0, 1) == pytest.approx(0.5), "Cauchy: 1 − 2/π · arctan 1"
    assert two_sided_p(2.0, 2) == pytest.approx(1 - 2 / math.sqrt(6)), "1 − t/√(2 + t²)"
    assert two_sided_p(0.0, 7) == 1.0 and two_sided_p(1e9, 3) < 1e-20 + 1e-15


def test_the_paired_test_by_hand() -> None:
    # Differences 0.1, 0.2, 0.3: mean 0.2, standard deviation 0.1, error 0.1/√3, t = 3.4641 with 2 degrees of freedom.
    test = paired_t_test([1.1, 1.3, 1.6], [1.0, 1.1, 1.3])
    assert (test.pairs, test.mean) == (3, pytest.approx(0.2))
    assert test.p == pytest.approx(1 - math.sqrt(12) / math.sqrt(14))
    assert test.half_width == pytest.approx(4.3027 * 0.1 / math.sqrt(3), rel=1e-4)
    assert not test.is_clear
    assert paired_t_test([1.1, 1.3, 1.6], [1.0, 1.1, 1.3], comparisons=2).p == pytest.approx(2 * test.p)
    assert paired_t_test([2.0, 3.0], [1.0, 2.0]).p == 0.0 and paired_t_test([2.0, 3.0], [2.0, 3.0]).p == 1.0


@pytest.mark.skipif(importlib.util.find_spec("scipy") is None, reason="scipy is not installed here")
@given(st.lists(st.tuples(st.floats(0, 9), st.floats(0, 9)), min_size=2, max_size=40))
def test_the_paired_test_agrees_with_scipy(pairs: list[tuple[float, float]]) -> None:
    from scipy import stats  # pyright: ignore

    first, second = zip(*pairs, strict=True)
    if np.std(np.subtract(first, second)) > 1e-6:
        expected = stats.ttest_rel(first, second).pvalue  # pyright: ignore
        assert paired_t_test(first, second).p == pytest.approx(expected, abs=1e-9)


@given(st.lists(st.floats(-5, 5).filter(lambda value: abs(value) > 1e-3), min_size=2, max_size=12))
def test_interval_and_p_never_contradict_each_other(differences: list[float]) -> None:
    test = paired_t_test(differences, [0.0] * len(differences))
    opposite = paired_t_test([0.0] * len(differences), differences)
    assert test.is_clear is (abs(test.mean) > test.half_width) or abs(test.p - 0.05) < 1e-9
    assert (opposite.mean, opposite.p) == (-test.mean, test.p)


def test_better_is_said_only_after_a_clear_test() -> None:
    losses = {"lstm": [1.50, 1.52, 1.49, 1.51], "gru": [1.60, 1.61, 1.60, 1.62], "rnn": [1.49, 1.60, 1.44, 1.58]}
    groups = [SeedGroup(name, dict(enumerate(values))) for name, values in losses.items()]
    against_rnn, against_gru = sorted(seed_verdicts(groups, "nats"))
    assert (
        against_rnn.startswith("lstm and rnn cannot be told apart: 0.0225 ± ") and "over 4 seeds (p = " in against_rnn
    )
    assert against_gru.startswith("lstm is better than gru by 0.103 ± ") and "nats over 4 seeds" in against_gru
    single = [SeedGroup(name, {1337: values[0]}) for name, values in losses.items()]
    (sentence,) = seed_verdicts(single, "nats")
    assert "cannot tell" in sentence and "better by" not in sentence
    apart = [SeedGroup("a", {1: 1.0, 2: 1.1}), SeedGroup("b", {3: 9.0, 4: 9.1})]
    assert "nothing can be said" in seed_verdicts(apart, "nats")[0]
    assert not seed_verdicts(groups[:1], "nats")


def results(*changes: tuple[str, ...], loss: float | None = 1.0, hashes: str = "same") -> list[Result]:
    return [
        Result(config(*change), hashes, {"nats": None if loss is None else loss + 0.1 * number, "bits/byte": 2.0}, True)
        for number, change in enumerate(changes)
    ]


def test_what_is_said_of_runs() -> None:
    rates = [("optimizer.learning_rate=0.001", f"seed={seed}", f"name=a{seed}") for seed in (1, 2, 3)]
    others = [("optimizer.learning_rate=0.002", f"seed={seed}", "group=sweep x") for seed in (1, 2, 3)]
    (sentence,) = seed_verdicts_of(results(*rates, *others))
    assert sentence.startswith("Learning rate 0.001 is better than Learning rate 0.002 by 0.300 ± ")
    assert "over 3 seeds (p < 0.001)" in sentence
    (spread,) = seed_verdicts_of(results(*rates))
    assert spread == "3 seeds of the same settings end at 1.10 ± 0.100 nats (mean and standard deviation)."
    assert "different texts" in seed_verdicts_of([*results(*rates), *results(*others, hashes="other")])[0]
    assert "different things" in seed_verdicts_of(results(("model.kind=lstm",), ("model.kind=encoder",)))[0]
    assert not seed_verdicts_of(results(*rates, *others, loss=None)[:1])
    unfinished = [Result(result.config, "", result.losses, False) for result in results(*rates, *others)]
    assert not seed_verdicts_of(unfinished)
    other_tokens = [*results(*rates), *results(*[(*change, "data.tokenizer=byte") for change in others])]
    assert "bits/byte" in seed_verdicts_of(other_tokens)[0], "nats per token do not compare across tokenizers"


def test_runs_are_put_together_by_settings() -> None:
    configs = [
        config("seed=1", "name=a", "optimizer.learning_rate=0.01", "group=sweep s"),
        config("seed=2", "optimizer.learning_rate=0.01", "group=sweep s"),
        config("seed=1", "optimizer.learning_rate=0.002", "group=sweep s"),
    ]
    assert differing_settings(configs) == {"seed": [1, 2, 1], "optimizer.learning_rate": [0.01, 0.01, 0.002]}
    assert grouped_by(configs, "optimizer.learning_rate") == {"0.002": [2], "0.01": [0, 1]}
    assert grouped_but_for_seed(configs) == [[0, 1], [2]]
    assert grouped_but_for_seed(configs, ["one text", "another", ""]) == [[0], [1], [2]]
    assert sweep_of(configs) == "sweep s" and sweep_of([*configs, config()]) == "" and sweep_of([config()]) == ""
    families = [[config("model.kind=lstm")], [config("model.kind=gru")]]
    assert group_labels(families) == ["LSTM", "GRU"]
    many = [[config("name=one", "seed=1")], [config("name=two", *(f"{path}=3" for path in MANY))]]
    assert group_labels(many) == ["one", "two"]
    same = [[config("name=one")], [config("name=two")], [config("name=three", "seed=9", "optimizer.learning_rate=0.5")]]
    assert group_labels(same) == ["one", "two", "three"], "two settings that only their past sets apart"


MANY = ("model.num_layers", "training.batch_size", "training.log_interval", "schedule.warmup_steps")


def test_a_band_spans_what_all_curves_cover() -> None:
    band = mean_band([([0, 10, 20], [3.0, 2.0, 1.0]), ([0, 20, 30], [5.0, 3.0, math.nan])])
    assert band.x.tolist() == [0, 10, 20] and band.count == 2
    assert band.mean.tolist() == [4.0, 3.0, 2.0], "between its points a curve is a straight line"
    assert band.low.tolist() == [3.0, 2.0, 1.0] and band.high.tolist() == [5.0, 4.0, 3.0]
    assert mean_band([]).count == 0 and mean_band([([1], [math.nan])]).count == 0
    early, later = ([0, 10], [3.0, 2.0]), ([0, 10, 70], [3.0, 2.0, 1.0])
    long_one = ([0, 50, 100], [5.0, 3.0, 1.0])
    band = mean_band([long_one, early])
    assert (band.count, band.left_out, band.is_cut) == (1, 1, False) and band.x.tolist() == [0, 50, 100]
    band = mean_band([long_one, later])
    assert (band.count, band.left_out, band.is_cut) == (2, 0, True) and band.x[-1] == 70
    long = np.arange(100_000)
    band = mean_band([(long, np.ones(100_000)), (long, 2 * np.ones(100_000))])
    assert len(band.x) == MOST_POINTS and (band.mean == 1.5).all()
