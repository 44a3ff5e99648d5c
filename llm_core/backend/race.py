"""A race: the same text, the same tokenizer and the same budget for several kinds of model, queued together.

Bits per byte compare them, so that only models whose loss is a code length can take part. A budget means the same text read: an n-gram
model, which has no steps, counts as many tokens as the networks read. Only minutes are no limit to it, it is done long before.
Its runs share the group "race …", which stands in their settings.
Not here: drawing them together (`pages/runs.py`), varying settings of one model (`sweeps.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llm_core.backend.group_submission import free_group, submit_group
from llm_core.backend.run_groups import RACE
from llm_core.config.errors import UserError
from llm_core.config.overrides import apply_overrides
from llm_core.config.presets import find_preset, presets
from llm_core.config.run import RunConfig
from llm_core.config.schema import FAMILY_TITLES
from llm_core.models.families import families
from llm_core.text.library import find_dataset
from llm_core.training.budget import tokens_per_step
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.paths import Workspace

MOST_RUNS = 60
# The preset that a family enters with.
ENTRANTS = {
    "ngram": "pocket-ngram",
    "rnn": "pocket-rnn",
    "gru": "pocket-gru",
    "mingru": "pocket-mingru",
    "lstm": "pocket-lstm",
    "transformer": "pocket-gpt",
}
USUAL_ENTRANTS = ("ngram", "rnn", "gru", "lstm", "transformer")
# What a step of every network reads where steps are the budget: the presets differ, and more text in a step would win the race. The
# contexts of all presets divide it, so that it is whole rows of each.
TOKENS_PER_STEP = 2_048
_FEWEST_MEASUREMENTS = 10


@dataclass(frozen=True)
class Budget:
    """What each entrant may use; exactly one of them is given. Tokens are those read in training."""

    minutes: float | None = None
    steps: int | None = None
    tokens: int | None = None

    def settings(self, config: RunConfig) -> list[str]:
        """As assignments; a short run is measured oftener, so that there is a curve to see.

        Raises:
            UserError: not exactly one budget, or one that is less than a single step.
        """
        given = {"max_minutes": self.minutes, "max_steps": self.steps, "max_tokens": self.tokens}
        named = {name: value for name, value in given.items() if value is not None}
        if len(named) != 1:
            raise UserError("A race needs one budget", remedy="Give minutes, steps or tokens")
        is_counted = families()[config.model.kind].is_counted
        if self.steps is not None and is_counted:
            named = {"max_tokens": self.steps * TOKENS_PER_STEP}
        found = [f"training.{name}={named.get(name, 'none')}" for name in (*given, "max_epochs")]
        if self.steps is not None:
            rows = max(1, TOKENS_PER_STEP // config.data.context_length)
            found += [f"training.batch_size={rows}", "training.gradient_accumulation_steps=1"]
        steps = None if is_counted else self._steps(config)
        if steps is not None:
            often = max(1, steps // _FEWEST_MEASUREMENTS)
            found.append(f"training.eval_interval={min(config.training.eval_interval, often)}")
            found.append(f"training.log_interval={min(config.training.log_interval, often)}")
            found.append(f"schedule.warmup_steps={min(config.schedule.warmup_steps, often)}")
        return found

    def _steps(self, config: RunConfig) -> int | None:
        """What the budget comes to for a network; None where time decides."""
        if self.tokens is None:
            return self.steps
        per_step = tokens_per_step(config.training, config.data.context_length)
        if self.tokens < per_step:
            raise UserError(
                f"A single step of this {FAMILY_TITLES[config.model.kind]} reads more than the budget",
                value=f"{self.tokens:,} tokens",
                limit=f"at least {per_step:,}",
                remedy="Give more tokens",
            )
        return self.tokens // per_step


def plan_race(
    dataset: str, entrants: Sequence[str], budget: Budget, *, tokenizer: str = "char", seeds: int = 1, group: str = ""
) -> list[RunConfig]:
    """The runs of a race: all entrants with the first seed, then all with the next, so that a first result comes early.

    Args:
        dataset: id or name of a text.
        entrants: families (`lstm`) or names of presets (`gpt2`).
        seeds: runs of each; three or more can tell who is better.

    Raises:
        UserError: fewer than two entrants, one that cannot take part, a budget out of bounds, or too many runs.
    """
    entrants = list(dict.fromkeys(entrants))
    if len(entrants) < 2:
        raise UserError("A race needs at least two models", value=", ".join(entrants), remedy="Name another one")
    if seeds < 1 or len(entrants) * seeds > MOST_RUNS:
        value, limit = f"{len(entrants)} models × {seeds} seeds", f"1 to {MOST_RUNS} runs"
        raise UserError("That is no size for a race", value=value, limit=limit, remedy="Take fewer models or seeds")
    return [_entry(dataset, name, budget, tokenizer, number, group) for number in range(seeds) for name in entrants]


def submit_race(
    workspace: Workspace,
    dataset: str,
    entrants: Sequence[str],
    budget: Budget,
    *,
    tokenizer: str = "char",
    seeds: int = 1,
    name: str = "",
    once: str | None = None,
) -> list[JobRecord]:
    """Queue a race, as `plan_race` plans it; the second call with the same `once` returns the runs of the first.

    Raises:
        UserError: as `plan_race`, or there is no such text, or a run cannot work; then nothing is queued.
    """
    record = find_dataset(workspace, dataset)
    group = free_group(workspace, f"{RACE}{name.strip() or record.name}")
    planned = plan_race(record.name, entrants, budget, tokenizer=tokenizer, seeds=seeds, group=group)
    return submit_group(workspace, planned, once=once)


def possible_entrants() -> dict[str, str]:
    """Titles of everything that can take part: the families, then other presets of a size for a CPU."""
    others = {
        preset.name: preset.title
        for preset in presets().values()
        if preset.scale == "cpu" and preset.config.objective.kind == "causal" and preset.name not in ENTRANTS.values()
    }
    return {kind: FAMILY_TITLES[kind] for kind in ENTRANTS} | others


def _entry(dataset: str, entrant: str, budget: Budget, tokenizer: str, number: int, group: str) -> RunConfig:
    base = find_preset(ENTRANTS.get(entrant, entrant)).config
    if base.objective.kind != "causal":
        raise UserError(
            "This model predicts chosen tokens only, so it has no bits per byte to compare",
            value=entrant,
            limit=", ".join(ENTRANTS),
            remedy="Leave it out of the race",
        )
    title = FAMILY_TITLES.get(entrant, entrant)
    name = f"{group} {title}" if number == 0 else f"{group} {title} seed {number + 1}"
    seed = base.seed + number
    text = [f"data.dataset={dataset}", f"data.tokenizer={tokenizer}"]
    return apply_overrides(base, [f"name={name}", f"group={group}", f"seed={seed}", *text, *budget.settings(base)])
