"""A training job: text to tokens, training or counting, and how the run ends.

Not here: claiming and final faults (`worker.py`), the sign of life (`lease.py`), training itself (`training_attempt.py`).
"""

from __future__ import annotations

from llm_core.backend.endings import CANCELLED, Cancelled, StopSignal, explain
from llm_core.backend.environment import record_environment
from llm_core.backend.lease import Heartbeat
from llm_core.backend.loggers.metrics_writer import open_metrics_writer
from llm_core.backend.memory_shortage import memory_shortage_named
from llm_core.backend.run_commands import present_config
from llm_core.backend.run_control import RunControl
from llm_core.backend.run_progress import RunProgress
from llm_core.backend.run_tokens import tokens_of_run
from llm_core.backend.training_attempt import TrainingAttempt
from llm_core.backend.worker_count import count_run
from llm_core.config.run import config_from_dict
from llm_core.config.timing import Timing
from llm_core.models.families import families
from llm_core.text.vocabulary import model_vocabulary
from llm_core.workspace.checkpoints import remove_partial
from llm_core.workspace.job_record import FAILED, PAUSED, STOPPED, JobRecord
from llm_core.workspace.leases import LeaseLost
from llm_core.workspace.metrics import seal_metrics
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import prepare_run_folder


def run_training(workspace: Workspace, record: JobRecord, token: str, stop: StopSignal, timing: Timing) -> None:
    """Train the run to a final state and seal its folder."""
    folder = prepare_run_folder(workspace, record)
    config = config_from_dict(record.config)
    progress = RunProgress(phase="reading text")
    with open_metrics_writer(folder, token, record, config) as writer:
        heartbeat = Heartbeat(writer.heartbeat, progress.to_dict, timing)
        heartbeat.start()
        try:
            remove_partial(folder)
            control = RunControl(folder, writer, stop, heartbeat)
            tokens = tokens_of_run(workspace, config, progress, control)
            if families()[config.model.kind].is_counted:
                record_environment(folder, tokens.meta)
                result, summary = count_run(folder, config, tokens, token, writer, progress, control)
            else:
                attempt = TrainingAttempt(folder, config, tokens, token, writer, progress, heartbeat, timing)
                size = model_vocabulary(tokens.tokenizer, config.objective).size
                with memory_shortage_named(lambda: present_config(workspace, record), size):
                    result, summary = attempt.run(control)
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
        if result.state == PAUSED:
            writer.event(PAUSED, result.reason, step=progress.values.get("step"))  # a mark on the curve
        writer.record_state(result.state, reason=result.reason, remedy=result.remedy, result=summary)
        writer.heartbeat(progress.to_dict())
        with Registry(workspace) as registry:
            registry.move(
                record.id, result.state, token=token, reason=result.reason, remedy=result.remedy, result=summary
            )
    seal_metrics(folder)
