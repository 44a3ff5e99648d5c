"""Resumed equals undisturbed, bit for bit, and looking on changes nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from llm_core.config.overrides import apply_overrides
from llm_core.config.run import RunConfig
from llm_core.objectives.registry import objective_for
from llm_core.text.tokenizers import CharacterTokenizer
from llm_core.training.checkpoint_state import checkpoint_writers, restore_trainer
from llm_core.training.loop import train
from llm_core.training.measurement import measure
from llm_core.training.observers import LogPoint, Observer
from llm_core.training.samples import write_samples
from llm_core.training.trainer import Trainer

TOKENIZER = CharacterTokenizer("abcdefghijklmnop", end_of_text=True)
TOKENS = np.random.default_rng(0).integers(0, len(TOKENIZER.characters), 900).astype(np.uint16)
TOKENS[5::6] = TOKENIZER.vocabulary_size - 1  # an end of text after every few letters, an even number of them
FAMILIES = {
    "rnn": ["model.kind=rnn", "model.num_layers=2", "model.nonlinearity=sigmoid"],
    "gru": ["model.kind=gru", "model.num_layers=2"],
    "lstm": ["model.kind=lstm", "model.num_layers=2"],
    "mingru": ["model.kind=mingru", "model.num_layers=2", "model.locked_dropout=0.3"],
    "weight drop": ["model.kind=lstm", "model.num_layers=2", "model.locked_dropout=0.3", "model.weight_drop=0.4"],
    "transformer": ["model.kind=transformer", "model.num_layers=2", "model.num_heads=2"],
    "documents apart": ["model.num_layers=2", "model.num_heads=2", "objective.within_documents=true"],
    "encoder": ["model.kind=encoder", "model.num_heads=2", "model.window=4"],
    "whole words": ["model.kind=encoder", "model.num_heads=2", "objective.whole_words=true"],
    "span corruption": ["model.kind=encoder-decoder", "model.num_heads=2", "objective.num_sentinels=4"],
    "pairs": ["model.kind=encoder-decoder", "model.num_heads=2", "objective.kind=sequence-to-sequence"],
}


def config_of(family: str, *more: str) -> RunConfig:
    return apply_overrides(
        RunConfig(),
        [
            *FAMILIES[family],
            "model.hidden_size=16",
            "model.dropout=0.2",
            "data.context_length=8",
            "training.batch_size=3",
            "training.max_steps=40",
            "training.log_interval=1",
            "hardware.device=cpu",
            "hardware.num_threads=1",
            *more,
        ],
    )


def trainer_of(config: RunConfig) -> Trainer:
    return Trainer(config, TOKENS, objective_for(config, TOKENIZER))


class Losses(Observer):
    def __init__(self) -> None:
        self.values: list[tuple[int, float]] = []

    def on_log(self, trainer: Trainer, point: LogPoint) -> None:
        self.values.append((point.report.step, point.report.loss))


def weights_hash(trainer: Trainer) -> str:
    digest = hashlib.sha256()
    for _, tensor in sorted(trainer.model.state_dict().items()):
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def save(trainer: Trainer, folder: Path) -> None:
    folder.mkdir()
    for name, write in checkpoint_writers(trainer, TOKENIZER).items():
        write(folder / name)


@pytest.mark.parametrize("family", FAMILIES)
def test_resumed_equals_undisturbed(family: str, tmp_path: Path) -> None:
    whole, whole_losses = trainer_of(config_of(family)), Losses()
    train(whole, [whole_losses])

    first = trainer_of(config_of(family))
    for _ in range(17):
        first.run_step()
    save(first, tmp_path / "checkpoint")
    for _ in range(5):  # what a crash throws away
        first.run_step()
    config = config_of(family)
    resumed, losses = restore_trainer(tmp_path / "checkpoint", TOKENS, objective_for(config, TOKENIZER)), Losses()
    train(resumed, [losses])

    assert losses.values == whole_losses.values[17:]
    assert weights_hash(resumed) == weights_hash(whole)


@pytest.mark.parametrize("family", FAMILIES)
def test_looking_on_changes_nothing(family: str) -> None:
    class Watching(Losses):
        def on_evaluation(self, trainer: Trainer, *, is_last: bool) -> None:
            measure(trainer.config, trainer.objective, trainer.model, TOKENS, TOKENIZER)

        def on_sample(self, trainer: Trainer) -> None:
            assert write_samples(trainer, TOKENIZER, TOKENS, ("abc",))

    alone, alone_losses = trainer_of(config_of(family)), Losses()
    train(alone, [alone_losses])
    watched = trainer_of(config_of(family, "training.eval_interval=3", "training.sample_tokens=5"))
    watched_losses = Watching()
    train(watched, [watched_losses])
    assert watched_losses.values == alone_losses.values
    assert weights_hash(watched) == weights_hash(alone)
