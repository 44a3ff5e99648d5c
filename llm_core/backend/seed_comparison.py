"""Whether one setting is better than another, told from runs that differ in nothing but the seed; a paired t-test.

The same seed gives both settings the same first weights where shapes agree and the same order of the text, so that what two runs of a
seed share cancels in their difference. Student's t-test of those differences against 0 is two-sided; its distribution for whole
degrees of freedom is a finite sum (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4), so that no library is needed. Where several
comparisons are made, p-values are multiplied by their number and intervals widened to match (Bonferroni). Not here: which runs
belong together (`run_groups.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llm_core.quantities import three_digits

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class PairedDifference:
    """What the differences of pairs say."""

    pairs: int
    mean: float
    half_width: float
    """Of the confidence interval around the mean, 95 % for a single comparison."""
    p: float
    """Chance of so large a mean difference if there were none."""

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.p < SIGNIFICANCE


@dataclass(frozen=True)
class SeedGroup:
    """Runs that are equal but for the seed, and the loss at the end of each."""

    label: str
    loss_of_seed: Mapping[int, float]

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return sum(self.loss_of_seed.values()) / len(self.loss_of_seed)


def paired_t_test(first: Sequence[float], second: Sequence[float], comparisons: int = 1) -> PairedDifference:
    """The mean of `first - second`, its confidence interval and its p-value.

    Args:
        first, second: values that belong together place by place, two or more.
        comparisons: how many tests are made side by side.
    """
    assert len(first) == len(second) >= 2, "a spread needs two pairs"
    differences = [one - other for one, other in zip(first, second, strict=True)]
    count = len(differences)
    mean = math.fsum(differences) / count
    variance = math.fsum((difference - mean) ** 2 for difference in differences) / (count - 1)
    error = math.sqrt(variance / count)
    if error == 0.0:
        return PairedDifference(count, mean, 0.0, 1.0 if mean == 0.0 else 0.0)
    p = min(1.0, comparisons * two_sided_p(mean / error, count - 1))
    return PairedDifference(count, mean, error * t_limit(SIGNIFICANCE / comparisons, count - 1), p)


def two_sided_p(t: float, degrees: int) -> float:
    """Chance that |t| is as large or larger, for `degrees` (1 or more) degrees of freedom."""
    assert degrees >= 1
    angle = math.atan2(abs(t), math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    if degrees % 2:
        inside = angle
        term = sine * cosine
        for step in range(3, degrees + 1, 2):
            inside += term
            term *= cosine * cosine * (step - 1) / step
        return max(0.0, 1.0 - 2.0 / math.pi * inside)
    total, term = 0.0, sine
    for step in range(2, degrees + 1, 2):
        total += term
        term *= cosine * cosine * (step - 1) / step
    return max(0.0, 1.0 - total)


def t_limit(significance: float, degrees: int) -> float:
    """The |t| that is reached by chance with probability `significance`."""
    low, high = 0.0, 1.0
    while two_sided_p(high, degrees) > significance:
        low, high = high, 2.0 * high
    for _ in range(60):
        middle = (low + high) / 2.0
        if two_sided_p(middle, degrees) > significance:
            low = middle
        else:
            high = middle
    return high


def seed_verdicts(groups: Sequence[SeedGroup], unit: str) -> list[str]:
    """What may be said of these settings, as sentences: the best one against each of the others, best first.

    "Better" is said only where a paired test over at least two common seeds is clear.

    Args:
        groups: at least one run each.
        unit: of the losses.
    """
    if len(groups) < 2:
        return []
    best, *others = sorted(groups, key=lambda group: group.mean)
    shared = [sorted(best.loss_of_seed.keys() & other.loss_of_seed.keys()) for other in others]
    comparisons = sum(len(seeds) >= 2 for seeds in shared)
    if not comparisons:
        return [_cannot_tell(groups)]
    return [_verdict(best, other, seeds, comparisons, unit) for other, seeds in zip(others, shared, strict=True)]


def _cannot_tell(groups: Sequence[SeedGroup]) -> str:
    if all(len(group.loss_of_seed) == 1 for group in groups):
        return (
            "One run of each cannot tell which is better: the same settings with another seed come out differently too. "
            "Train each with the same three seeds or more."
        )
    return "They have fewer than two seeds in common, so nothing can be said. Train each with the same three seeds or more."


def _verdict(best: SeedGroup, other: SeedGroup, seeds: Sequence[int], comparisons: int, unit: str) -> str:
    if len(seeds) < 2:
        return f"{best.label} and {other.label} have fewer than two seeds in common: one run cannot tell."
    test = paired_t_test(
        [other.loss_of_seed[seed] for seed in seeds], [best.loss_of_seed[seed] for seed in seeds], comparisons
    )
    spread = f"± {three_digits(test.half_width)} {unit} over {test.pairs} seeds ({_p(test.p)})"
    if test.is_clear:
        ahead, behind = (best, other) if test.mean > 0 else (other, best)
        return f"{ahead.label} is better than {behind.label} by {three_digits(abs(test.mean))} {spread}."
    return f"{best.label} and {other.label} cannot be told apart: {three_digits(test.mean)} {spread}."


def _p(p: float) -> str:
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"
