"""The tensors of a folder under our names: all there, all of the right shape, none left over; then read.

Not here: files and headers (`source_folder.py`), names (`tensor_names.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from safetensors import safe_open
from torch import Tensor

from llm_core.config.errors import UserError
from llm_core.models.huggingface.families import Family
from llm_core.models.huggingface.read_config import ReadConfig
from llm_core.models.huggingface.source_folder import StoredTensor
from llm_core.models.huggingface.tensor_names import (
    EMBEDDING,
    HEAD,
    Correspondence,
    Shape,
    correspondences,
    full_name,
    is_buffer,
)
from llm_core.models.registry import build_model
from llm_core.text.progress import CancelHook, ProgressHook, never_cancelled, no_progress, stop_if_cancelled

READING_TENSORS = "reading tensors"


@dataclass(frozen=True)
class WeightsPlan:
    """Which stored tensor becomes which of ours."""

    config: ReadConfig
    pairs: list[tuple[Correspondence, StoredTensor, str]]
    """With the name under which each is stored."""
    our_shapes: dict[str, Shape]
    second_head: tuple[StoredTensor, str] | None
    """A head that the config says is the embedding, stored beside it all the same."""


def our_shapes(config: ReadConfig) -> dict[str, Shape]:
    """Name and shape of every parameter of ours; no memory is taken for them."""
    with torch.device("meta"):
        model = build_model(config.model, config.vocabulary_size, config.context_length)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def plan_weights(config: ReadConfig, stored: Mapping[str, StoredTensor]) -> WeightsPlan:
    """Match what is stored with what the config asks for; reads nothing.

    Raises:
        UserError: a tensor missing, of another shape, or unknown; names it.
    """
    family = config.family
    shapes = our_shapes(config)
    wanted = correspondences(family, list(shapes))
    left = _without_prefix(family, stored)
    second_head = None
    if config.model.tie_embeddings and HEAD in left:
        embedding = next(item.theirs for item in wanted if item.ours == (EMBEDDING,))
        if embedding in left:
            second_head = left.pop(HEAD)
        else:  # tying is symmetric: whichever of the two is stored is both
            left[embedding] = left.pop(HEAD)
    pairs: list[tuple[Correspondence, StoredTensor, str]] = []
    for item in wanted:
        if item.theirs not in left:
            raise UserError(
                "The weights lack a tensor",
                value=full_name(family, item.theirs),
                limit=f"{len(wanted):,} tensors of {family.class_name} with {config.model.num_layers} layers",
                remedy="Give the whole folder of a language model, as save_pretrained wrote it",
            )
        tensor, name = left.pop(item.theirs)
        _check_shape(name, tensor, item.shape(shapes))
        pairs.append((item, tensor, name))
    if left:
        names = sorted(name for _, name in left.values())
        raise UserError(
            f"The weights hold tensors that {family.class_name} has no place for",
            value=", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else ""),
            remedy="Give a model of exactly the class that its config.json names",
        )
    if second_head is not None:
        _check_shape(second_head[1], second_head[0], shapes[EMBEDDING])
    return WeightsPlan(config, pairs, shapes, second_head)


def read_tensors(
    plan: WeightsPlan, *, progress: ProgressHook = no_progress, cancelled: CancelHook = never_cancelled
) -> tuple[ReadConfig, dict[str, Tensor]]:
    """Every tensor under our name, in the dtype it is stored in, and the config that goes with them.

    Where a head is stored beside the embedding that it should be tied to, and differs, the two are kept apart, as transformers 5
    does.
    """
    tensors: dict[str, Tensor] = {}
    for number, (item, stored, name) in enumerate(plan.pairs):
        stop_if_cancelled(cancelled)
        progress(READING_TENSORS, number, len(plan.pairs))
        tensors |= item.to_ours(_read(stored, name), plan.our_shapes)
    progress(READING_TENSORS, len(plan.pairs), len(plan.pairs))
    config = plan.config
    if plan.second_head is not None:
        head = _read(*plan.second_head)
        if not torch.equal(head, tensors[EMBEDDING]):
            tensors[HEAD] = head
            config = replace(config, model=config.model.model_copy(update={"tie_embeddings": False}))
    return config, tensors


def _without_prefix(family: Family, stored: Mapping[str, StoredTensor]) -> dict[str, tuple[StoredTensor, str]]:
    """By their name without the prefix, buffers left out: the tensor and the name it is stored under."""
    found: dict[str, tuple[StoredTensor, str]] = {}
    for name, tensor in stored.items():
        bare = name.removeprefix(family.prefix)
        if is_buffer(family, bare):
            continue
        if bare in found:
            raise UserError(
                "The weights hold the same tensor twice",
                value=f"{name} and {found[bare][1]}",
                remedy="Save the model again with save_pretrained",
            )
        found[bare] = (tensor, name)
    return found


def _check_shape(name: str, stored: StoredTensor, expected: Shape) -> None:
    if stored.shape != expected:
        raise UserError(
            f"Tensor {name} has another shape than config.json asks for",
            value=list(stored.shape),
            limit=list(expected),
            remedy="Give the config.json that belongs to these weights",
        )


def _read(stored: StoredTensor, name: str) -> Tensor:
    with safe_open(stored.file, framework="pt") as file:
        return file.get_tensor(name)
