"""How strongly each part of a network learns: its gradient before clipping, and how far one update moves its weights.

Looked at in few steps (`norms_are_due`), because a look reads all weights a few times over. It only reads: weights, optimizer and random
numbers are what they would be without it, and nothing here waits for the device. Not here: what the figures mean (`health_rules.py`).

Axes: N figures, P parts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

EMBEDDING, HEAD = "embedding", "head"
# Over a whole run about so many looks, never closer than so many steps: under a thousandth of the time of training.
_LOOKS, _CLOSEST_STEPS = 200, 20
_LAYER = re.compile(r"(?:(encoder|decoder)\.)?layers\.(\d+)\.")
_NO_UNITS = -1.0


@dataclass(frozen=True)
class PartNorms:
    """One part of the network at one step."""

    gradient_norm: float
    """Length of its gradient before clipping."""
    update_ratio: float
    """Length of the change that this step made to its weights, divided by the length of the weights."""
    dead_share: float | None
    """Share of units whose gradient is exactly 0, in the matrix of the part that has most of them; None for embedding and head."""


class LayerNorms:
    """The parts of a model, ready to be looked at."""

    def __init__(self, model: nn.Module) -> None:
        self._parts = parts_of(model)
        # Rows of a table that the text did not ask for have no gradient either, and are no units.
        tables = {id(p) for name, p in model.named_parameters() if "embed" in name or "relative_bias" in name}
        self._matrices = {
            part: [p for p in group if p.dim() == 2 and id(p) not in tables and part != HEAD]
            for part, group in self._parts.items()
        }

    def before_update(self) -> PartsBefore:
        """To be called with fresh gradients, before they are clipped."""
        return PartsBefore(self._parts, self._matrices)

    def read(self, numbers_NP: list[list[float]]) -> dict[str, PartNorms]:
        """What `PartsBefore.after_update` gave, as plain numbers by part."""
        return {
            part: PartNorms(gradient, ratio, None if dead == _NO_UNITS else dead)
            for part, gradient, ratio, dead in zip(self._parts, *numbers_NP, strict=True)
        }


class PartsBefore:
    """A step between its gradients and its update."""

    def __init__(self, parts: Mapping[str, list[nn.Parameter]], matrices: Mapping[str, list[nn.Parameter]]) -> None:
        self._parts = parts
        self._gradient_norms_P = torch.stack([_norm(_gradients(group)) for group in parts.values()])
        self._dead_P = torch.stack([self._dead_share(_gradients(matrices[part])) for part in parts])
        self._weight_norms_P = torch.stack([_norm([p.detach() for p in group]) for group in parts.values()])
        self._weights = {part: [p.detach().clone() for p in group] for part, group in parts.items()}

    def after_update(self) -> Tensor:
        """Gradient norms, update ratios and shares of dead units [3, P], on the device of the model."""
        for part, before in self._weights.items():
            for old, new in zip(before, self._parts[part], strict=True):
                old.sub_(new.detach())
        changes_P = torch.stack([_norm(tensors) for tensors in self._weights.values()])
        ratios_P = changes_P / self._weight_norms_P.clamp_min(torch.finfo(torch.float32).tiny)
        return torch.stack((self._gradient_norms_P, ratios_P, self._dead_P))

    def _dead_share(self, gradients: list[Tensor]) -> Tensor:
        if not gradients:
            return self._gradient_norms_P.new_tensor(_NO_UNITS)
        return torch.stack([(gradient == 0).all(dim=1).float().mean() for gradient in gradients]).max()


def norms_are_due(step: int, log_interval: int, total_steps: int | None) -> bool:
    """Whether step number `step` is looked at: the first, then only logged steps, evenly over the run."""
    apart = max(_CLOSEST_STEPS, (total_steps or 0) // _LOOKS)
    return step == 1 or step % (log_interval * -(-apart // log_interval)) == 0


def parts_of(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """The parameters by part, in the order of the network: embedding, "layer 0" …, head; a decoder's last norm is the head's.

    Layers are counted as the Attention page counts them, and those of an encoder-decoder named by their side ("encoder layer 0").
    """
    parts: dict[str, list[nn.Parameter]] = {}
    part = EMBEDDING
    for name, parameter in model.named_parameters():
        part = _part_of(name, part)
        parts.setdefault(part, []).append(parameter)
    order = sorted(parts, key=lambda part: (part != EMBEDDING, part == HEAD))
    return {part: parts[part] for part in order}


def _part_of(name: str, before: str) -> str:
    if match := _LAYER.match(name):
        return " ".join(word for word in (match[1], "layer", match[2]) if word)
    if name.startswith("embed"):
        return EMBEDDING
    # What the layers of a stack share comes after them and goes with the last.
    return before if name.startswith("encoder.") or "relative_bias" in name else HEAD


def _gradients(parameters: list[nn.Parameter]) -> list[Tensor]:
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def _norm(tensors: list[Tensor]) -> Tensor:
    return torch.nn.utils.get_total_norm(tensors)
