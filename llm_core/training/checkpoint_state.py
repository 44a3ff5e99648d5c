"""A trainer to files and back, bit for bit: weights, optimizer, random numbers, place in the data, recurrent state, plan.

Tensors are safetensors, the rest is JSON; nothing that could run code is written or read. Not here: the folder, its manifest and its
atomic renaming (`llm_core.workspace.checkpoints`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from llm_core.config.errors import UserError
from llm_core.config.run import RunConfig, load_config
from llm_core.models.loading import WEIGHTS_FILE, load_weights, save_weights
from llm_core.models.state import RecurrentState
from llm_core.objectives.registry import TrainingObjective
from llm_core.text.batches import TokenVector
from llm_core.text.tokenizer_interface import TextTokenizer
from llm_core.training.execution import Execution, execution_of_resume
from llm_core.training.trainer import Trainer

OPTIMIZER_FILE = "optimizer.safetensors"
STATE_FILE = "state.json"
CONFIG_FILE = "config.json"
TOKENIZER_FILE = "tokenizer.json"


def checkpoint_writers(trainer: Trainer, tokenizer: TextTokenizer) -> dict[str, Callable[[Path], None]]:
    """One function for each file of a full checkpoint; each is called with the path to write."""
    state = training_state(trainer)

    def write_text(text: str) -> Callable[[Path], None]:
        return lambda path: void(path.write_text(text, encoding="utf-8"))

    return {
        WEIGHTS_FILE: lambda path: save_weights(trainer.model, path),
        OPTIMIZER_FILE: lambda path: save_file(_optimizer_tensors(trainer), path),
        STATE_FILE: write_text(json.dumps(state, indent=1)),
        CONFIG_FILE: write_text(trainer.config.model_dump_json(indent=1)),
        TOKENIZER_FILE: write_text(tokenizer.to_json()),
    }


def void(_: object) -> None:
    """Drop a value where a function must return nothing."""


def training_state(trainer: Trainer) -> dict[str, Any]:
    """Everything of a trainer that is not a tensor of the model or the optimizer, as JSON values."""
    cuda = trainer.execution.device == "cuda"
    return {
        "step": trainer.step,
        "tokens": trainer.tokens,
        "seconds": trainer.seconds,
        "steady_tokens": trainer.steady_tokens,
        "steady_seconds": trainer.steady_seconds,
        "total_steps": trainer.total_steps,
        "minutes_are_planned": trainer.minutes_are_planned,
        "execution": trainer.execution.to_dict(),
        "data": trainer.batches.state_dict(),
        "torch_version": torch.__version__,
        "random": {
            "torch": bytes(torch.get_rng_state().numpy()).hex(),
            "cuda": bytes(torch.cuda.get_rng_state().numpy()).hex() if cuda else None,
        },
    }


def restore_trainer(
    folder: Path, train_tokens: TokenVector, objective: TrainingObjective, on_notice: Callable[[str], None] = void
) -> Trainer:
    """The trainer as it was when the checkpoint was written.

    Args:
        on_notice: told in a sentence when the run cannot go on exactly as it was, because its device is not here.

    Raises:
        UserError: the checkpoint holds weights only, or does not fit its own settings.
    """
    if not (folder / OPTIMIZER_FILE).exists():
        raise UserError(
            "This checkpoint keeps the weights only, so the run cannot go on exactly from it",
            value=folder.name,
            remedy="Resume from a newer checkpoint",
        )
    config: RunConfig = load_config((folder / CONFIG_FILE).read_bytes())
    state = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
    stored = Execution.from_dict(state["execution"])
    execution, notice = execution_of_resume(stored, config, objective, state["total_steps"])
    if notice:
        on_notice(notice)
    trainer = Trainer(config, train_tokens, objective, execution)
    load_weights(trainer.model, folder / WEIGHTS_FILE)
    restore_optimizer(trainer, load_file(folder / OPTIMIZER_FILE))
    trainer.step, trainer.tokens, trainer.seconds = state["step"], state["tokens"], state["seconds"]
    trainer.steady_tokens, trainer.steady_seconds = state["steady_tokens"], state["steady_seconds"]
    trainer.total_steps = state["total_steps"]
    trainer.minutes_are_planned = state["minutes_are_planned"]
    trainer.batches.load_state_dict(state["data"])
    # Last of all: building the model above has drawn from these streams.
    restore_random(trainer, state["random"])
    return trainer


def restore_random(trainer: Trainer, states: dict[str, str | None]) -> None:
    """Set torch's generators to the states that `training_state` took."""
    if states["torch"]:
        torch.set_rng_state(_byte_tensor(states["torch"]))
    if states["cuda"] and trainer.execution.device == "cuda":
        torch.cuda.set_rng_state(_byte_tensor(states["cuda"]))


def _byte_tensor(text: str) -> Tensor:
    return torch.frombuffer(bytearray.fromhex(text), dtype=torch.uint8).clone()


def _optimizer_tensors(trainer: Trainer) -> dict[str, Tensor]:
    """Moments by parameter name, and the recurrent state beside them."""
    names = {id(parameter): name for name, parameter in trainer.model.named_parameters()}
    tensors: dict[str, Tensor] = {}
    for parameter, values in trainer.optimizer.state.items():
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"{key}/{names[id(parameter)]}"] = value.detach().contiguous().cpu()
    state = trainer.recurrent_state
    if isinstance(state, RecurrentState):
        tensors["recurrent/hidden"] = state.hidden_LBU.contiguous().cpu()
        tensors["recurrent/lengths"] = state.lengths_B.contiguous().cpu()
        if state.cell_LBU is not None:
            tensors["recurrent/cell"] = state.cell_LBU.contiguous().cpu()
    return tensors


def restore_optimizer(trainer: Trainer, tensors: dict[str, Tensor]) -> None:
    """Moments and the recurrent state, as `_optimizer_tensors` took them."""
    device = trainer.execution.device
    parameters = dict(trainer.model.named_parameters())
    recurrent: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        key, _, parameter_name = name.partition("/")
        if key == "recurrent":
            recurrent[parameter_name] = tensor.to(device)
        elif parameter_name in parameters:
            # The fused kernels keep their step counter on the parameter's device, the others on the CPU.
            trainer.optimizer.state[parameters[parameter_name]][key] = tensor.to(device)
        else:
            raise UserError("The optimizer file names a parameter that the model does not have", value=parameter_name)
    if recurrent:
        trainer.recurrent_state = RecurrentState(recurrent["hidden"], recurrent.get("cell"), recurrent["lengths"])
