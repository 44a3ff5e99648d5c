"""Ten small real runs, each with one trouble or none, kept as curves that the rules of health are tested on.

    python benchmarks/health_curves.py [NAME ...]

Writes tests/training/curves/NAME.json; a minute on two cores for all. The text is the Python reference manual, by characters. The text of
"shuffled" is the same characters in random order; that of "plateau" is drawn from pairs of characters, so that all there is to learn is
soon learned; "spike" gets twenty times the learning rate for five steps; "not-finite" gets a weight that is no number. Everything else is
settings alone. Not here: the rules (`llm_core.training.health_rules`), their tests
(`tests/training/test_health.py`).
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

if __package__ in (None, ""):  # started as a file: let it find its neighbours and the package
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from llm_core.config.overrides import apply_overrides
from llm_core.config.run import RunConfig
from llm_core.objectives.registry import objective_for
from llm_core.text.builtin import documents
from llm_core.text.tokenizers import CharacterTokenizer
from llm_core.training.health import facts_of
from llm_core.training.loop import train
from llm_core.training.measurement import measure
from llm_core.training.observers import LogPoint, Observer
from llm_core.training.trainer import Trainer

FOLDER = Path(__file__).resolve().parents[1] / "tests" / "training" / "curves"
TEXT_CHARACTERS, VALIDATION_CHARACTERS, EVALUATED_TOKENS = 300_000, 10_000, 4_000
BASE = (
    "model.kind=transformer",
    "model.hidden_size=32",
    "model.num_layers=2",
    "model.num_heads=2",
    "data.context_length=64",
    "training.batch_size=16",
    "training.max_steps=600",
    "training.log_interval=5",
    "training.eval_interval=30",
    "optimizer.learning_rate=0.006",
    "schedule.warmup_steps=30",
    "hardware.device=cpu",
    "hardware.num_threads=1",
    "hardware.precision=float32",
)


@dataclass(frozen=True)
class Prepared:
    """One run."""

    changes: tuple[str, ...] = ()
    train_characters: int = TEXT_CHARACTERS
    is_shuffled: bool = False
    is_markov: bool = False
    breaks_at: int | None = None
    spikes_at: int | None = None


RUNS = {
    "healthy": Prepared(),
    "healthy-lstm": Prepared(
        ("model.kind=lstm", "model.num_layers=1", "model.hidden_size=64", "optimizer.learning_rate=0.005")
    ),
    "rate-too-high": Prepared(("optimizer.learning_rate=0.18",)),
    "rate-too-low": Prepared(("optimizer.learning_rate=0.00006",)),
    "not-finite": Prepared(breaks_at=300),
    "over-fitting": Prepared(
        ("model.hidden_size=64", "training.max_steps=900", "training.eval_interval=45"),
        train_characters=12_000,
    ),
    "plateau": Prepared(("training.max_steps=900", "training.eval_interval=45"), is_markov=True),
    "shuffled": Prepared(is_shuffled=True),
    "too-little-data": Prepared(("model.hidden_size=64",), train_characters=1_500),
    "spike": Prepared(spikes_at=350),
    "vanishing": Prepared(
        ("model.kind=rnn", "model.nonlinearity=sigmoid", "model.num_layers=8", "model.hidden_size=32")
    ),
}


def text_tokens() -> tuple[CharacterTokenizer, np.ndarray]:
    """The text by characters."""
    text = next(iter(documents("python-reference")))[: TEXT_CHARACTERS + VALIDATION_CHARACTERS]
    tokenizer = CharacterTokenizer("".join(sorted(set(text))), end_of_text=False)
    return tokenizer, np.array(tokenizer.encode(text), dtype=np.uint16)


def markov(tokens: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """As many tokens, each drawn from what follows the one before it somewhere in the text."""
    followers = {int(token): tokens[1:][tokens[:-1] == token] for token in np.unique(tokens)}
    drawn = tokens.copy()
    for index in range(1, len(drawn)):
        choices = followers[int(drawn[index - 1])]
        drawn[index] = choices[generator.integers(len(choices))] if len(choices) else drawn[0]
    return drawn


@dataclass
class Curves(Observer):
    """Everything that the rules look at, as it is logged."""

    prepared: Prepared
    tokenizer: CharacterTokenizer
    validation: np.ndarray
    logged: dict[str, list[float]] = field(default_factory=lambda: {key: [] for key in LOGGED})
    evaluated: dict[str, list[float]] = field(default_factory=lambda: {"step": [], "loss": []})
    parts: dict[str, dict[str, list[float | None]]] = field(default_factory=dict)
    peak: float = 0.0

    def on_log(self, trainer: Trainer, point: LogPoint) -> None:
        report = point.report
        values = (report.step, report.loss, report.grad_norm, report.learning_rate)
        for key, value in zip(LOGGED, values, strict=True):
            self.logged[key].append(value)
        for part, norms in (report.parts or {}).items():
            kept = self.parts.setdefault(part, {"step": [], "gradient_norm": [], "update_ratio": [], "dead_share": []})
            for key, value in (("step", report.step), *vars(norms).items()):
                kept[key].append(value)
        self._interfere(trainer)

    def _interfere(self, trainer: Trainer) -> None:
        self.peak = self.peak or trainer.config.optimizer.learning_rate
        if trainer.step == self.prepared.breaks_at:
            with torch.no_grad():
                next(trainer.model.parameters())[0, 0] = math.nan
        if self.prepared.spikes_at is not None:
            # Logged steps are five apart: the rate is up for the steps between two of them.
            rate = self.peak * (20 if trainer.step == self.prepared.spikes_at else 1)
            optimizer = trainer.config.optimizer.model_copy(update={"learning_rate": rate})
            trainer.config = trainer.config.model_copy(update={"optimizer": optimizer})

    def on_evaluation(self, trainer: Trainer, *, is_last: bool) -> None:
        measured = measure(
            trainer.config,
            trainer.objective,
            trainer.model,
            self.validation,
            self.tokenizer,
            limit_tokens=EVALUATED_TOKENS,
        )
        self.evaluated["step"].append(trainer.step)
        self.evaluated["loss"].append(measured["val_loss"])


LOGGED = ("step", "loss", "grad_norm", "learning_rate")


def record(name: str, prepared: Prepared) -> dict[str, Any]:
    """Train one run and return its curves."""
    tokenizer, tokens = text_tokens()
    train_tokens, validation = tokens[: prepared.train_characters], tokens[TEXT_CHARACTERS:]
    generator = np.random.default_rng(0)
    if prepared.is_markov:
        train_tokens, validation = markov(train_tokens, generator), markov(validation, generator)
    if prepared.is_shuffled:
        train_tokens, validation = generator.permutation(train_tokens), generator.permutation(validation)
    config = apply_overrides(RunConfig(), [*BASE, *prepared.changes])
    trainer = Trainer(config, train_tokens, objective_for(config, tokenizer))
    curves = Curves(prepared, tokenizer, validation)
    counts = np.bincount(tokens).astype(float)
    shares = counts[counts > 0] / counts.sum()
    facts = facts_of(trainer, train_tokens=len(train_tokens), unigram_nats=float(-(shares * np.log(shares)).sum()))
    train(trainer, [curves])
    return {"about": f"Made by benchmarks/health_curves.py: {name}", "facts": vars(facts), "logged": curves.logged,
            "evaluated": curves.evaluated, "parts": curves.parts}  # fmt: skip


def short(value: Any) -> Any:
    """Four significant digits, NaN as null: a few kilobytes a run."""
    if isinstance(value, dict):
        return {key: short(item) for key, item in value.items()}
    if isinstance(value, list):
        return [short(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.4g}") if math.isfinite(value) else None if math.isnan(value) else str(value)
    return value


def main(names: list[str]) -> None:
    """Record the runs with these names, or all."""
    FOLDER.mkdir(exist_ok=True)
    for name in names or list(RUNS):
        found = record(name, RUNS[name])
        path = FOLDER / f"{name}.json"
        path.write_text(json.dumps(short(found), separators=(",", ":")) + "\n", encoding="utf-8")
        losses, validation = found["logged"]["loss"], found["evaluated"]["loss"]
        print(
            f"{name}: training {losses[0]:.2f} to {losses[-1]:.2f}, validation to {validation[-1]:.2f}, {path.stat().st_size:,} bytes"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
