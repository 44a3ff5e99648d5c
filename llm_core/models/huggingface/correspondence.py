"""One tensor of a folder, and the one or more of ours that it holds.

Not here: which they are (`tensor_names.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Correspondence:
    """One tensor of theirs and the one, two or three of ours that it holds, along the outputs."""

    theirs: str
    """The name that transformers saves it under."""
    ours: tuple[str, ...]
    is_transposed: bool = False

    def shape(self, our_shapes: Mapping[str, Shape]) -> Shape:
        """Of theirs, from the shapes of ours."""
        parts = [our_shapes[name] for name in self.ours]
        joined = (sum(part[0] for part in parts), *parts[0][1:])
        return joined[::-1] if self.is_transposed else joined

    def to_ours(self, tensor: Tensor, our_shapes: Mapping[str, Shape]) -> dict[str, Tensor]:
        """Their tensor cut and turned into ours; the bits stay."""
        if self.is_transposed:
            tensor = tensor.T
        parts = tensor.split([our_shapes[name][0] for name in self.ours])
        return {name: part.contiguous() for name, part in zip(self.ours, parts, strict=True)}

    def to_theirs(self, tensors: list[Tensor]) -> Tensor:
        """Ours, in the order of `ours`, joined and turned into theirs."""
        joined = torch.cat(tensors) if len(tensors) > 1 else tensors[0]
        return (joined.T if self.is_transposed else joined).contiguous()


def split_name(name: str) -> tuple[int | None, str, str]:
    """Our name as layer, module and kind: `layers.3.mlp.up_proj.weight` is (3, `mlp.up_proj`, `weight`); no layer is None."""
    stem, _, kind = name.rpartition(".")
    if not stem.startswith("layers."):
        return None, stem, kind
    _, layer, module = stem.split(".", 2)
    return int(layer), module, kind
