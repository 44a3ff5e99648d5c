"""A training job: text to tokens, a trainer built or restored, or counting in its place, and how the run ends.

Not here: claiming and final faults (`worker.py`), the sign of life (`lease.py`), moments of the loop on disk (`run_recorder.py`).
"""

from __future__ import annotations

from pathlib import Path

from llm_core.backend.endings import CANCELLED, Cancelled, StopSignal, explain
from llm_core.backend.lease import Heartbeat
from llm_core.backend.ranks import ranks_of
from llm_core.backend.run_control import RunControl
from llm_core.backend.run_progress import RunProgress
from llm_core.backend.run_recorder import RunRecorder
from llm_core.backend.run_tokens import tokens_of_run
from llm_core.backend.worker_count import count_run
from llm_core.config.objective import CausalConfig
from llm_core.config.run import RunConfig, config_from_dict
from llm_core.config.timing import Timing
from llm_core.models.counting import count_parameters
from llm_core.models.families import families
from llm_core.objectives.pair_objective import PairObjective, PairReader
from llm_core.objectives.registry import objective_for
from llm_core.text.pair_batches import require_pairs, torn_pairs
from llm_core.text.token_set import TokenSet
from llm_core.training.checkpoint_state import restore_trainer
from llm_core.training.loop import train
from llm_core.training.trainer import Trainer
from llm_core.workspace.checkpoints import newest_valid, remove_partial
from llm_core.workspace.job_record import FAILED, STOPPED, JobRecord
from llm_core.workspace.leases import LeaseLost
from llm_core.workspace.metrics import MetricsWriter, seal_metrics
from llm_core.workspace.metrics_read import segments
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
            control = RunControl(folder, writer, stop, heartbeat)
            tokens = tokens_of_run(workspace, config, progress, control)
            if families()[config.model.kind].is_counted:
                result, summary = count_run(folder, config, tokens, token, writer, progress, control)
            else:
                trainer, checkpoint = _trainer(folder, config, tokens, writer, progress)
                recorder = RunRecorder(folder, token, writer, tokens, progress, heartbeat, timing)
                with ranks_of(config, folder, tokens, checkpoint, trainer.execution) as ranks:
                    trainer.share_with(ranks)
                    result = train(trainer, [recorder], control)
                summary = recorder.summary(trainer, result)
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
        writer.record_state(result.state, reason=result.reason, remedy=result.remedy, result=summary)
        writer.heartbeat(progress.to_dict())
        with Registry(workspace) as registry:
            registry.move(
                record.id, result.state, token=token, reason=result.reason, remedy=result.remedy, result=summary
            )
    seal_metrics(folder)


def _trainer(
    folder: Path, config: RunConfig, tokens: TokenSet, writer: MetricsWriter, progress: RunProgress
) -> tuple[Trainer, Path | None]:
    """A new trainer, or the one of the newest whole checkpoint and that; a new stretch of the curve begins either way."""
    objective = objective_for(config, tokens.tokenizer)
    if isinstance(objective, PairObjective):
        require_pairs(tokens.meta)
    elif tokens.meta.is_pairs and isinstance(config.objective, CausalConfig) and config.objective.within_documents:
        raise torn_pairs()
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
    if isinstance(trainer.batches, PairReader) and trainer.batches.num_cut:
        context = config.data.context_length
        writer.event(
            "cut", f"{trainer.batches.num_cut:,} pairs are longer than {context:,} tokens and lose their ends."
        )
    progress.values = {"parameters": parameters, "device": trainer.execution.device, "step": trainer.step}
    progress.phase = "first step"
    return trainer, None if checkpoint is None else checkpoint.path
