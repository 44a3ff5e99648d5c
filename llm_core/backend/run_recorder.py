"""Moments of a training loop on disk: points, events, samples and checkpoints, all under the run's lease.

Not here: the loop (`llm_core.training.loop`), how a run begins and ends (`worker_train.py`).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from llm_core.backend.lease import Heartbeat
from llm_core.backend.peak_flops import full_speed
from llm_core.backend.run_progress import RunProgress
from llm_core.backend.time_left import TimeLeft, TimeRange, work_ahead
from llm_core.config.objective_words import ObjectiveWords, objective_words
from llm_core.config.timing import Timing
from llm_core.models.counting import training_flops_per_token
from llm_core.objectives.row_shape import row_shape
from llm_core.text.token_set import TokenSet
from llm_core.training.checkpoint_state import checkpoint_writers
from llm_core.training.execution import device_name
from llm_core.training.loop import TrainResult
from llm_core.training.measurement import measure
from llm_core.training.observers import LogPoint, Observer
from llm_core.training.samples import write_samples
from llm_core.training.trainer import StepReport, Trainer
from llm_core.workspace.checkpoints import checkpoint_path, thin_checkpoints, write_checkpoint
from llm_core.workspace.disk_space import disk_full, is_disk_full, require_room_for_last_words, require_space
from llm_core.workspace.metrics import MetricsWriter

# Of a step that was not finite, at most so many rows are named.
KEPT_POSITIONS = 4_096
_NOT_LOOKED_UP = -1.0


class RunRecorder(Observer):
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
        self._time_left = TimeLeft()
        self._full_speed: float | None = _NOT_LOOKED_UP
        self._measured: dict[str, float] = {}
        self.validation_loss: float | None = None
        """Measured last, in nats per target."""
        self._train_loss: float | None = None

    def on_log(self, trainer: Trainer, point: LogPoint) -> None:
        report = point.report
        for key, value in self._values(trainer, point).items():
            self._writer.point(key, report.step, point.tokens, point.seconds, value)
        if not report.is_finite:
            self._record_divergence(report)
        self._train_loss = report.loss
        self._time_left.stepped(trainer.step, trainer.seconds)
        now = time.monotonic()
        is_due = report.step == 1 or not report.is_finite or now - self._committed_at > self._timing.commit_seconds
        self._show(trainer, point, with_time_left=is_due)
        if is_due:
            self._committed_at = now
            require_room_for_last_words(self._folder)
            self._writer.heartbeat(self._progress.to_dict())

    def _values(self, trainer: Trainer, point: LogPoint) -> dict[str, float]:
        """What is measured at a logged step, by key."""
        report, speed = point.report, point.tokens_per_second
        values = {
            self._words(trainer).train_key: report.loss,
            "grad_norm": report.grad_norm,
            "learning_rate": report.learning_rate,
        }
        if speed is not None:
            values["tokens_per_second"] = speed
            if self._full_speed == _NOT_LOOKED_UP:
                self._full_speed = _full_speed(trainer)
            if self._full_speed is not None:
                values["mfu"] = speed / self._full_speed
        for part, norms in (report.parts or {}).items():
            values |= {f"gradient_norm/{part}": norms.gradient_norm, f"update_ratio/{part}": norms.update_ratio}
            values |= {} if norms.dead_share is None else {f"dead_units/{part}": norms.dead_share}
        return values

    def _record_divergence(self, report: StepReport) -> None:
        """Which text was read in the step that was not finite."""
        positions = [int(start) for starts in report.starts for start in starts[:KEPT_POSITIONS]]
        data = {"step": report.step, "positions": positions[:KEPT_POSITIONS]}
        message = f"Step {report.step:,} was not finite: loss {report.loss}, gradient norm {report.grad_norm}."
        self._writer.event("diverged", message, step=report.step, data=data)

    @staticmethod
    def _words(trainer: Trainer) -> ObjectiveWords:
        return objective_words()[trainer.config.objective.kind]

    def _show(self, trainer: Trainer, point: LogPoint, *, with_time_left: bool) -> None:
        total = trainer.total_steps
        shown = {
            "step": trainer.step,
            "max_steps": total,
            "tokens": trainer.tokens,
            "seconds": trainer.seconds,
            "tokens_per_second": point.tokens_per_second or self._progress.values.get("tokens_per_second"),
            "train_loss": point.report.loss,
        }
        left = self._left(trainer, total) if with_time_left and total is not None else None
        if left is not None:
            shown |= {"eta_seconds": left.usual, "eta_low_seconds": left.low, "eta_high_seconds": left.high}
        self._progress.values = {**self._progress.values, **shown}
        self._progress.phase = "training"
        self._progress.fraction = trainer.step / total if total else None

    def _left(self, trainer: Trainer, total_steps: int) -> TimeRange | None:
        """The time left, evaluations and samples included."""
        training, whole = trainer.config.training, len(self._tokens.validation)
        ahead = work_ahead(training, trainer.step, total_steps, whole)
        return self._time_left.left(ahead, min(training.eval_tokens or whole, whole), trainer.tokens_per_step)

    def on_evaluation(self, trainer: Trainer, *, is_last: bool) -> None:
        limit = 0 if is_last else trainer.config.training.eval_tokens
        before, started = self._progress.phase, time.perf_counter()
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
        if not is_last:
            self._time_left.took("evaluation", time.perf_counter() - started)
        for key, value in values.items():
            self._writer.point(key, trainer.step, trainer.tokens, trainer.seconds, value)
        self._measured = values
        self.validation_loss = values[self._words(trainer).validation_key]
        self._progress.values = {**self._progress.values, "val_loss": self.validation_loss}
        self._writer.commit()

    def on_sample(self, trainer: Trainer) -> None:
        training, started = trainer.config.training, time.perf_counter()
        samples = write_samples(trainer, self._tokens.tokenizer, self._tokens.validation, training.sample_prompts)
        for sample in samples:
            data = {"seed": sample.seed, "temperature": training.sample_temperature}
            if sample.expected:
                data |= {"expected": sample.expected}
            self._writer.sample(trainer.step, sample.prompt, sample.text, data)
        self._writer.commit()
        self._time_left.took("sample", time.perf_counter() - started)

    def on_checkpoint(self, trainer: Trainer) -> None:
        """Write a checkpoint unless there is one of this step; raises DiskNearlyFull before or while it would be half written."""
        if checkpoint_path(self._folder, trainer.step).exists():
            return
        started = time.perf_counter()
        self._writer.commit()
        require_space(self._folder, trainer.tensor_bytes, what="the checkpoint")
        try:
            write_checkpoint(
                self._folder,
                trainer.step,
                checkpoint_writers(trainer, self._tokens.tokenizer),
                lease_token=self._token,
                extra={
                    "val_loss": self._measured.get(self._words(trainer).validation_key),
                    "text": self._tokens.meta.identity,
                },
            )
        except (OSError, SafetensorError) as error:
            if is_disk_full(error):
                raise disk_full(self._folder, what="the checkpoint") from error
            raise
        thin_checkpoints(self._folder, trainer.config.training.checkpoint_bytes)
        self._writer.event("checkpoint", f"Checkpoint at step {trainer.step:,}.", step=trainer.step)
        self._writer.commit()
        self._time_left.took("checkpoint", time.perf_counter() - started)

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


def _full_speed(trainer: Trainer) -> float | None:
    """Tokens per second at the peak of the chip that computes; None where that is not known."""
    config, execution = trainer.config, trainer.execution
    flops = training_flops_per_token(
        config.model, trainer.objective.vocabulary.size, config.data.context_length, row=row_shape(config)
    )
    return full_speed(flops, device_name(execution.device), execution.precision, config.hardware.num_processes)
