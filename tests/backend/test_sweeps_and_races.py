"""Plans of sweeps and races, and what they put into a real queue."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_core.backend.endings import StopSignal
from llm_core.backend.group_submission import usable_name
from llm_core.backend.race import TOKENS_PER_STEP, Budget, plan_race, possible_entrants, submit_race
from llm_core.backend.sweeps import MOST_RUNS, Axis, plan_grid, plan_random, read_axis, submit_sweep
from llm_core.backend.worker import run_in_foreground
from llm_core.config.errors import UserError
from llm_core.config.overrides import apply_overrides, flatten
from llm_core.config.run import RunConfig
from llm_core.config.timing import Timing
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus
from llm_core.training.budget import tokens_per_step
from llm_core.workspace.job_record import QUEUED
from llm_core.workspace.locks import FileLock
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import summarise_run

BASE = RunConfig()


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Workspace]:
    """A workspace whose queue nobody works off: the supervisor's place is taken."""
    workspace = open_workspace(tmp_path / "home")
    import_corpus(workspace, "the statement is executed " * 200, ImportOptions(name="letters", kind="paste"))
    with FileLock(workspace.supervisor_lock) as lock:
        assert lock.try_acquire()
        yield workspace


def queued(workspace: Workspace) -> list[str]:
    with Registry(workspace) as registry:
        return [record.name for record in registry.jobs("train", [QUEUED])][::-1]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=3, unique_by=lambda value: f"{value:.4g}"),
    st.lists(st.integers(1, 64), min_size=1, max_size=3, unique=True),
)
def test_a_grid_holds_every_combination_once(rates: list[float], batches: list[int]) -> None:
    written = [f"{rate:.4g}" for rate in rates]
    axes = [Axis("optimizer.learning_rate", tuple(written)), Axis("training.batch_size", tuple(map(str, batches)))]
    if len(rates) * len(batches) == 1:
        with pytest.raises(UserError, match="Nothing varies"):
            plan_grid(BASE, axes)
        return
    planned = plan_grid(BASE, axes)
    made = [(config.optimizer.learning_rate, config.training.batch_size) for config in planned]
    assert made == [(float(rate), batch) for rate in written for batch in batches]
    assert len({config.name for config in planned}) == len(planned)
    rest = {path: value for path, value in flatten(BASE).items() if path not in (*(axis.path for axis in axes), "name")}
    assert all(rest.items() <= flatten(config).items() for config in planned), "nothing else has changed"


@settings(max_examples=30, deadline=None)
@given(st.floats(1e-6, 1e-2), st.floats(1.5, 1000.0), st.integers(1, 20), st.integers(0, 2**31), st.booleans())
def test_draws_stay_in_their_range_and_repeat(low: float, factor: float, count: int, seed: int, is_log: bool) -> None:
    high = min(100.0, low * factor)
    axis = Axis("optimizer.learning_rate", low=low, high=high, is_log=is_log)
    planned = plan_random(BASE, [axis], count, random_seed=seed).runs
    drawn = [config.optimizer.learning_rate for config in planned]
    # Three significant digits may round past the edge by half of the last one.
    assert len(set(drawn)) == count and all(0.995 * low <= rate <= 1.005 * high for rate in drawn)
    assert planned == plan_random(BASE, [axis], count, random_seed=seed).runs


def test_axes_are_read_as_they_are_written() -> None:
    assert read_axis("optimizer.learning_rate=0.001, 0.003,0.001").values == ("0.001", "0.003")
    assert read_axis("model.num_layers=2..8") == Axis("model.num_layers", low=2, high=8, is_whole=True)
    assert read_axis("optimizer.learning_rate=1e-4..1e-2:log").is_log
    assert read_axis('data.dataset=["a, b", "c"]').values == ("a, b", "c")
    assert read_axis("training.sample_prompts=Now, then").values == ("Now, then",)
    whole = plan_random(BASE, [read_axis("training.batch_size=4..64:log")], 20).runs
    assert all(4 <= config.training.batch_size <= 64 for config in whole)
    seeds = plan_grid(BASE, [read_axis("model.hidden_size=32,64"), read_axis("model.kind=lstm"), read_axis("seed=1,2")])
    assert [(config.model.kind, config.model.hidden_size, config.seed) for config in seeds] == [  # pyright: ignore
        *(("lstm", 32, 1), ("lstm", 32, 2), ("lstm", 64, 1), ("lstm", 64, 2)),
    ]
    assert seeds[0].name == "hidden_size 32, seed 1"


