"""The health of a run kept beside its points: each trouble becomes an event `health` that pages show with its way out.

Not here: the rules (`llm_core.training.health_rules`), the observer (`llm_core.training.health`).
"""

from __future__ import annotations

from pathlib import Path

from llm_core.backend.run_recorder import RunRecorder
from llm_core.text.token_set import TokenSet
from llm_core.training.health import HealthObserver
from llm_core.training.health_finding import Finding
from llm_core.training.trainer import Trainer
from llm_core.workspace.checkpoints import list_checkpoints
from llm_core.workspace.metrics import MetricsWriter

# Objectives whose loss compares with guessing each token by its frequency: what is predicted are ordinary tokens of the text.
_COMPARE_WITH_FREQUENCIES = ("causal", "masked")


def watch_health(
    trainer: Trainer, recorder: RunRecorder, writer: MetricsWriter, tokens: TokenSet, folder: Path
) -> HealthObserver:
    """An observer that writes what the rules find; to stand after the recorder, whose validation losses it reads."""

    def tell(finding: Finding) -> None:
        writer.event("health", f"{finding.title}: {finding.saw}", step=finding.step, data=finding.to_event())

    compares = trainer.config.objective.kind in _COMPARE_WITH_FREQUENCIES
    return HealthObserver(
        trainer,
        tell,
        lambda: recorder.validation_loss,
        train_tokens=len(tokens.train),
        unigram_nats=tokens.meta.unigram_entropy_nats if compares else None,
        checkpoints=[info.step for info in list_checkpoints(folder) if info.step <= trainer.step],
    )
