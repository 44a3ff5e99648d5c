"""The arithmetic of curves against slow, obvious versions of the same."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_core.web.curves import DebiasedAverage, band, share, significant, thin


def slow_average(values: list[float], weight: float) -> list[float]:
    state, count, averages = 0.0, 0, list[float]()
    for value in values:
        if not math.isfinite(value):
            averages.append(math.nan)
            continue
        count += 1
        state = weight * state + (1 - weight) * value
        averages.append(state / (1 - weight**count))
    return averages


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.9, 0.999])
def test_average_equals_the_formula_step_by_step(weight: float) -> None:
    values = np.random.default_rng(0).normal(3, 1, 1500)
    values[[0, 7, 8, 700]] = [np.nan, np.inf, -np.inf, np.nan]
    np.testing.assert_allclose(DebiasedAverage(weight).extend(values), slow_average(values.tolist(), weight), rtol=1e-9)


@given(st.lists(st.integers(0, 400), max_size=6))
def test_average_in_pieces_equals_the_average_of_all(lengths: list[int]) -> None:
    values = np.random.default_rng(1).normal(size=sum(lengths))
    average = DebiasedAverage(0.95)
    pieces = [average.extend(piece) for piece in np.split(values, np.cumsum(lengths)[:-1])] if lengths else []
    joined = np.concatenate(pieces) if pieces else np.zeros(0)
    np.testing.assert_allclose(joined, DebiasedAverage(0.95).extend(values), rtol=1e-9, atol=1e-12)


def test_average_of_a_constant_is_the_constant_from_the_first_value_on() -> None:
    np.testing.assert_allclose(DebiasedAverage(0.99).extend(np.full(600, 4.17)), 4.17, rtol=1e-12)


def test_thin_keeps_ends_spike_and_gap() -> None:
    x = np.arange(100_000)
    y = np.sin(x / 5000.0)
    y[31_337], y[60_000] = 40.0, np.nan
    chosen = thin(x, y, 500)
    assert len(chosen) <= 500
    assert {0, 31_337, 60_000, 99_999} <= set(chosen.tolist())
    assert (np.diff(chosen) > 0).all()


def test_thin_survives_infinities_and_all_gaps() -> None:
    x, y = np.arange(5000), np.full(5000, np.nan)
    assert 2 <= len(thin(x, y, 100)) <= 100
    y[:] = np.inf
    assert len(thin(x, y, 100)) <= 100


def test_band_holds_every_raw_value() -> None:
    y = np.random.default_rng(2).normal(size=10_000)
    y[50] = np.nan
    chosen = thin(np.arange(10_000), y, 300)
    low, high = band(y, chosen)
    assert low.min() == np.nanmin(y) and high.max() == np.nanmax(y)
    finite = np.isfinite(y[chosen])
    assert ((low <= y[chosen]) & (y[chosen] <= high))[finite].all()


@given(st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False, min_value=-1e30, max_value=1e30))
def test_significant_is_the_decimal_rounding(value: float) -> None:
    rounded = float(significant(np.array([value]))[0])
    assert rounded == pytest.approx(float(f"{value:.4e}"), rel=2e-4, abs=1e-290)
    if 1e-10 < abs(value) < 1e10:
        assert len(repr(rounded).replace("-", "").replace(".", "").lstrip("0").partition("e")[0].rstrip("0")) <= 5


def test_significant_leaves_gaps_and_zero() -> None:
    rounded = significant(np.array([np.nan, np.inf, 0.0, 1.234567, 123456.7]))
    np.testing.assert_array_equal(rounded, [np.nan, np.inf, 0.0, 1.2346, 123460.0])


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=8), st.integers(64, 4000))
def test_share_stays_within_the_budget_and_wastes_none(lengths: list[int], budget: int) -> None:
    shares = share(lengths, budget)
    assert sum(shares) <= budget
    assert all(part <= length for part, length in zip(shares, lengths, strict=True))
    assert sum(shares) == min(sum(lengths), budget)