WRONG: dict[str, Callable[[], object]] = {
    "name=value,value": lambda: read_axis("optimizer.learning_rate"),
    "A value is empty": lambda: read_axis("seed=1,,2"),
    "not JSON": lambda: read_axis("seed=[1,"),
    "low..high": lambda: read_axis("optimizer.learning_rate=0.1..0.01"),
    "begins above 0": lambda: read_axis("optimizer.weight_decay=0..0.1:log"),
    "no setting to vary": lambda: read_axis("name=a,b"),
    "A grid needs the values": lambda: plan_grid(BASE, [read_axis("optimizer.learning_rate=0.1..1")]),
    "varied twice": lambda: plan_grid(BASE, [read_axis("seed=1,2"), read_axis("seed=3")]),
    f"Limit: 1 to {MOST_RUNS}": lambda: plan_grid(BASE, [read_axis("seed=" + ",".join(map(str, range(201))))]),
    "too few combinations": lambda: plan_random(BASE, [read_axis("seed=1,2")], 3),
    "There is no setting optimizer.rate": lambda: plan_grid(BASE, [read_axis("optimizer.rate=1,2")]),
    r"With model\.hidden_size=100": lambda: plan_grid(
        BASE, [read_axis("model.hidden_size=128,100"), read_axis("model.num_heads=8")]
    ),
    "at least two models": lambda: plan_race("x", ["lstm", "lstm"], Budget(minutes=1)),
    "one budget": lambda: plan_race("x", ["lstm", "gru"], Budget(minutes=1, steps=3)),
    "no bits per byte": lambda: plan_race("x", ["lstm", "bert"], Budget(minutes=1)),
    "There is no preset": lambda: plan_race("x", ["lstm", "nothing"], Budget(minutes=1)),
    "max_minutes": lambda: plan_race("x", ["lstm", "gru"], Budget(minutes=0)),
    "LSTM reads more than the budget": lambda: plan_race("x", ["transformer", "lstm"], Budget(tokens=2_000)),
    "no size for a race": lambda: plan_race("x", ["lstm", "gru"], Budget(minutes=1), seeds=40),
}


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_plan_says_what_is_wrong(message: str) -> None:
    with pytest.raises(UserError, match=message if "\\" in message else None) as caught:
        WRONG[message]()
    assert "\\" in message or message in str(caught.value)


