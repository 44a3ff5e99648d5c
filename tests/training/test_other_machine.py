"""A run that was started elsewhere goes on here, and says what is different."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from llm_core.config.errors import UserError
from llm_core.config.overrides import apply_overrides
from llm_core.config.run import RunConfig
from llm_core.text.tokenizers import CharacterTokenizer
from llm_core.training.checkpoint_state import STATE_FILE, checkpoint_writers, restore_trainer
from llm_core.training.execution import choose_execution
from llm_core.training.trainer import Trainer
from tests.training.support import plain_objective

TOKENIZER = CharacterTokenizer("abcdefghijklmnop")
LSTM = apply_overrides(
    RunConfig(),
    [
        "model.kind=lstm",
        "model.hidden_size=8",
        "data.context_length=8",
        "hardware.num_threads=1",
        "hardware.device=cpu",
        "training.batch_size=4",
    ],
)
LSTM_OBJECTIVE = plain_objective(LSTM)
TOKENS = np.random.default_rng(0).integers(0, 16, 900).astype(np.uint16)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Three steps of a tiny LSTM."""
    trainer = Trainer(LSTM, TOKENS, LSTM_OBJECTIVE)
    for _ in range(3):
        trainer.run_step()
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for name, write in checkpoint_writers(trainer, TOKENIZER).items():
        write(folder / name)
    return folder


def on_a_gpu(folder: Path) -> None:
    """Make the checkpoint one of a machine with a GPU."""
    state = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
    state["execution"] |= {"device": "cuda", "precision": "bfloat16", "compile": True}
    state["random"]["cuda"] = "00" * 16
    (folder / STATE_FILE).write_text(json.dumps(state), encoding="utf-8")


def without_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a machine without any says, also on one that has some."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_on_the_same_machine_there_is_nothing_to_say(checkpoint: Path) -> None:
    notices: list[str] = []
    assert restore_trainer(checkpoint, TOKENS, LSTM_OBJECTIVE, notices.append).run_step().step == 4
    assert not notices


def test_a_missing_gpu_is_named_and_the_run_goes_on(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_gpus(monkeypatch)
    on_a_gpu(checkpoint)
    notices: list[str] = []
    trainer = restore_trainer(checkpoint, TOKENS, LSTM_OBJECTIVE, notices.append)
    (notice,) = notices
    assert "cuda" in notice and "cpu in float32" in notice
    assert (trainer.execution.device, trainer.execution.compile) == ("cpu", False)
    assert trainer.run_step().is_finite and trainer.step == 4


def test_a_checkpoint_of_weights_alone_is_refused_with_a_remedy(checkpoint: Path) -> None:
    (checkpoint / "optimizer.safetensors").unlink()
    with pytest.raises(UserError) as raised:
        restore_trainer(checkpoint, TOKENS, LSTM_OBJECTIVE)
    assert "weights only" in raised.value.what and raised.value.remedy


def test_a_wish_for_a_missing_device_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    without_gpus(monkeypatch)
    config = apply_overrides(RunConfig(), ["hardware.device=cuda"])
    with pytest.raises(UserError) as raised:
        Trainer(config, TOKENS, plain_objective(config))
    assert raised.value.value == "cuda" and "auto" in raised.value.remedy


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    config = apply_overrides(RunConfig(), ["hardware.device=cuda", "hardware.num_processes=2"])
    with pytest.raises(UserError, match="Each process of a run needs a GPU of its own") as raised:
        choose_execution(config, plain_objective(config), 100)
    assert raised.value.limit == "1 for this run"


def test_an_apple_gpu_is_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    config = apply_overrides(RunConfig(), ["hardware.device=mps", "hardware.num_processes=2"])
    with pytest.raises(UserError, match="An Apple GPU serves one process"):
        choose_execution(config, plain_objective(config), 100)
