"""A training job: text to tokens, a trainer built or restored, the loop, and every moment of it on disk.

The loop knows nothing of files; the observer here turns its moments into points, events, samples and checkpoints under the lease.
Not here: claiming and final faults (`worker.py`), the sign of life (`lease.py`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm_core.backend.endings import CANCELLED, Cancelled, StopSignal, explain
from llm_core.backend.lease import Heartbeat
from llm_core.config.data import DataConfig
from llm_core.config.errors import UserError
from llm_core.config.objective_words import ObjectiveWords, objective_words
from llm_core.config.run import RunConfig, config_from_dict
from llm_core.config.timing import Timing
from llm_core.models.counting import count_parameters
from llm_core.objectives.pair_objective import PairObjective
from llm_core.objectives.registry import objective_for
from llm_core.text.pair_batches import require_pairs
from llm_core.text.token_set import TokenSet
from llm_core.text.tokens import find_tokens
from llm_core.training.checkpoint_state import checkpoint_writers, restore_trainer
from llm_core.training.loop import TrainResult, train
from llm_core.training.measurement import measure
from llm_core.training.observers import Instruction, LogPoint, Observer
from llm_core.training.samples import write_samples
from llm_core.training.trainer import Trainer
from llm_core.workspace.checkpoints import (
    checkpoint_path,
    newest_valid,
    remove_partial,
    thin_checkpoints,
    write_checkpoint,
)
from llm_core.workspace.commands import RESUME, Command, read_commands
from llm_core.workspace.job_record import FAILED, STOPPED, JobRecord
from llm_core.workspace.leases import LeaseLost
from llm_core.workspace.metrics import MetricsWriter, seal_metrics
from llm_core.workspace.metrics_read import acks, segments
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import prepare_run_folder


def run_training(workspace: Workspace, record: JobRecord, token: str, stop: StopSignal, timing: Timing) -> None:
    """Train the run to a final state and seal its folder."""
    folder = prepare_run_folder(workspace, record)
    config = config_from_dict(record.config)
    progress = RunProgress(phase="reading text")
    with MetricsWriter(folder, token) as writer:
        heartbeat = Heartbeat(writer.heartbeat, progress.to_dict, timing)
        heartbeat.start()
        try:
            remove_partial(folder)
            control = _Control(folder, writer, stop, heartbeat)
            tokens = _tokens(workspace, config, progress, control)
            trainer = _trainer(folder, config, tokens, writer, progress)
            recorder = _Recorder(folder, token, writer, tokens, progress, heartbeat, timing)
            result = train(trainer, [recorder], control)
            progress.phase = result.state
        except LeaseLost:
            raise
        except Exception as error:
            # The run folder alone must tell how the run ended; the caller tells the registry.
            cancelled = isinstance(error, Cancelled)
            reason, remedy = (CANCELLED, "") if cancelled else explain(error)
            writer.record_state(STOPPED if cancelled else FAILED, reason=reason, remedy=remedy)
            raise
        finally:
            heartbeat.stop()
        summary = recorder.summary(trainer, result)
        writer.record_state(result.state, reason=result.reason, remedy=result.remedy, result=summary)
        writer.heartbeat(progress.to_dict())
        with Registry(workspace) as registry:
            registry.move(
                record.id, result.state, token=token, reason=result.reason, remedy=result.remedy, result=summary
            )
    seal_metrics(folder)


@dataclass
class RunProgress:
    """How far the run is, as pages show it. Written by the loop, read by the heartbeat thread; single assignments are atomic."""

    phase: str
    detail: str = ""
    fraction: float | None = None
    values: dict[str, Any] = field(default_factory=dict[str, Any])

    def to_dict(self) -> dict[str, Any]:
        return {**self.values, "phase": self.phase, "detail": self.detail, "fraction": self.fraction}


def _tokens(workspace: Workspace, config: RunConfig, progress: RunProgress, control: _Control) -> TokenSet:
    """The encoded text; made first, in a process of its own, where it is not there yet."""
    found = find_tokens(workspace, config.data)
    if found is None:
        _prepare(workspace, config.data, progress, control)
        found = find_tokens(workspace, config.data)
        assert found is not None, "preparing ended well, so the tokens are there"
    return found


def _prepare(workspace: Workspace, data: DataConfig, progress: RunProgress, control: _Control) -> None:
    """Cut the text in a child process, which alone loads the table library, and pass its progress on."""
    command = [sys.executable, "-m", "llm_core.text.prepare", str(workspace.root), data.model_dump_json()]
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONSAFEPATH": "1"}
    last: dict[str, Any] = {}
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, encoding="utf-8", env=environment
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if control.stop_is_wanted():
                child.terminate()
                raise Cancelled
            last = json.loads(line)
            if "phase" in last:
                progress.phase = last["phase"]
                progress.fraction = last["done"] / last["total"] if last.get("total") else None
    if child.returncode == 0:
        return
    error = last.get("error")
    if error is None:
        raise RuntimeError(f"the process that cuts the text ended with status {child.returncode}")
    raise UserError(error["what"], value=error["value"], limit=error["limit"], remedy=error["remedy"] or "")


def _trainer(
    folder: Path, config: RunConfig, tokens: TokenSet, writer: MetricsWriter, progress: RunProgress
) -> Trainer:
    """A new trainer, or the one of the newest whole checkpoint; a new stretch of the curve begins either way."""
    objective = objective_for(config, tokens.tokenizer)
    if isinstance(objective, PairObjective):
        require_pairs(tokens.meta)
    parameters = count_parameters(config.model, objective.vocabulary.size, config.data.context_length).total
    progress.phase, progress.fraction = f"building {parameters / 1e6:.2g} M parameters", None
    checkpoint = newest_valid(folder, on_problem=lambda problem: writer.event("damaged", problem))
    known = segments(folder)
    parent = known[-1].id if known else None
    if checkpoint is None:
        if parent is not None:
            writer.begin_segment(parent, -1)
        trainer = Trainer(config, tokens.train, objective)
    else:
        trainer = restore_trainer(checkpoint.path, tokens.train, objective, lambda text: writer.event("hardware", text))
        writer.begin_segment(parent, trainer.step)
        writer.event("resumed", f"Resumed from the checkpoint at step {trainer.step:,}.", step=trainer.step)
    progress.values = {"parameters": parameters, "device": trainer.execution.device, "step": trainer.step}
    progress.phase = "first step"
    return trainer


class _Control:
    """Reads commands at each step boundary, as cheaply as one look at a file's time.

    What was said before a person resumed the run is over. A stop that was acknowledged since then and lost its worker before it ended
    still counts.
    """

    def __init__(self, folder: Path, writer: MetricsWriter, stop: StopSignal, heartbeat: Heartbeat) -> None:
        self._folder = folder
        self._file = folder / "commands.db"
        self._writer = writer
        self._stop = stop
        self._heartbeat = heartbeat
        self._seen: tuple[int, int] | None = None
        said = read_commands(folder)
        self._after = max((command.rowid for command in said if command.kind == RESUME), default=0)
        answered = {ack.command_id for ack in acks(folder)}
        self._answered = {command.id for command in said if command.id in answered and command.kind != "stop"}
        self._waiting: list[Command] = []

    def poll(self, trainer: Trainer) -> Instruction:
        self._alive()
        if self._stop.requested:
            return Instruction(stop=True, stop_reason="The process was asked to end.")
        stop, save = False, False
        waiting, self._waiting = [*self._waiting, *self._new_commands()], []
        for command in waiting:
            stop |= command.kind == "stop"
            save |= command.kind == "checkpoint"
            known = command.kind in ("stop", "checkpoint")
            self._writer.ack(
                command.id, known, trainer.step, reason="" if known else f"{command.kind} is not known here"
            )
        return Instruction(stop=stop, stop_reason="Stopped on request." if stop else "", checkpoint=save)

    def stop_is_wanted(self) -> bool:
        """Before there is a step to finish: whether the run should end now. A stop is acknowledged, all else waits for the loop."""
        self._alive()
        self._waiting += self._new_commands()
        stops = [command for command in self._waiting if command.kind == "stop"]
        for command in stops:
            self._writer.ack(command.id, True, 0)
        return bool(stops) or self._stop.requested

    def _alive(self) -> None:
        if self._heartbeat.lease_is_lost:
            raise LeaseLost("another worker holds this run")
        self._heartbeat.moved()

    def _new_commands(self) -> list[Command]:
        try:
            stat = self._file.stat()
        except FileNotFoundError:
            return []
        stamp = (stat.st_mtime_ns, stat.st_size)
        if stamp == self._seen:
            return []
        self._seen = stamp
        commands = [command for command in read_commands(self._folder, self._after) if command.id not in self._answered]
        if commands:
            self._after = commands[-1].rowid
        return commands


class _Recorder(Observer):
    """Moments of the loop to points, samples, checkpoints and progress."""

    def __init__(
        self,
        folder: Path,
        token: str,
        writer: MetricsWriter,
        tokens: TokenSet,
        progress: RunProgress,
        heartbeat: Heartbeat,
        timing: Timing,
    ) -> None:
        self._folder = folder
        self._token = token
        self._writer = writer
        self._tokens = tokens
        self._progress = progress
        self._heartbeat = heartbeat
        self._timing = timing
        self._committed_at = 0.0
        self._measured: dict[str, float] = {}
        self._train_loss: float | None = None
        self._attempt_tokens = 0
        self._attempt_seconds = 0.0

    def on_log(self, trainer: Trainer, point: LogPoint) -> None:
        report = point.report
        values = {
            self._words(trainer).train_key: report.loss,
            "grad_norm": report.grad_norm,
            "learning_rate": report.learning_rate,
        }
        if point.tokens_per_second is not None:
            values["tokens_per_second"] = point.tokens_per_second
        for key, value in values.items():
            self._writer.point(key, report.step, point.tokens, point.seconds, value)
        self._train_loss = report.loss
        self._show(trainer, point)
        now = time.monotonic()
        if report.step == 1 or not report.is_finite or now - self._committed_at > self._timing.commit_seconds:
            self._committed_at = now
            self._writer.heartbeat(self._progress.to_dict())

    @staticmethod
    def _words(trainer: Trainer) -> ObjectiveWords:
        return objective_words()[trainer.config.objective.kind]

    def _show(self, trainer: Trainer, point: LogPoint) -> None:
        speed = point.tokens_per_second or self._progress.values.get("tokens_per_second")
        total = trainer.total_steps
        left = None
        if speed and total is not None:
            left = (total - trainer.step) * trainer.tokens_per_step / speed
        self._progress.values = {
            **self._progress.values,
            "step": trainer.step,
            "max_steps": total,
            "tokens": trainer.tokens,
            "seconds": trainer.seconds,
            "tokens_per_second": speed,
            "eta_seconds": left,
            "train_loss": point.report.loss,
        }
        self._progress.phase = "training"
        self._progress.fraction = trainer.step / total if total else None

    def on_evaluation(self, trainer: Trainer, *, is_last: bool) -> None:
        limit = 0 if is_last else trainer.config.training.eval_tokens
        before = self._progress.phase
        self._progress.phase = "evaluating"
        values = measure(
            trainer.config,
            trainer.objective,
            trainer.model,
            self._tokens.validation,
            self._tokens.tokenizer,
            limit_tokens=limit,
            on_piece=self._heartbeat.moved,
        )
        self._progress.phase = before
        for key, value in values.items():
            self._writer.point(key, trainer.step, trainer.tokens, trainer.seconds, value)
        self._measured = values
        loss = values[self._words(trainer).validation_key]
        self._progress.values = {**self._progress.values, "val_loss": loss}
        self._writer.commit()

    def on_sample(self, trainer: Trainer) -> None:
        training = trainer.config.training
        samples = write_samples(trainer, self._tokens.tokenizer, self._tokens.validation, training.sample_prompts)
        for sample in samples:
            data = {"seed": sample.seed, "temperature": training.sample_temperature}
            if sample.expected:
                data |= {"expected": sample.expected}
            self._writer.sample(trainer.step, sample.prompt, sample.text, data)
        self._writer.commit()

    def on_checkpoint(self, trainer: Trainer) -> None:
        if checkpoint_path(self._folder, trainer.step).exists():
            return
        self._writer.commit()
        write_checkpoint(
            self._folder,
            trainer.step,
            checkpoint_writers(trainer, self._tokens.tokenizer),
            lease_token=self._token,
            extra={"val_loss": self._measured.get(self._words(trainer).validation_key)},
        )
        thin_checkpoints(self._folder, trainer.config.training.checkpoint_bytes)
        self._writer.event("checkpoint", f"Checkpoint at step {trainer.step:,}.", step=trainer.step)
        self._writer.commit()

    def summary(self, trainer: Trainer, result: TrainResult) -> dict[str, Any]:
        """The figures of `glassbox train --json`."""
        train_loss = result.train_loss if result.train_loss is not None else self._train_loss
        return {
            "steps": trainer.step,
            # A loss that is no code length is told under its own name alone.
            **dict.fromkeys(("train_loss", "val_loss", "bits_per_byte")),
            self._words(trainer).train_key: train_loss,
            **self._measured,
            "tokens_per_second": trainer.tokens_per_second,
            "seconds": trainer.seconds,
            "parameters": self._progress.values.get("parameters"),
        }