def test_a_race_gives_everyone_the_same_text_and_budget() -> None:
    planned = plan_race("letters", ["ngram", "lstm", "gpt2"], Budget(tokens=100_000), seeds=2, group="race letters")
    assert [config.name for config in planned[:3]] == ["race letters n-gram", "race letters LSTM", "race letters gpt2"]
    assert [config.seed for config in planned] == [1337] * 3 + [1338] * 3
    for config in planned:
        budget = config.training
        assert (budget.max_tokens, budget.max_steps, budget.max_minutes) == (100_000, None, None)
        assert (config.data.dataset, config.data.tokenizer, config.group) == ("letters", "char", "race letters")
        if config.model.kind != "ngram":
            steps = 100_000 // tokens_per_step(budget, config.data.context_length)
            assert budget.eval_interval <= max(1, steps // 10), "a short run has a curve too"
    assert {"lstm", "gpt2", "llama"} <= possible_entrants().keys() and "bert" not in possible_entrants()


def test_a_race_over_steps_reads_as_much_text_in_each() -> None:
    everyone = [*possible_entrants(), "gpt-124m"]
    for config in plan_race("letters", everyone, Budget(steps=30)):
        training = config.training
        if config.model.kind == "ngram":
            assert (training.max_tokens, training.max_steps) == (30 * TOKENS_PER_STEP, None)
        else:
            assert (training.max_tokens, training.max_steps) == (None, 30)
            assert tokens_per_step(training, config.data.context_length) == TOKENS_PER_STEP, config.name


@pytest.mark.parametrize(
    ("budget", "read"),
    [
        (Budget(tokens=4_500), {"ngram": 4_500, "rnn": 2 * 2_048}),
        (Budget(steps=2), dict.fromkeys(("ngram", "rnn"), 4_096)),
    ],
    ids=["tokens", "steps"],
)
def test_everyone_in_a_race_has_read_what_the_budget_says(
    queue: Workspace, budget: Budget, read: dict[str, int]
) -> None:
    for record in submit_race(queue, "letters", list(read), budget):
        done = run_in_foreground(queue, record.id, Timing.from_environment(), StopSignal())
        assert done.state == "finished", done.reason
        summary = summarise_run(queue, done)
        assert summary.tokens == read[summary.kind]
        if summary.kind == "ngram":
            assert f"on the first {summary.tokens:,} of 4,680 tokens" in summary.reason


def test_a_race_is_queued_once_and_in_order(queue: Workspace) -> None:
    first = submit_race(queue, "letters", ["lstm", "gru"], Budget(steps=5), once="click")
    again = submit_race(queue, "letters", ["lstm", "gru"], Budget(steps=5), once="click")
    assert [record.id for record in first] == [record.id for record in again]
    assert {record.config["data"]["dataset"] for record in first} == {"letters"}, "the name, which people read"
    assert queued(queue) == ["race letters LSTM", "race letters GRU"]
    another = submit_race(queue, "letters", ["lstm", "gru"], Budget(steps=5))
    assert {str(record.config["group"]) for record in another} == {"race letters 2"}
    with pytest.raises(UserError, match="There is no such text"):
        submit_race(queue, "nowhere", ["lstm", "gru"], Budget(steps=5))
    assert len(queued(queue)) == 4


def test_a_draw_that_cannot_work_makes_room_for_another() -> None:
    axes = [read_axis("model.hidden_size=100..300"), read_axis("model.num_heads=4,8,abc")]
    draw = plan_random(BASE, axes, 12, random_seed=3)
    shapes = [(config.model.hidden_size, config.model.num_heads) for config in draw.runs]  # pyright: ignore
    assert len(set(shapes)) == 12 and all(width % heads == 0 for width, heads in shapes)
    assert (
        draw.runs == plan_random(BASE, axes, 12, random_seed=3).runs != plan_random(BASE, axes, 12, random_seed=4).runs
    )
    assert draw.passed_over.startswith(f"{len(draw.refused)} combinations that cannot work") and draw.refused
    easy = plan_random(BASE, [read_axis("seed=1..1000")], 3)
    assert not easy.passed_over
    none = [read_axis("model.hidden_size=101,103,107"), read_axis("model.num_heads=8")]
    with pytest.raises(UserError, match=r"With model\.hidden_size=10\d, model\.num_heads=8"):
        plan_random(BASE, none, 2)
    with pytest.raises(
        UserError, match=r"2 that were drawn cannot work\. With model\.hidden_size=10\d.*Limit: about 1"
    ):
        plan_random(BASE, [read_axis("model.hidden_size=101,103,128"), read_axis("model.num_heads=8")], 2)


def test_a_sweep_is_queued_whole_or_not_at_all(queue: Workspace) -> None:
    base = apply_overrides(BASE, ["data.dataset=letters", "data.context_length=16"])
    made = submit_sweep(queue, base, [read_axis("optimizer.learning_rate=0.001,0.002")], name="rates")
    assert queued(queue) == ["learning_rate 0.001", "learning_rate 0.002"]
    assert {str(record.config["group"]) for record in made} == {"sweep rates"}
    again = submit_sweep(
        queue, base, [read_axis("optimizer.learning_rate=1e-4..1e-2:log")], random_runs=3, name="rates"
    )
    assert {str(record.config["group"]) for record in again} == {"sweep rates 2"}
    with pytest.raises(UserError, match=r"context_length 4000: The text is too short"):
        submit_sweep(queue, base, [read_axis("data.context_length=16,4000")])
    assert len(queued(queue)) == 5, "a run that cannot work keeps all of them out"


def test_what_cannot_stand_in_a_name_is_left_out() -> None:
    assert usable_name("dataset owner/name\n" + 100 * "x") == ("dataset owner-name" + 100 * "x")[:95]
