"""Optimizers: AdamW, Adam and SGD of torch, fused where torch has it, with weight decay only where it belongs.

Not here: the learning rate over time (`schedules.py`), clipping (`trainer.py`).
"""

from __future__ import annotations

import torch
from torch import nn

from llm_core.config.learning import OptimizerConfig


def build_optimizer(model: nn.Module, config: OptimizerConfig, device: str) -> torch.optim.Optimizer:
    """The optimizer over all parameters of the model, in two groups: with and without decay."""
    groups = parameter_groups(model, config.weight_decay)
    fused = device in ("cpu", "cuda")
    if config.kind == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum, fused=fused)
    kind = torch.optim.AdamW if config.kind == "adamw" else torch.optim.Adam
    return kind(groups, lr=config.learning_rate, betas=(config.beta1, config.beta2), eps=config.epsilon, fused=fused)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Matrices decay; norms, biases and token vectors do not, for them a pull to zero is a pull away from their meaning."""
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    decayed: list[nn.Parameter] = []
    kept: list[nn.Parameter] = []
    for parameter in model.parameters():
        (decayed if parameter.dim() >= 2 and id(parameter) not in embeddings else kept).append(parameter)
    assert len(decayed) + len(kept) == sum(1 for _ in model.parameters()), "every parameter belongs to one group"
    groups: list[dict[str, object]] = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
