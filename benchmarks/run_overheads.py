"""What it costs a run to be watched, and how long it takes to obey.

    python -m benchmarks.run_overheads

The same steps are trained bare (the loop alone) and as a worker trains them: points, health, heartbeat and a look at commands.db at every
step. Evaluations, samples and checkpoints are left out on both sides: a person chooses how often those happen. Then commands are appended
one after the other to a run under way, and the time until the answer was on the disk is kept.
Not here: the speed of a step against other programs (`training_speed.py`).
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results import compare, print_rates, timed, write_result
from llm_core.backend.endings import StopSignal
from llm_core.backend.lease import Heartbeat
from llm_core.backend.run_control import RunControl
from llm_core.backend.run_progress import RunProgress
from llm_core.backend.training_attempt import TrainingAttempt
from llm_core.config.overrides import apply_overrides
from llm_core.config.presets import preset
from llm_core.config.run import RunConfig
from llm_core.config.timing import Timing
from llm_core.objectives.registry import objective_for
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus
from llm_core.text.token_set import TokenSet
from llm_core.text.tokens import prepare_tokens
from llm_core.training.loop import train
from llm_core.training.trainer import Trainer
from llm_core.workspace.commands import append_command
from llm_core.workspace.metrics import MetricsWriter
from llm_core.workspace.metrics_read import acks
from llm_core.workspace.paths import open_workspace

BARE, WATCHED = "the loop alone", "as a worker trains"
STEPS, ROUNDS, COMMANDS = 60, 9, 20
NEVER = 10_000_000


def main() -> int:
    """Measure both and keep the result."""
    with tempfile.TemporaryDirectory() as folder:
        tokens, config = begin(Path(folder))
        speed = compare(
            {BARE: bare(config, tokens), WATCHED: watched(config, tokens, Path(folder))}, against=BARE, rounds=ROUNDS
        )
        print_rates("Steps of pocket-gpt", "steps/s", speed)
        answers = obeying(config, tokens, Path(folder))
        print("A command is answered", answers)
    print(f"Kept in {write_result('run-overheads', {'speed': speed, 'commands': answers})}")
    return 0


def begin(folder: Path) -> tuple[TokenSet, RunConfig]:
    """A text in tokens and pocket-gpt on it, without evaluations, samples and checkpoints on the way."""
    workspace = open_workspace(folder / "workspace")
    letters = np.random.default_rng(0).choice(list("abcdefghijklmnopqrstuvwxyz \n"), 200_000)
    import_corpus(workspace, "".join(letters), ImportOptions(name="letters", kind="paste"))
    rare = [f"training.{name}_interval={NEVER}" for name in ("eval", "sample", "checkpoint")]
    rare += ["training.eval_tokens=1000", "training.sample_tokens=1"]
    config = apply_overrides(
        preset("pocket-gpt"), ["data.dataset=letters", "data.tokenizer=char", f"training.max_steps={NEVER}", *rare]
    )
    return prepare_tokens(workspace, config.data), config


def bare(config: RunConfig, tokens: TokenSet) -> Callable[[], float]:
    """Steps per second of the trainer in the loop that nobody watches."""
    trainer = Trainer(config, tokens.train, objective_for(config, tokens.tokenizer))
    trainer.run_step()

    def turn() -> float:
        trainer.total_steps = trainer.step + STEPS
        # The last step calls for everything, but nobody is there to do it.
        return timed(lambda: train(trainer), STEPS)

    return turn


def watched(config: RunConfig, tokens: TokenSet, folder: Path) -> Callable[[], float]:
    """Steps per second as a worker does them, between two points of its own clock: the start of a run is not a step."""
    number = iter(range(1_000))

    def turn() -> float:
        seen: list[tuple[int, float]] = []

        class Clock(RunControl):
            def poll(self, trainer: Trainer) -> Any:
                seen.append((trainer.step, time.perf_counter()))
                if trainer.step == STEPS + 1:
                    append_command(self._folder, "stop", {"save": False})
                return super().poll(trainer)

        run_once(config, tokens, folder / f"run-{next(number)}", Clock)
        (first, started), (last, ended) = seen[1], seen[-1]
        return (last - first) / (ended - started)

    return turn


def run_once(config: RunConfig, tokens: TokenSet, run_folder: Path, control_class: type[RunControl]) -> None:
    """One run in this process, with everything a worker has around it."""
    run_folder.mkdir()
    progress = RunProgress(phase="")
    timing = Timing()
    with MetricsWriter(run_folder, "000001-benchmark") as writer:
        heartbeat = Heartbeat(writer.heartbeat, progress.to_dict, timing)
        heartbeat.start()
        try:
            control = control_class(run_folder, writer, StopSignal(), heartbeat)
            attempt = TrainingAttempt(
                run_folder, config, tokens, "000001-benchmark", writer, progress, heartbeat, timing
            )
            attempt.run(control)
        finally:
            heartbeat.stop()


def obeying(config: RunConfig, tokens: TokenSet, folder: Path) -> dict[str, float]:
    """Milliseconds from a command on the disk to its answer on the disk, and those of a step."""
    run_folder = folder / "obeying"
    waits: list[float] = []

    def ask() -> None:
        while not (run_folder / "metrics.db").exists() or not heartbeat_has_steps(run_folder):
            time.sleep(0.05)
        for number in range(COMMANDS):
            command = append_command(run_folder, "set", {"optimizer.learning_rate": 1e-3 * (0.99**number)})
            started = time.perf_counter()
            while not any(ack.command_id == command for ack in acks(run_folder)):
                time.sleep(0.001)
            waits.append(1000 * (time.perf_counter() - started))
        append_command(run_folder, "stop", {"save": False})

    asker = threading.Thread(target=ask)
    asker.start()
    steps: list[float] = []

    class Clock(RunControl):
        def poll(self, trainer: Trainer) -> Any:
            steps.append(time.perf_counter())
            return super().poll(trainer)

    run_once(config, tokens, run_folder, Clock)
    asker.join()
    step_ms = 1000 * np.diff(np.array(steps))
    return {
        "commands": COMMANDS,
        "median_ms": round(float(np.median(waits)), 1),
        "most_ms": round(max(waits), 1),
        "median_step_ms": round(float(np.median(step_ms)), 1),
    }


def heartbeat_has_steps(run_folder: Path) -> bool:
    """Whether the loop is under way."""
    from llm_core.workspace.metrics_read import heartbeat

    beat = heartbeat(run_folder)
    return beat is not None and bool(beat.progress.get("step"))


if __name__ == "__main__":
    sys.exit(main())
