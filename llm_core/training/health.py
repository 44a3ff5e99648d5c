"""Watches the health of a run while it trains, and tells each trouble once.

It only looks on, at logged steps, and costs next to nothing. Not here: the rules (`health_rules.py`, `health_sudden.py`), when they are
asked (`health_watch.py`), where findings are kept (whoever gives `tell`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llm_core.training.health_finding import Finding
from llm_core.training.health_history import Facts, facts_of_settings
from llm_core.training.health_watch import HealthWatch
from llm_core.training.observers import LogPoint, Observer
from llm_core.training.trainer import Trainer


class HealthObserver(Observer):
    """The rules of health as an observer of the loop.

    Args:
        trainer: of the run, before its first step.
        tell: called with each trouble when it begins.
        validation_loss: the newest loss on validation text; asked right after an evaluation.
        train_tokens: in the training split.
        unigram_nats: the level of knowing only how often each token occurs, where the objective compares with it.
        checkpoints: steps of the checkpoints that are there already.
    """

    def __init__(
        self,
        trainer: Trainer,
        tell: Callable[[Finding], None],
        validation_loss: Callable[[], float | None],
        *,
        train_tokens: int,
        unigram_nats: float | None = None,
        checkpoints: Sequence[int] = (),
    ) -> None:
        self._tell = tell
        self._validation_loss = validation_loss
        self._train_tokens = train_tokens
        self._unigram_nats = unigram_nats
        self._config, self._total_steps = trainer.config, trainer.total_steps
        self._watch = HealthWatch(self._facts(trainer), checkpoints)

    def on_log(self, trainer: Trainer, point: LogPoint) -> None:
        # A person may change settings on the way; a changed configuration is another object.
        if trainer.config is not self._config or trainer.total_steps != self._total_steps:
            self._config, self._total_steps = trainer.config, trainer.total_steps
            self._watch.change_facts(self._facts(trainer))
        report = point.report
        speed = None if point.tokens_per_second is None else (point.tokens_per_second, point.seconds)
        for finding in self._watch.logged(
            report.step, report.loss, report.grad_norm, report.learning_rate, speed, report.parts
        ):
            self._tell(finding)

    def on_evaluation(self, trainer: Trainer, *, is_last: bool) -> None:
        loss = self._validation_loss()
        # The last one covers other text than those before and would look like a rise or a gain.
        if loss is not None and not is_last:
            self._watch.evaluated(trainer.step, loss)

    def on_checkpoint(self, trainer: Trainer) -> None:
        self._watch.checkpointed(trainer.step)

    def _facts(self, trainer: Trainer) -> Facts:
        return facts_of(trainer, train_tokens=self._train_tokens, unigram_nats=self._unigram_nats)


def facts_of(trainer: Trainer, *, train_tokens: int, unigram_nats: float | None) -> Facts:
    """What the rules need to know of a run, from its settings as they are now."""
    return facts_of_settings(
        trainer.config,
        vocabulary_size=trainer.objective.vocabulary.size,
        total_steps=trainer.total_steps,
        tokens_per_step=trainer.tokens_per_step,
        train_tokens=train_tokens,
        unigram_nats=unigram_nats,
    )
