"""Trainer: everything one run carries from step to step, and the step itself.

One step for every objective and every family: the objective hands out batches and sums their losses; recurrent networks keep their
detached state from batch to batch. Sums are divided once, so that accumulated batches equal one large batch.
Not here: when to stop, log, evaluate (`loop.py`); files (`checkpoint_state.py`).

Axes: B rows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from llm_core.config.run import RunConfig
from llm_core.models.interface import LanguageModel, State
from llm_core.models.registry import build_model
from llm_core.objectives.interface import Batch
from llm_core.objectives.registry import TrainingObjective
from llm_core.text.batches import TokenVector
from llm_core.training.budget import steps_of_budget, steps_of_minutes
from llm_core.training.data_parallel import Alone, Ranks, add_up_gradients, share_of
from llm_core.training.execution import Execution, choose_execution
from llm_core.training.layer_norms import LayerNorms, PartNorms, norms_are_due
from llm_core.training.optimizers import build_optimizer
from llm_core.training.schedules import learning_rate

# A GPU works ahead of the program; after this many steps at the latest the program looks at what came out.
_MAX_UNREAD_STEPS = 64
# A budget in minutes becomes steps once this much was timed: at least so many steps and so long a time.
_TIMED_FROM_STEP, _TIMED_STEPS = 3, 10
_TIMED_SECONDS, _TIMED_SHARE_OF_BUDGET = 2.0, 0.02


@dataclass(frozen=True)
class StepReport:
    """One optimizer step."""

    step: int
    loss: float
    """Nats per target of this step's batch, before the update."""
    grad_norm: float
    """Length of the gradient before clipping."""
    learning_rate: float
    is_finite: bool
    """False when the loss or the gradient was not a number; the weights were then left as they were."""
    starts: tuple[npt.NDArray[np.int64], ...] = ()
    """Where in the training split the rows of each of its batches begin, in tokens."""
    parts: Mapping[str, PartNorms] | None = None
    """How strongly each part of the network learns; None at most steps."""


@dataclass(frozen=True)
class _Unread:
    """A step that was handed to the device; `outcome` holds loss and gradient norm once it is done."""

    step: int
    num_tokens: int
    learning_rate: float
    outcome: Tensor
    starts: tuple[npt.NDArray[np.int64], ...]
    norms_NP: Tensor | None
    """Of the parts of the network, at the steps that are looked at."""


