"""`glassbox race` and `glassbox sweep`: what they queue, what they refuse."""

from __future__ import annotations

from llm_core.workspace.job_record import QUEUED
from llm_core.workspace.locks import FileLock
from llm_core.workspace.registry import Registry
from tests.backend.support import wait_for
from tests.cli.support import TINY_SETTINGS, Command


def test_races_and_sweeps_are_queued_from_the_command_line(glassbox: Command) -> None:
    sets = [
        part for setting in (*TINY_SETTINGS, "optimizer.learning_rate=0.001..0.1:log") for part in ("--set", setting)
    ]
    planned = glassbox.json("sweep", *sets, "--random", "3", "--dry-run")["runs"]
    rates = [run["config"]["optimizer"]["learning_rate"] for run in planned]
    assert len(set(rates)) == 3 and all(0.001 <= rate <= 0.1 for rate in rates)
    assert {run["config"]["model"]["hidden_size"] for run in planned} == {16}, "one value is no axis"
    assert "varied" in glassbox.error("sweep", "--set", "seed=1,2", "--set", "seed=3")["what"]
    assert "two models" in glassbox.error("race", "lstm", "--on", "letters")["what"]
    with FileLock(glassbox.workspace.supervisor_lock) as lock:
        wait_for("the supervisor of other tests to leave", lock.try_acquire)
        race = glassbox.json(
            "race", "ngram", "lstm", "--on", "letters", "--steps", "5", "--seeds", "2", "--name", "of two"
        )
        sweep = glassbox.json("sweep", *sets[:-2], "--set", "seed=1,2")
        with Registry(glassbox.workspace) as registry:
            queued = {record.id: record for record in registry.jobs("train", [QUEUED])}
            made = [queued[run["run_id"]] for run in (*race["runs"], *sweep["runs"])]
            for record in made:
                registry.cancel(record.id)
                registry.delete(record.id)
    assert (race["group"], sweep["group"]) == ("race of two", "sweep letters")
    assert [record.name for record in made[:2]] == ["race of two n-gram", "race of two LSTM"]
    assert [record.config["seed"] for record in made] == [1337, 1337, 1338, 1338, 1, 2]
