"""Moments of a training loop on disk: points, events, samples and checkpoints, all under the run's lease.

Not here: the loop (`llm_core.training.loop`), how a run begins and ends (`worker_train.py`).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from llm_core.backend.lease import Heartbeat
from llm_core.backend.run_progress import RunProgress
from llm_core.config.objective_words import ObjectiveWords, objective_words
from llm_core.config.timing import Timing
from llm_core.text.token_set import TokenSet
from llm_core.training.checkpoint_state import checkpoint_writers
from llm_core.training.loop import TrainResult
from llm_core.training.measurement import measure
from llm_core.training.observers import LogPoint, Observer
from llm_core.training.samples import write_samples
from llm_core.training.trainer import Trainer
from llm_core.workspace.checkpoints import checkpoint_path, thin_checkpoints, write_checkpoint
from llm_core.workspace.metrics import MetricsWriter


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
        self._measured: dict[str, float] = {}
        self._train_loss: float | None = None

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
