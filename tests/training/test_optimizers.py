"""Twenty steps of our trainer against a plain loop around torch's own optimizers, written out the slow way."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from llm_core.config.overrides import apply_overrides
from llm_core.config.run import RunConfig
from llm_core.training.optimizers import build_optimizer
from llm_core.training.trainer import Trainer
from tests.training.support import FixedBatches, plain_objective, rows_of

TOKENS = np.random.default_rng(0).integers(0, 16, 900).astype(np.uint16)
KINDS = {
    "adamw": ["optimizer.kind=adamw", "optimizer.weight_decay=0.3", "optimizer.beta1=0.8"],
    "adam": ["optimizer.kind=adam", "optimizer.weight_decay=0.02", "optimizer.beta2=0.9"],
    "sgd": [
        "optimizer.kind=sgd",
        "optimizer.learning_rate=0.5",
        "optimizer.weight_decay=0.01",
        "optimizer.momentum=0.7",
    ],
}


def trainer_of(*changes: str) -> Trainer:
    """A tiny Transformer in float64, so that only a difference in the arithmetic itself shows."""
    base = [
        *("model.hidden_size=16", "model.num_layers=2", "model.num_heads=2", "data.context_length=8"),
        *("hardware.device=cpu", "hardware.num_threads=1", "training.batch_size=4", "training.max_steps=20"),
        *(
            "schedule.kind=constant",
            "schedule.warmup_steps=0",
            "optimizer.gradient_clip=0.5",
            "optimizer.learning_rate=0.01",
        ),
    ]
    config = apply_overrides(RunConfig(), [*base, *changes])
    trainer = Trainer(config, TOKENS, plain_objective(config))
    trainer.model.double()
    trainer.optimizer = build_optimizer(trainer.model, trainer.config.optimizer, "cpu")
    return trainer


@pytest.mark.parametrize("kind", KINDS)
def test_twenty_steps_equal_a_plain_loop(kind: str) -> None:
    trainer = trainer_of(*KINDS[kind])
    config = trainer.config.optimizer
    model = copy.deepcopy(trainer.model)
    decays = [p for name, p in model.named_parameters() if p.dim() == 2 and "embed" not in name]
    stays = [p for name, p in model.named_parameters() if p.dim() != 2 or "embed" in name]
    groups = [{"params": decays, "weight_decay": config.weight_decay}, {"params": stays, "weight_decay": 0.0}]
    if kind == "sgd":
        optimizer: torch.optim.Optimizer = torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum)
    else:
        made = torch.optim.AdamW if kind == "adamw" else torch.optim.Adam
        betas = (config.beta1, config.beta2)
        optimizer = made(groups, lr=config.learning_rate, betas=betas, eps=config.epsilon, foreach=False, fused=False)
    twin = trainer_of(*KINDS[kind])  # reads the same batches
    for _ in range(20):
        inputs_BT, targets_BT = (torch.from_numpy(array) for array in twin.batches.next().arrays.values())
        optimizer.zero_grad()
        logits_BTV = model.logits(model(inputs_BT).hidden_BTD)
        loss = F.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten())
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.gradient_clip)
        optimizer.step()
        report = trainer.run_step()
        # The trainer's sum of losses is kept in float32.
        assert report.loss == pytest.approx(loss.item(), abs=1e-6)
        assert report.grad_norm == pytest.approx(norm.item(), rel=1e-6)
    for (name, ours), theirs in zip(trainer.model.named_parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=0, msg=lambda text, name=name: f"{name}: {text}")


def test_the_rate_of_the_schedule_reaches_every_group() -> None:
    trainer = trainer_of("schedule.kind=cosine", "schedule.warmup_steps=2", "schedule.final_fraction=0.1")
    rates = []
    for _ in range(20):
        report = trainer.run_step()
        assert {group["lr"] for group in trainer.optimizer.param_groups} == {report.learning_rate}
        rates.append(report.learning_rate)
    assert max(rates) == rates[1] == pytest.approx(0.01), "the peak comes at the end of the warm-up"
    assert rates[-1] == pytest.approx(0.001)


def test_accumulation_weighs_tokens_not_batches() -> None:
    """Pieces of unequal size: one large batch is the oracle, the mean of the pieces' means would be wrong."""
    large, small = trainer_of(), trainer_of("training.gradient_accumulation_steps=2")
    whole = large.batches.next()
    pieces = [rows_of(whole, slice(0, 1)), rows_of(whole, slice(1, None))]
    large.batches, small.batches = FixedBatches([whole]), FixedBatches(pieces)
    first, second = large.run_step(), small.run_step()
    assert first.loss == pytest.approx(second.loss, abs=1e-6)
    assert first.grad_norm == pytest.approx(second.grad_norm, rel=1e-6)
    assert small.tokens == large.tokens == whole.num_targets
    for ours, theirs in zip(small.model.parameters(), large.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=0)