class Trainer:
    """A run between its first and its last step.

    Args:
        config: the whole run.
        train_tokens: the training split.
        objective: what the model is asked to predict, with its vocabulary.
        execution: how to compute; chosen for this machine when None, given again on resume.
    """

    def __init__(
        self,
        config: RunConfig,
        train_tokens: TokenVector,
        objective: TrainingObjective,
        execution: Execution | None = None,
    ) -> None:
        self.config = config
        self._ranks: Ranks = Alone()
        self.objective = objective
        self.step = 0
        self.tokens = 0
        self.seconds = 0.0
        """Training time so far, summed over attempts, without evaluation, sampling and pauses."""
        self.steady_tokens = 0
        self.steady_seconds = 0.0
        """Like `tokens` and `seconds`, without the first step of each attempt, which warms up and compiles."""
        self.batches = objective.reader(train_tokens)
        self.tokens_per_step = round(config.training.gradient_accumulation_steps * self.batches.tokens_per_batch)
        self.total_steps = steps_of_budget(
            config.training, tokens_per_step=self.tokens_per_step, train_tokens=len(train_tokens)
        )
        self.minutes_are_planned = config.training.max_minutes is None
        self.execution = execution or choose_execution(config, objective, self.total_steps)
        if self.execution.device == "cpu":
            torch.set_num_threads(self.execution.num_threads)
        torch.manual_seed(config.seed)
        model = build_model(config.model, objective.vocabulary.size, config.data.context_length)
        self.model: LanguageModel = model.to(self.execution.device).train()
        self.optimizer = build_optimizer(self.model, config.optimizer, self.execution.device)
        self.recurrent_state: State | None = None
        self._layer_norms = LayerNorms(self.model)
        train_step: Any = objective.step(self.model)
        self._train_step = torch.compile(train_step, dynamic=False) if self.execution.compile else train_step
        # Reading a number off a GPU waits for it. There the optimizer kernel itself refuses to update once something was not finite,
        # and the numbers are read when somebody wants them.
        self._reads_late = self.execution.device == "cuda"
        self._has_diverged = torch.zeros((), device=self.execution.device)
        self._unread: list[_Unread] = []
        self._attempt_steps = 0
        self._timed_from: tuple[int, float] | None = None

    def share_with(self, ranks: Ranks) -> None:
        """From now on each step is shared among these processes, all of which must have come to the same place."""
        self._ranks = ranks
        if self.execution.device == "cpu":
            torch.set_num_threads(max(1, self.execution.num_threads // ranks.size))

    @property
    def is_done(self) -> bool:
        """True when the budget is used up."""
        return self.total_steps is not None and self.step >= self.total_steps

    @property
    def has_finite_weights(self) -> bool:
        """False once an update made a weight infinite or no number, which shows in the loss of the next step only."""
        return bool(torch.stack([parameter.isfinite().all() for parameter in self.model.parameters()]).all())

    @property
    def must_read(self) -> bool:
        """True when `take_reports` should be called before the next step."""
        limit = _MAX_UNREAD_STEPS if self._reads_late and self.minutes_are_planned else 1
        return len(self._unread) >= limit

    @property
    def tokens_per_second(self) -> float | None:
        """Training speed over the whole run, without evaluation, sampling, and each attempt's first step; None before the second."""
        return self.steady_tokens / self.steady_seconds if self.steady_seconds > 0 else None

    @property
    def tensor_bytes(self) -> int:
        """Weights and what the optimizer remembers of them: nearly all that a full checkpoint holds."""
        remembered = (value for state in self.optimizer.state.values() for value in state.values())
        tensors = [*self.model.parameters(), *(value for value in remembered if isinstance(value, Tensor))]
        return sum(tensor.nbytes for tensor in tensors)

    def time_anew(self) -> None:
        """Steps cost something else from here on: a budget in minutes is planned from those to come, the first of which warms up."""
        self._timed_from, self._attempt_steps = None, 0

    def run_step(self) -> StepReport:
        """One optimizer step, and what came out of it. A non-finite step leaves weights and step count alone."""
        self.advance()
        return self.take_reports()[-1]

    def advance(self) -> None:
        """Hand one optimizer step to the device: accumulate, check, clip, update. `take_reports` tells what came out."""
        started = time.perf_counter()
        if self._ranks.rank:
            # What dropout draws here must differ from the first process and be found again on resume, so it hangs on the step alone.
            torch.manual_seed(self.config.seed + 1_000_003 * self._ranks.rank + self.step)
        self.optimizer.zero_grad(set_to_none=True)
        batches = [self.batches.next() for _ in range(self.config.training.gradient_accumulation_steps)]
        num_targets = sum(batch.num_targets for batch in batches)
        num_tokens = sum(batch.num_tokens for batch in batches)
        loss_sum = torch.zeros((), device=self.execution.device)
        for batch in batches:
            piece_sum = self._forward(share_of(batch, self._ranks))
            # Each piece is divided by all targets of the step: a mean of means would weigh tokens unequally.
            (piece_sum / num_targets).backward()
            loss_sum += piece_sum.detach()
        self._exchange(loss_sum)
        rate = self._set_learning_rate()
        looked_at = self._layer_norms.before_update() if self._norms_are_due(self.step + 1) else None
        outcome = torch.stack((loss_sum / num_targets, self._clip_gradients()))
        self._update(outcome)
        norms_NP = None if looked_at is None else looked_at.after_update()
        self.step += 1
        self.tokens += num_tokens
        starts = tuple(batch.starts_B for batch in batches if batch.starts_B is not None)
        self._unread.append(_Unread(self.step, num_tokens, rate, outcome, starts, norms_NP))
        self._count_time(time.perf_counter() - started, num_tokens)

    def _exchange(self, loss_sum: Tensor) -> None:
        """Add up gradients and losses of all processes; the others learn when the first one knows the run's end."""
        if self._ranks.size == 1:
            return
        add_up_gradients(self.model, self._ranks)
        is_first = self._ranks.rank == 0
        end = self.total_steps if is_first and self.total_steps is not None else 0
        told = torch.stack((loss_sum, torch.tensor(float(end), device=loss_sum.device)))
        self._ranks.add_up(told)
        loss_sum.copy_(told[0])
        if not is_first:
            self.total_steps = round(float(told[1])) or None

    def take_reports(self) -> list[StepReport]:
        """What came out of the steps since the last call, waiting for the device where needed.

        The list ends at the first step that was not finite; step and token counts then stand where they stood before it.
        """
        started = time.perf_counter()
        unread, self._unread = self._unread, []
        if not unread:
            return []
        numbers = torch.stack([entry.outcome for entry in unread]).tolist()
        self._count_time(time.perf_counter() - started, 0)
        reports: list[StepReport] = []
        for index, (entry, (loss, norm)) in enumerate(zip(unread, numbers, strict=True)):
            is_finite = math.isfinite(loss) and math.isfinite(norm)
            parts = None if entry.norms_NP is None else self._layer_norms.read(entry.norms_NP.tolist())
            reports.append(StepReport(entry.step, loss, norm, entry.learning_rate, is_finite, entry.starts, parts))
            if not is_finite:
                self.step = entry.step - 1
                self.tokens -= sum(later.num_tokens for later in unread[index:])
                break
        if not self.minutes_are_planned and self._ranks.rank == 0:
            self._plan_minutes()
        return reports

    def _norms_are_due(self, step: int) -> bool:
        return self._ranks.rank == 0 and norms_are_due(step, self.config.training.log_interval, self.total_steps)

    def _set_learning_rate(self) -> float:
        rate = learning_rate(
            self.step + 1,
            self.total_steps or self._provisional_steps(),
            self.config.schedule,
            self.config.optimizer.learning_rate,
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def _forward(self, batch: Batch) -> Tensor:
        """Summed loss of one batch; a recurrent network's state is carried on, cut from the graph."""
        arguments: dict[str, Any] = {name: self._to_device(array) for name, array in batch.arrays.items()}
        if batch.restart_B is not None:
            self._prepare_state(batch.restart_B)
            arguments["state"] = self.recurrent_state
        with self.execution.autocast():
            output = self._train_step(**arguments)
        if batch.restart_B is not None:
            self.recurrent_state = output.state.detach()
        return output.loss_sum

    def _prepare_state(self, restart_B: np.ndarray) -> None:
        if self.recurrent_state is None:
            self.recurrent_state = self.model.initial_state(len(restart_B), 0, device=self.execution.device)
        elif restart_B.any():
            self.recurrent_state = self.recurrent_state.restart(torch.from_numpy(restart_B).to(self.execution.device))

    def _to_device(self, array: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(array)
        if self.execution.device == "cuda":
            return tensor.pin_memory().to("cuda", non_blocking=True)
        return tensor.to(self.execution.device)

    def _clip_gradients(self) -> Tensor:
        """Shorten a gradient that is too long; its length before."""
        parameters = [parameter for parameter in self.model.parameters() if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
        clip = self.config.optimizer.gradient_clip
        if clip > 0:
            torch.nn.utils.clip_grads_with_norm_(parameters, clip, norm)
        return norm

    def _update(self, outcome: Tensor) -> None:
        """Let the optimizer change the weights, unless loss or gradient is not finite, now or in an unread step before."""
        if self._reads_late:
            self._has_diverged = torch.maximum(self._has_diverged, (~outcome.isfinite()).any().float())
            # The switch by which mixed-precision training skips steps: fused kernels read it on the device.
            self.optimizer.found_inf = self._has_diverged  # pyright: ignore[reportAttributeAccessIssue]
            self.optimizer.step()
        elif bool(outcome.isfinite().all()):
            self.optimizer.step()

    def _count_time(self, seconds: float, num_tokens: int) -> None:
        self.seconds += seconds
        if num_tokens:
            self._attempt_steps += 1
        if self._attempt_steps > 1:
            self.steady_seconds += seconds
            self.steady_tokens += num_tokens

    def _plan_minutes(self) -> None:
        """Choose the number of steps of a budget in minutes, once enough of them were timed."""
        assert self.config.training.max_minutes is not None
        if self._attempt_steps < _TIMED_FROM_STEP:
            return
        if self._timed_from is None:
            self._timed_from = (self.step, self.seconds)
        steps, seconds = self.step - self._timed_from[0], self.seconds - self._timed_from[1]
        enough_seconds = min(_TIMED_SECONDS, _TIMED_SHARE_OF_BUDGET * 60 * self.config.training.max_minutes)
        if steps < _TIMED_STEPS or seconds < enough_seconds:
            return
        planned = steps_of_minutes(
            self.config.training.max_minutes,
            seconds_so_far=self.seconds,
            seconds_per_step=seconds / steps,
            steps_so_far=self.step,
        )
        self.total_steps = min(planned, self.total_steps or planned)
        self.minutes_are_planned = True

    def _provisional_steps(self) -> int:
        """Stands for the end that is not known yet; only the warm-up reads it."""
        return 1_000_000
