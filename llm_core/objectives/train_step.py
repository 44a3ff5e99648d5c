"""TrainStep: the one module that is compiled or wrapped; it turns a batch into a summed loss and a token count.

Forward pass, head and loss happen inside its `forward`, because wrappers for several devices intercept only that call, and
because a compiler fuses what it can see. Not here: gradients, clipping, optimizer steps (`llm_core.training.loop`).

Axes: B batch, T positions, V vocabulary.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from llm_core.models.interface import LanguageModel, State
from llm_core.objectives.causal import summed_cross_entropy


class StepOutput(NamedTuple):
    """The sum of the losses in nats (float32, scalar), the number of targets, and what the model remembers."""

    loss_sum: Tensor
    num_targets: int
    state: State | None


class TrainStep(nn.Module):
    """A model with the causal objective on top."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs_BT: Tensor, targets_BT: Tensor, state: State | None = None) -> StepOutput:
        """Sum of -ln p(target) over all targets. A sum, never a mean: means of means weigh tokens unequally."""
        output = self.model(inputs_BT, state=state)
        loss_sum = summed_cross_entropy(self.model.logits(output.hidden_BTD), targets_BT)
        return StepOutput(loss_sum, targets_BT.numel(), output.state)
