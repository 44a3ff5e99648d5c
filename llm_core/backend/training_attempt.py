"""One attempt at a run in a worker: a trainer built or restored, the loop, and every way back that is asked for on the way.

Not here: how a run begins and ends (`worker_train.py`), moments of the loop on disk (`run_recorder.py`), commands (`run_control.py`).
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_core.backend.device_points import DevicePoints
from llm_core.backend.endings import explain
from llm_core.backend.environment import record_environment
from llm_core.backend.lease import Heartbeat
from llm_core.backend.ranks import ranks_of
from llm_core.backend.run_control import ROLLED_BACK, RollBack, RunControl
from llm_core.backend.run_health import watch_health
from llm_core.backend.run_progress import RunProgress
from llm_core.backend.run_recorder import RunRecorder
from llm_core.config.errors import UserError
from llm_core.config.objective import CausalConfig
from llm_core.config.run import RunConfig, load_config
from llm_core.config.timing import Timing
from llm_core.models.counting import count_parameters
from llm_core.objectives.pair_objective import PairObjective, PairReader
from llm_core.objectives.registry import objective_for
from llm_core.text.pair_batches import require_pairs, torn_pairs
from llm_core.text.token_set import TokenSet
from llm_core.training.beginnings import Beginning, begin_trainer
from llm_core.training.checkpoint_state import CONFIG_FILE
from llm_core.training.live_changes import change_trainer
from llm_core.training.loop import TrainResult, train
from llm_core.training.trainer import Trainer
from llm_core.workspace.checkpoints import CheckpointInfo, newest_valid, remove_after, set_aside_after
from llm_core.workspace.disk_space import DiskNearlyFull, is_disk_full
from llm_core.workspace.lineage import read_lineage
from llm_core.workspace.metrics import MetricsWriter
from llm_core.workspace.metrics_read import heartbeat as heartbeat_of
from llm_core.workspace.metrics_read import segments


@dataclass(frozen=True)
class TrainingAttempt:
    """One attempt at a run, from its newest checkpoint to its end, with every way back that is asked for on the way."""

    folder: Path
    config: RunConfig
    tokens: TokenSet
    token: str
    writer: MetricsWriter
    progress: RunProgress
    heartbeat: Heartbeat
    timing: Timing

    def run(self, control: RunControl) -> tuple[TrainResult, dict[str, Any]]:
        """How it ended, and the figures of `glassbox train --json`."""
        control.attach(self._change)
        back = control.roll_back_at_start()
        while True:
            if back is not None:
                self._go_back(back)
            trainer, beginning = self._trainer(back)
            record_environment(self.folder, self.tokens.meta, trainer.execution.to_dict())
            recorder = RunRecorder(
                self.folder, self.token, self.writer, self.tokens, self.progress, self.heartbeat, self.timing
            )
            with (
                ranks_of(beginning, self.folder, self.tokens, trainer.execution) as ranks,
                DevicePoints(self.writer, self.progress, self.folder),
            ):
                trainer.share_with(ranks)
                result = self._train(trainer, recorder, control)
            if result.roll_back_to is None:
                return result, recorder.summary(trainer, result)
            back = RollBack(result.roll_back_command, result.roll_back_to, trainer.step)

    def _train(self, trainer: Trainer, recorder: RunRecorder, control: RunControl) -> TrainResult:
        health = watch_health(trainer, recorder, self.writer, self.tokens, self.folder)
        try:
            return train(trainer, [recorder, health], control)
        except (DiskNearlyFull, OSError, sqlite3.OperationalError) as error:
            # Before a checkpoint could be half written: the run rests, and goes on from its last whole one.
            if not (isinstance(error, DiskNearlyFull) or is_disk_full(error)):
                raise
            reason, remedy = explain(error)
            return TrainResult("paused", reason, remedy, None)
        finally:
            control.keep_what_was_asked_for()

    def _change(self, trainer: Trainer, config: RunConfig) -> None:
        change_trainer(trainer, config, self.tokens.train, objective_for(config, self.tokens.tokenizer))

    def _go_back(self, back: RollBack) -> None:
        """Abandon what came after; its points stay in the file as a stretch that is no longer part of the run."""
        present = heartbeat_of(self.folder)
        known = int(present.progress.get("step") or 0) if present is not None else 0
        steps = remove_after(self.folder, back.to_step)
        from_step = max([known, back.from_step, back.to_step, *steps])
        data = {"command": back.command_id, "from_step": from_step, "to_step": back.to_step}
        self.writer.event(ROLLED_BACK, f"Rolled back to step {back.to_step:,}.", step=back.to_step, data=data)
        self.writer.commit()

    def _trainer(self, back: RollBack | None) -> tuple[Trainer, Beginning]:
        """A new trainer, or the one of the newest whole checkpoint, and where it began; a new stretch of the curve begins either way."""
        folder, config, writer, tokens, progress = self.folder, self.config, self.writer, self.tokens, self.progress
        objective = objective_for(config, tokens.tokenizer)
        if isinstance(objective, PairObjective):
            require_pairs(tokens.meta)
        elif tokens.meta.is_pairs and isinstance(config.objective, CausalConfig) and config.objective.within_documents:
            raise torn_pairs()
        parameters = count_parameters(config.model, objective.vocabulary.size, config.data.context_length).total
        progress.phase, progress.fraction = f"building {parameters / 1e6:.2g} M parameters", None
        checkpoint = newest_valid(folder, on_problem=lambda problem: writer.event("damaged", problem))
        for aside in set_aside_after(folder, -1 if checkpoint is None else checkpoint.step):
            writer.event("damaged", f"It is kept as {aside.name}; the run goes on from the one before.")
        known = segments(folder)
        parent = known[-1].id if known else None
        beginning = self._beginning(checkpoint)
        trainer, anew = begin_trainer(beginning, tokens, on_notice=lambda text: writer.event("hardware", text))
        if checkpoint is not None:
            writer.begin_segment(parent, trainer.step)
        elif parent is not None:
            writer.begin_segment(parent, -1)
        is_new_fork = parent is None and read_lineage(folder) is not None
        is_known = back is None and not is_new_fork and (checkpoint is not None or parent is not None)
        self._tell_beginning(trainer, checkpoint, anew, is_known=is_known)
        if isinstance(trainer.batches, PairReader) and trainer.batches.num_cut:
            context = config.data.context_length
            writer.event(
                "cut", f"{trainer.batches.num_cut:,} pairs are longer than {context:,} tokens and lose their ends."
            )
        progress.values = {"parameters": parameters, "device": trainer.execution.device, "step": trainer.step}
        progress.phase = "first step"
        return trainer, beginning

    def _beginning(self, checkpoint: CheckpointInfo | None) -> Beginning:
        """From a checkpoint exactly as it was, or, where a fork begins or the optimizer is gone, as near as can be."""
        lineage = read_lineage(self.folder)
        if checkpoint is None:
            if lineage is not None:
                raise UserError(
                    "The checkpoint that this fork began with is damaged or gone",
                    value=f"step {lineage.step:,} of {lineage.parent_name}",
                    remedy="Fork the run anew",
                )
            return Beginning(self.config)
        if checkpoint.text not in ("", self.tokens.meta.identity):
            raise UserError(
                "The text or its tokenizer is not the one that this run was trained on so far",
                value=f"{self.config.data.dataset}, {self.config.data.tokenizer}",
                remedy="Bring back the former ones under these names, or start a new run",
            )
        if lineage is not None and lineage.step == checkpoint.step:
            return Beginning(self.config, checkpoint.path, is_exact=False)
        # Settings may have changed on the way, so those of the checkpoint count.
        saved = load_config((checkpoint.path / CONFIG_FILE).read_bytes())
        return Beginning(saved, checkpoint.path, is_exact=checkpoint.kind == "full")

    def _tell_beginning(
        self, trainer: Trainer, checkpoint: CheckpointInfo | None, anew: str, *, is_known: bool
    ) -> None:
        """What a person should learn about where the run goes on.

        Args:
            anew: what was not in the checkpoint.
            is_known: whether there was an attempt before, and nobody asked to go back.
        """
        lineage = read_lineage(self.folder)
        if checkpoint is None:
            if is_known:
                self.writer.event("anew", "There is no checkpoint to go on from, so the run begins anew.")
            return
        if lineage is not None and lineage.step == checkpoint.step:
            self.writer.event(
                "forked", f"Forked from {lineage.parent_name} at step {trainer.step:,}.", step=trainer.step
            )
        if anew:
            self.writer.event("anew", f"From step {trainer.step:,} {anew} starts anew.", step=trainer.step)
        if is_known:
            self.writer.event("resumed", f"Resumed from the checkpoint at step {trainer.step:,}.", step=trainer.step)
