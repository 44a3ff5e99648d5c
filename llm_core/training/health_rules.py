"""Is this run learning well? One function for each trouble that shows in the course of a run; pure arithmetic, free of torch.

Each reads what was measured so far and answers with a finding or None. The levels were set on small recorded runs with one trouble each
(`benchmarks/health_curves.py`) and are wide on purpose: a false alarm costs trust. Not here: sudden events (`health_sudden.py`), when
the rules are asked (`health_watch.py`).

The update-to-weight ratio of a layer is usually 0.1 to 2 % a step at the peak of the learning rate, and falls with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from llm_core.quantities import three_digits
from llm_core.training.health_finding import (
    DEAD_UNITS,
    ONLY_FREQUENCIES,
    OVER_FITTING,
    PLATEAU,
    RATE_TOO_HIGH,
    RATE_TOO_LOW,
    TOO_LITTLE_DATA,
    VANISHING,
    Finding,
    Fork,
    ReadText,
)
from llm_core.training.health_history import Facts, History, Numbers

# Before this much of the run nothing is said about its course; a run without a known end is judged from so many steps on.
_JUDGED_FROM_SHARE, _JUDGED_FROM_STEPS = 0.15, 100
_HIGH_RATIO, _EXTREME_RATIO, _LOW_RATIO = 0.03, 0.15, 0.0007
# A layer whose gradient is this much shorter than the longest does not learn from it. Four LSTM layers begin at 1e-5 and find their way.
_VANISHED_SHARE = 1e-6
_DEAD_SHARE = 0.6
_LOOKS = 3
_OVER_FITTING_RISE = 0.02
_LITTLE_TOKENS_PER_PARAMETER, _LITTLE_EPOCHS, _LITTLE_GAP_NATS = 0.05, 10, 0.5
_NEAR_UNIGRAM, _ONLY_FREQUENCIES_FROM_SHARE = 0.03, 0.3
_PLATEAU_FROM_SHARE, _PLATEAU_GAIN, _PLATEAU_EVALUATIONS = 0.4, 0.01, 6
_LOWER, _HIGHER = 3.0, 10.0
# A fork that begins later has hardly a step left in which to become another.
_FORKED_UNTIL_SHARE = 0.75


@dataclass(frozen=True)
class Course:
    """A run as the rules see it."""

    facts: Facts
    history: History
    checkpoints: Sequence[int] = ()
    """Steps from which a fork can begin."""

    @property
    def is_old_enough(self) -> bool:
        total = self.facts.total_steps
        least = _JUDGED_FROM_STEPS if total is None else _JUDGED_FROM_SHARE * total
        return self.history.last_step >= least and len(self.history.step) >= 8

    def fork(self, changes: dict[str, object], before_step: int | None = None) -> Fork:
        """From the newest checkpoint that leaves a good part of the run to go, and at `before_step` at the latest."""
        limit = self.history.last_step if before_step is None else before_step
        if self.facts.total_steps is not None:
            limit = min(limit, _FORKED_UNTIL_SHARE * self.facts.total_steps)
        return Fork(max((step for step in self.checkpoints if step <= limit), default=0), changes)

    def recent_loss(self) -> float:
        """Mean training loss over the newest tenth of what was logged, five points at least."""
        return float(np.nanmean(self.history.loss[-max(5, len(self.history.loss) // 10) :]))


Rule = Callable[[Course], Finding | None]


def rate_too_high(course: Course) -> Finding | None:
    """Large steps, and a loss that is late to leave the level of mere frequencies; or steps so large that nothing can last."""
    ratio = layer_update_ratio(course)
    if ratio is None or ratio < _HIGH_RATIO or not course.is_old_enough:
        return None
    facts, history = course.facts, course.history
    early = history.loss[(history.step > facts.warmup_steps) & (history.step <= _early_end(course))]
    level = facts.unigram_nats or facts.chance_nats
    is_late = len(early) > 0 and float(np.nanmedian(early)) > 0.9 * level
    if not is_late and ratio < _EXTREME_RATIO:
        return None
    rate = facts.learning_rate / _LOWER
    return Finding(
        RATE_TOO_HIGH,
        "problem",
        history.last_step,
        f"At the full learning rate of {facts.learning_rate:.2g} each step changes the weights of a layer by {100 * ratio:.2g} % of their "
        f"length; 0.1 to 2 % is usual. The loss is {three_digits(course.recent_loss())}.",
        "The steps are so large that they jump over what is to be learned, so the model learns less, and later.",
        f"Try a third of the learning rate, {rate:.2g}.",
        course.fork({"optimizer.learning_rate": rounded(rate)}),
    )


def rate_too_low(course: Course) -> Finding | None:
    """Tiny steps, and a loss that is still above the level of mere frequencies."""
    ratio = layer_update_ratio(course)
    facts, history = course.facts, course.history
    if ratio is None or ratio > _LOW_RATIO or not course.is_old_enough:
        return None
    level = facts.unigram_nats or 0.6 * facts.chance_nats
    if course.recent_loss() < 1.05 * level:
        return None
    rate = facts.learning_rate * _HIGHER
    return Finding(
        RATE_TOO_LOW,
        "warning",
        history.last_step,
        f"At the full learning rate of {facts.learning_rate:.2g} each step changes the weights of a layer by {100 * ratio:.2g} % of their "
        f"length; 0.1 to 2 % is usual. After {history.last_step:,} steps the loss has come from {three_digits(float(history.loss[0]))} "
        f"to {three_digits(course.recent_loss())}.",
        "The model learns, but in steps so small that the run ends long before it is done.",
        f"Try ten times the learning rate, {rate:.2g}.",
        # So little was learned that nothing is lost by beginning anew, and the whole schedule is gained.
        Fork(0, {"optimizer.learning_rate": rounded(rate)}),
    )


def vanishing_gradients(course: Course) -> Finding | None:
    """Layers that are told next to nothing about how to get better."""
    parts = course.history.parts
    recent = {part: float(np.median(history.gradient_norm[-_LOOKS:])) for part, history in parts.items()}
    longest = max(recent.values(), default=0.0)
    looks = max((len(history.step) for history in parts.values()), default=0)
    weak = [part for part in recent if "layer" in part and recent[part] < _VANISHED_SHARE * longest]
    if not weak or looks < _LOOKS or not np.isfinite(longest) or not course.is_old_enough:
        return None
    weakest = min(weak, key=recent.__getitem__)
    strongest = max(recent, key=recent.__getitem__)
    return Finding(
        VANISHING,
        "problem",
        course.history.last_step,
        f"In {_listed(weak)} the gradient is less than a millionth of that in {_named(strongest)} ({recent[weakest]:.1g} in "
        f"{_named(weakest)}, {recent[strongest]:.1g} in {_named(strongest)}).",
        "On its way back through the layers the signal that says what was wrong shrinks to nothing, so these layers hardly learn. Many "
        "layers of a network without shortcuts, and the sigmoid, do that.",
        "Use fewer layers, tanh instead of sigmoid, or a network with gates or shortcuts: LSTM, GRU, Transformer.",
        Fork(0, course.facts.calmer_network) if course.facts.calmer_network else None,
    )


def dead_units(course: Course) -> Finding | None:
    """Layers in which most units no longer react to anything."""
    shares = {
        part: float(np.min(history.dead_share[-_LOOKS:]))
        for part, history in course.history.parts.items()
        if len(history.step) >= _LOOKS
    }
    dead = [part for part, share in shares.items() if share > _DEAD_SHARE]
    if not dead or not course.is_old_enough:
        return None
    worst = max(dead, key=shares.__getitem__)
    return Finding(
        DEAD_UNITS,
        "problem",
        course.history.last_step,
        f"In {_named(worst)} {100 * shares[worst]:.0f} % of the units had no gradient at all in {_LOOKS} steps that were looked at.",
        "Their input is so far below zero that they put out nothing, whatever they read, and so never learn again. It happens to "
        "ReLU units after steps that were too large.",
        f"Go on from an earlier checkpoint with a third of the learning rate ({course.facts.learning_rate / _LOWER:.2g}), or take "
        "another nonlinearity.",
        course.fork({"optimizer.learning_rate": rounded(course.facts.learning_rate / _LOWER)}),
    )


def too_little_data(course: Course) -> Finding | None:
    """A text far too short for the network, read again and again, and learned by heart."""
    facts, history = course.facts, course.history
    epochs = history.last_step * facts.tokens_per_step / max(1, facts.train_tokens)
    is_little = facts.train_tokens < _LITTLE_TOKENS_PER_PARAMETER * facts.parameters and epochs > _LITTLE_EPOCHS
    if not is_little or len(history.validation_loss) < 2 or not course.is_old_enough:
        return None
    validation, training = float(history.validation_loss[-1]), course.recent_loss()
    if validation - training < _LITTLE_GAP_NATS:
        return None
    return Finding(
        TOO_LITTLE_DATA,
        "problem",
        history.last_step,
        f"The text has {facts.train_tokens:,} tokens for {facts.parameters:,} parameters and was read {three_digits(epochs)} times. "
        f"Training is at {three_digits(training)}, validation at {three_digits(validation)}.",
        "There is room in the network to learn this text by heart, and that is what it does; it helps nothing with other text.",
        "Bring more text, twenty tokens for each parameter if you can; or take a much smaller model and fewer steps.",
        ReadText(),
    )


def over_fitting(course: Course) -> Finding | None:
    """Validation has been rising since its best while training went on falling."""
    history = course.history
    losses, steps = history.validation_loss, history.validation_step
    if len(losses) < 4 or not course.is_old_enough:
        return None
    best = int(np.nanargmin(losses))
    limit = (1 + _OVER_FITTING_RISE) * float(losses[best])
    if best > len(losses) - 3 or float(np.min(losses[-2:])) < limit:
        return None
    then = float(np.nanmean(history.loss[_around(history.step, float(steps[best]))]))
    if course.recent_loss() > 0.97 * then:
        return None
    dropout = min(0.5, max(0.2, 2 * course.facts.dropout))
    return Finding(
        OVER_FITTING,
        "warning",
        history.last_step,
        f"Validation was best at step {int(steps[best]):,} ({three_digits(float(losses[best]))}) and is "
        f"{three_digits(float(losses[-1]))} now, while training went on falling, from {three_digits(then)} to "
        f"{three_digits(course.recent_loss())}.",
        "The model learns its training text by heart; on text it has not seen it gets worse.",
        f"Use the checkpoint near step {int(steps[best]):,}. To get further: more text, a smaller model, or more dropout.",
        course.fork({"model.dropout": dropout}, before_step=int(steps[best])),
    )


def only_frequencies(course: Course) -> Finding | None:
    """A loss that stays at the level of knowing how often each token occurs: the order of the text taught nothing."""
    level, total = course.facts.unigram_nats, course.facts.total_steps
    losses = course.history.validation_loss[1:]
    # Many networks rest at this level for a while before they find more.
    is_early = total is not None and course.history.last_step < _ONLY_FREQUENCIES_FROM_SHARE * total
    if level is None or len(losses) < 4 or is_early or not course.is_old_enough:
        return None
    newer = losses[len(losses) // 2 :]
    is_there = abs(float(newer[-1]) - level) < _NEAR_UNIGRAM * level
    is_flat = float(newer.max() - newer.min()) < _NEAR_UNIGRAM * level
    if not (is_there and is_flat):
        return None
    return Finding(
        ONLY_FREQUENCIES,
        "problem",
        course.history.last_step,
        f"After {course.history.last_step:,} steps validation is at {three_digits(float(newer[-1]))} nats and stays there; knowing only "
        f"how often each token occurs gives {three_digits(level)}.",
        "Nothing was learned from the order of the tokens. Either there is nothing in it, because the text is shuffled or garbled, or "
        "the network cannot carry anything from one token to the next.",
        "Look at the text on the Data page, and at how the tokenizer cuts it. If it reads well, try another network or learning rate.",
        ReadText(),
    )


def plateau(course: Course) -> Finding | None:
    """No gain on validation text for a good part of the run, though the learning rate is still up."""
    history, facts = course.history, course.facts
    losses, steps = history.validation_loss, history.validation_step
    total = facts.total_steps
    if len(losses) < 2 * _PLATEAU_EVALUATIONS or not course.is_old_enough:
        return None
    if total is not None and history.last_step < _PLATEAU_FROM_SHARE * total:
        return None
    half = len(losses) - max(_PLATEAU_EVALUATIONS, len(losses) * 2 // 5)
    before, since = float(np.nanmin(losses[:half])), float(np.nanmin(losses[half:]))
    rates = history.learning_rate[history.step >= steps[half]]
    is_up = len(rates) > 0 and float(np.mean(rates)) > 0.15 * facts.learning_rate
    earlier = float(np.nanmean(history.loss[_around(history.step, float(steps[half]))]))
    is_flat = before - since < _PLATEAU_GAIN * before and course.recent_loss() > 0.98 * earlier
    if not (is_up and is_flat):
        return None
    rate = facts.learning_rate / _LOWER
    return Finding(
        PLATEAU,
        "warning",
        history.last_step,
        f"Since step {int(steps[half]):,} validation has not improved by more than 1 %: {three_digits(before)} then, "
        f"{three_digits(since)} at best since.",
        "The model has learned what it can: all that this text or a network of this size allows, or all that steps of this size allow.",
        f"Stop here and keep the result; or see whether a lower learning rate ({rate:.2g}) gets further, or a larger model.",
        course.fork({"optimizer.learning_rate": rounded(rate)}),
    )


COURSE_RULES: tuple[Rule, ...] = (
    rate_too_high,
    vanishing_gradients,
    dead_units,
    too_little_data,
    over_fitting,
    only_frequencies,
    rate_too_low,
    plateau,
)
"""The gravest and most particular first: what a later one sees is often the consequence of what an earlier one found."""


def layer_update_ratio(course: Course) -> float | None:
    """How far a step moves the weights of a typical layer at the peak of the learning rate; None before it was looked at often enough."""
    history, facts = course.history, course.facts
    ratios: list[float] = []
    for part, looked_at in history.parts.items():
        rates = np.interp(looked_at.step, history.step, history.learning_rate)
        is_warm = looked_at.step > min(facts.warmup_steps, (facts.total_steps or facts.warmup_steps) // 10)
        counts = is_warm & (rates > 0) & np.isfinite(looked_at.update_ratio)
        if "layer" in part and counts.sum() >= _LOOKS:
            ratios.append(float(np.median(looked_at.update_ratio[counts] / rates[counts] * facts.learning_rate)))
    return float(np.median(ratios)) if ratios else None


def rounded(rate: float) -> float:
    """A learning rate in two digits, as people write it."""
    return float(f"{rate:.2g}")


def _early_end(course: Course) -> float:
    """Until when a run is early: a third of it, or of what there is so far."""
    return (course.facts.total_steps or course.history.last_step) / 3


def _around(steps: Numbers, step: float) -> slice:
    """The few logged points nearest to a step."""
    middle, width = int(np.searchsorted(steps, step)), max(2, len(steps) // 20)
    return slice(max(0, middle - width), middle + width)


def _named(part: str) -> str:
    return f"the {part}" if "layer" not in part else part


def _listed(parts: Sequence[str]) -> str:
    if len(parts) <= 3:
        return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
    return f"{len(parts)} layers ({parts[0]} to {parts[-1]})"
