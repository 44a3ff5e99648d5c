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
from llm_core.models.huggingface.correspondence import Correspondence, Shape
from llm_core.models.huggingface.families import Family
from llm_core.models.huggingface.read_config import ReadConfig
from llm_core.models.huggingface.source_folder import StoredTensor, check_numbers
from llm_core.models.huggingface.tensor_names import HEAD, bare_name, copies, correspondences, is_left_out
from llm_core.models.registry import build_model
from llm_core.text.progress import (
    READING_TENSORS,
    CancelHook,
    ProgressHook,
    never_cancelled,
    no_progress,
    stop_if_cancelled,
)


@dataclass(frozen=True)
class Copy:
    """A tensor that is stored beside the one it is tied to."""

    stored: StoredTensor
    name: str
    ours: str
    """The tensor that it should equal, under our name."""


@dataclass(frozen=True)
class WeightsPlan:
    """Which stored tensor becomes which of ours."""

    config: ReadConfig
    pairs: list[tuple[Correspondence, StoredTensor, str]]
    """With the name under which each is stored."""
    our_shapes: dict[str, Shape]
    copies: list[Copy]


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
    wanted = {bare_name(family, item.theirs): item for item in correspondences(family, list(shapes))}
    left = _by_bare_name(family, stored)
    second = _take_copies(family, wanted, left)
    pairs: list[tuple[Correspondence, StoredTensor, str]] = []
    for bare, item in wanted.items():
        if bare not in left:
            raise UserError(
                "The weights lack a tensor",
                value=item.theirs,
                limit=f"{len(wanted):,} tensors of {family.class_name} with {config.model.num_layers} layers",
                remedy="Give the whole folder of a language model, as save_pretrained wrote it",
            )
        tensor, name = left.pop(bare)
        _check(name, tensor, item.shape(shapes))
        pairs.append((item, tensor, name))
    if left:
        names = sorted(name for _, name in left.values())
        raise UserError(
            f"The weights hold tensors that {family.class_name} has no place for",
            value=", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else ""),
            remedy="Give a model of exactly the class that its config.json names",
        )
    for copy in second:
        _check(copy.name, copy.stored, shapes[copy.ours])
    return WeightsPlan(config, pairs, shapes, second)


def read_tensors(
    plan: WeightsPlan, *, progress: ProgressHook = no_progress, cancelled: CancelHook = never_cancelled
) -> tuple[ReadConfig, dict[str, Tensor]]:
    """Every tensor under our name, in the dtype it is stored in, and the config that goes with them.

    Where a head is stored beside the embedding that it should be tied to, and differs, the two are kept apart, as transformers 5
    does.

    Raises:
        UserError: another tensor is stored twice with different numbers.
    """
    tensors: dict[str, Tensor] = {}
    for number, (item, stored, name) in enumerate(plan.pairs):
        stop_if_cancelled(cancelled)
        progress(READING_TENSORS, number, len(plan.pairs))
        tensors |= item.to_ours(_read(stored, name), plan.our_shapes)
    progress(READING_TENSORS, len(plan.pairs), len(plan.pairs))
    config = plan.config
    for copy in plan.copies:
        tensor = _read(copy.stored, copy.name)
        if torch.equal(tensor, tensors[copy.ours]):
            continue
        if copy.name != HEAD:
            raise UserError(
                f"Tensor {copy.name} differs from the one that {config.family.class_name} ties it to",
                value=copy.name,
                limit="equal numbers, or one of the two alone",
                remedy="Give a model whose tied tensors are equal; this network has a single one for both",
            )
        tensors[HEAD] = tensor
        config = replace(config, model=config.model.model_copy(update={"tie_embeddings": False}))
    return config, tensors


def _by_bare_name(family: Family, stored: Mapping[str, StoredTensor]) -> dict[str, tuple[StoredTensor, str]]:
    """By their name without the prefix, what the class does not need left out: the tensor and the name it is stored under."""
    found: dict[str, tuple[StoredTensor, str]] = {}
    for name, tensor in stored.items():
        bare = bare_name(family, name)
        if is_left_out(family, bare):
            continue
        if bare in found:
            raise UserError(
                "The weights hold the same tensor twice",
                value=f"{name} and {found[bare][1]}",
                remedy="Save the model again with save_pretrained",
            )
        found[bare] = (tensor, name)
    return found


def _take_copies(
    family: Family, wanted: Mapping[str, Correspondence], left: dict[str, tuple[StoredTensor, str]]
) -> list[Copy]:
    """Tied tensors out of those that are left. Tying is symmetric: whichever of two is stored is both."""
    found: list[Copy] = []
    for name, original in copies(family).items():
        if name in wanted or name not in left:
            continue
        tensor, stored_name = left.pop(name)
        if original in left:
            found.append(Copy(tensor, stored_name, wanted[original].ours[0]))
        else:
            left[original] = (tensor, stored_name)
    return found


def _check(name: str, stored: StoredTensor, expected: Shape) -> None:
    check_numbers(name, stored)
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
