"""Trainer: everything one run carries from step to step, and the step itself.

One step for both families: recurrent networks read on in their streams and keep their detached state, Transformers read windows
from anywhere. Losses are summed over tokens and divided once, so that accumulated batches equal one large batch.
Not here: when to stop, log, evaluate (`loop.py`); files (`checkpoint_state.py`).

Axes: B rows, T positions.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from llm_core.config.run import RunConfig
from llm_core.models.interface import LanguageModel, State
from llm_core.models.registry import build_model
from llm_core.objectives.train_step import TrainStep
from llm_core.text.batches import RandomWindows, RecurrentStreams, TokenVector
from llm_core.training.budget import steps_of_budget, steps_of_minutes, tokens_per_step
from llm_core.training.execution import Execution, choose_execution
from llm_core.training.optimizers import build_optimizer
from llm_core.training.schedules import learning_rate

# A budget in minutes is turned into steps after this many; the first ones include warming up the machine.
_TIMED_FROM_STEP, _TIMED_TO_STEP = 3, 13


@dataclass(frozen=True)
class StepReport:
    """One optimizer step."""

    step: int
    loss: float
    """Nats per token of this step's batch, before the update."""
    grad_norm: float
    """Length of the gradient before clipping."""
    learning_rate: float
    is_finite: bool
    """False when the loss or the gradient was not a number; the weights were then left as they were."""


class Trainer:
    """A run between its first and its last step.

    Args:
        config: the whole run.
        train_tokens: the training split.
        vocabulary_size: of the tokenizer.
        execution: how to compute; chosen for this machine when None, given again on resume.
    """

    def __init__(
        self, config: RunConfig, train_tokens: TokenVector, vocabulary_size: int, execution: Execution | None = None
    ) -> None:
        self.config = config
        self.vocabulary_size = vocabulary_size
        self.step = 0
        self.tokens = 0
        self.seconds = 0.0
        """Training time so far, summed over attempts, without evaluation, sampling and pauses."""
        self.tokens_per_step = tokens_per_step(config.training, config.data.context_length)
        self.total_steps = steps_of_budget(
            config.training, tokens_per_step=self.tokens_per_step, train_tokens=len(train_tokens)
        )
        self.minutes_are_planned = config.training.max_minutes is None
        self.execution = execution or choose_execution(config, vocabulary_size, self.total_steps)
        if self.execution.device == "cpu":
            torch.set_num_threads(self.execution.num_threads)
        torch.manual_seed(config.seed)
        model = build_model(config.model, vocabulary_size, config.data.context_length)
        self.model: LanguageModel = model.to(self.execution.device).train()
        self.optimizer = build_optimizer(self.model, config.optimizer, self.execution.device)
        self.batches: RandomWindows | RecurrentStreams
        if self.model.is_recurrent:
            self.batches = RecurrentStreams(train_tokens, config.training.batch_size, config.data.context_length)
        else:
            self.batches = RandomWindows(
                train_tokens, config.training.batch_size, config.data.context_length, config.seed
            )
        self.recurrent_state: State | None = None
        train_step: Any = TrainStep(self.model)
        self._train_step = torch.compile(train_step, dynamic=False) if self.execution.compile else train_step
        self._timed_since = 0.0

    @property
    def is_done(self) -> bool:
        """True when the budget is used up."""
        return self.total_steps is not None and self.step >= self.total_steps

    def run_step(self) -> StepReport:
        """One optimizer step: accumulate, check, clip, update. A non-finite step leaves weights and step count alone."""
        started = time.perf_counter()
        rate = learning_rate(
            self.step + 1,
            self.total_steps or self._provisional_steps(),
            self.config.schedule,
            self.config.optimizer.learning_rate,
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        num_targets = self.tokens_per_step
        loss_sum = torch.zeros((), device=self.execution.device)
        for _ in range(self.config.training.gradient_accumulation_steps):
            piece_sum = self._forward()
            # Every batch has the same number of targets, so dividing each by the total equals one large batch.
            (piece_sum / num_targets).backward()
            loss_sum += piece_sum.detach()
        clip = self.config.optimizer.gradient_clip
        grad_norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), clip if clip > 0 else math.inf)
        loss, norm = torch.stack([loss_sum / num_targets, grad_norm]).tolist()
        is_finite = math.isfinite(loss) and math.isfinite(norm)
        if is_finite:
            self.optimizer.step()
            self.step += 1
            self.tokens += num_targets
        self._count_time(time.perf_counter() - started)
        return StepReport(self.step if is_finite else self.step + 1, loss, norm, rate, is_finite)

    def _forward(self) -> Tensor:
        """Summed loss of the next batch."""
        if self.model.is_recurrent:
            assert isinstance(self.batches, RecurrentStreams)
            inputs, targets, restart = self.batches.next()
            self._prepare_state(len(inputs), restart)
        else:
            inputs, targets = self.batches.next()[:2]
        with self.execution.autocast():
            output = self._train_step(self._to_device(inputs), self._to_device(targets), self.recurrent_state)
        if self.model.is_recurrent:
            self.recurrent_state = output.state.detach()
        return output.loss_sum

    def _prepare_state(self, batch_size: int, restart: np.ndarray) -> None:
        if self.recurrent_state is None:
            self.recurrent_state = self.model.initial_state(batch_size, 0, device=self.execution.device)
        elif restart.any():
            self.recurrent_state = self.recurrent_state.restart(torch.from_numpy(restart).to(self.execution.device))

    def _to_device(self, tokens: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(tokens)
        if self.execution.device == "cuda":
            return tensor.pin_memory().to("cuda", non_blocking=True)
        return tensor.to(self.execution.device)

    def _count_time(self, seconds: float) -> None:
        self.seconds += seconds
        if self.minutes_are_planned:
            return
        if self.step == _TIMED_FROM_STEP:
            self._timed_since = self.seconds
        elif self.step == _TIMED_TO_STEP:
            assert self.config.training.max_minutes is not None
            pace = (self.seconds - self._timed_since) / (_TIMED_TO_STEP - _TIMED_FROM_STEP)
            planned = steps_of_minutes(
                self.config.training.max_minutes,
                seconds_so_far=self.seconds,
                seconds_per_step=pace,
                steps_so_far=self.step,
            )
            self.total_steps = min(planned, self.total_steps or planned)
            self.minutes_are_planned = True

    def _provisional_steps(self) -> int:
        """Stands for the end that is not known yet; only the warm-up reads it."""
        return 1_000_000
