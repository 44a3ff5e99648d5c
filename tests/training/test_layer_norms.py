"""Norms of each part of a network: right figures for every family, at the steps meant, and training does not notice."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from llm_core.training import trainer as trainer_module
from llm_core.training.layer_norms import LayerNorms, norms_are_due
from llm_core.training.trainer import Trainer
from tests.training.test_resume import config_of, trainer_of, weights_hash

PARTS = {
    "lstm": ["embedding", "layer 0", "layer 1", "head"],
    "transformer": ["embedding", "layer 0", "layer 1", "head"],
    "encoder": ["embedding", "layer 0", "layer 1", "head"],
    "span corruption": [
        "embedding",
        "encoder layer 0",
        "encoder layer 1",
        "decoder layer 0",
        "decoder layer 1",
        "head",
    ],
}


@pytest.mark.parametrize("family", PARTS)
def test_every_family_is_looked_at_and_does_not_notice(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(family, "model.num_layers=2")

    def trained(is_due: bool) -> Trainer:
        monkeypatch.setattr(trainer_module, "norms_are_due", lambda *_: is_due)
        trainer = trainer_of(config)
        for _ in range(3):
            report = trainer.run_step()
            assert (report.parts is not None) == is_due
            assert len(report.starts[0]) == config.training.batch_size
        return trainer

    looked_at, alone = trained(True), trained(False)
    assert weights_hash(looked_at) == weights_hash(alone)

    monkeypatch.setattr(trainer_module, "norms_are_due", lambda *_: True)
    before = {name: parameter.detach().clone() for name, parameter in looked_at.model.named_parameters()}
    report = looked_at.run_step()
    assert report.parts is not None
    assert list(report.parts) == PARTS[family]
    whole = sum(part.gradient_norm**2 for part in report.parts.values()) ** 0.5
    assert whole == pytest.approx(report.grad_norm, rel=1e-5), (
        "the parts make up the whole gradient, before it is clipped"
    )
    after = dict(looked_at.model.named_parameters())
    first = [name for name in after if name.startswith("embed")]
    moved = torch.cat([(after[name].detach() - before[name]).flatten() for name in first]).norm()
    ratio = moved / torch.cat([before[name].flatten() for name in first]).norm()
    assert report.parts["embedding"].update_ratio == pytest.approx(float(ratio), rel=1e-4)
    assert report.parts["embedding"].dead_share is None
    layers = [part.dead_share for name, part in report.parts.items() if "layer" in name]
    assert all(share is not None and share < 0.5 for share in layers), layers


def test_units_without_any_gradient_are_dead() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(4, 8)])
            self.lm_head = nn.Linear(8, 2, bias=False)

    net = Net()
    with torch.no_grad():
        net.layers[0].bias[:6] = -1e6  # pyright: ignore
    net.lm_head(net.layers[0](torch.randn(5, 4)).relu()).sum().backward()
    norms = LayerNorms(net)
    parts = norms.read(norms.before_update().after_update().tolist())
    assert parts["layer 0"].dead_share == 6 / 8
    assert parts["layer 0"].update_ratio == 0.0


@pytest.mark.parametrize(
    ("log_interval", "total", "steps"),
    [(10, 100, [1, 20, 40, 60, 80, 100]), (50, 200, [1, 50, 100, 150, 200]), (1, 60, [1, 20, 40, 60])],
)
def test_only_some_logged_steps_are_looked_at(log_interval: int, total: int, steps: list[int]) -> None:
    assert [step for step in range(1, total + 1) if norms_are_due(step, log_interval, total)] == steps
    assert sum(norms_are_due(step, 10, 100_000) for step in range(1, 100_001)) == 201
