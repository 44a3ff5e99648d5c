"""How fast one training step is, against transformers' GPT-2 and a plain torch.nn.LSTM loop of the same size.

    python -m benchmarks.training_speed

Same batch, same text, same clipping, same fused AdamW, float32, eager: what differs is the model's code and the loop around it. `as
shipped` is the loop with every "auto" decided by itself (precision; compiling is left off, so that no compilation is timed).
Not here: GPUs (`gpu_check.py`), writing (`generation_speed.py`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.results import compare, print_rates, timed, write_result
from llm_core.config.overrides import apply_overrides
from llm_core.config.run import RunConfig
from llm_core.models.counting import count_parameters
from llm_core.objectives.registry import build_objective
from llm_core.text.vocabulary import plain_vocabulary
from llm_core.training.trainer import Trainer

VOCABULARY_SIZE = 65


@dataclass(frozen=True)
class Case:
    """One size of one family."""

    name: str
    family: str
    layers: int
    heads: int
    width: int
    context_length: int
    batch_size: int
    steps_per_turn: int
    rounds: int


CASES = (
    Case("transformer-0.8M", "transformer", 4, 4, 128, 64, 12, steps_per_turn=5, rounds=30),
    Case("transformer-10M", "transformer", 6, 6, 384, 256, 16, steps_per_turn=1, rounds=7),
    Case("lstm-0.6M", "lstm", 1, 1, 256, 64, 32, steps_per_turn=5, rounds=30),
)


def main() -> int:
    """Measure all cases and keep the result."""
    found: dict[str, Any] = {}
    for case in CASES:
        measured = measure(case)
        print_rates(f"{case.name} (training)", "tokens/s", measured["contestants"])
        found[case.name] = measured
    print(f"Kept in {write_result('training-speed', found)}")
    return 0


def measure(case: Case) -> dict[str, Any]:
    """Rates of our loop and of the peer's, and the sizes of both."""
    tokens = np.random.default_rng(0).integers(0, VOCABULARY_SIZE, 100_000).astype(np.uint16)
    ours = _trainer(case, tokens, "float32")
    peer_name, peer, peer_parameters = (_lstm if case.family == "lstm" else _gpt2)(case, tokens)
    amount = case.steps_per_turn * case.batch_size * case.context_length
    contestants: dict[str, Callable[[], float]] = {
        peer_name: lambda: timed(lambda: _repeat(peer, case.steps_per_turn), amount),
        "Glassbox, float32, eager": lambda: timed(lambda: _repeat(ours.run_step, case.steps_per_turn), amount),
    }
    shipped = _trainer(case, tokens, "auto")
    if shipped.execution.precision != "float32":
        name = f"Glassbox as shipped ({shipped.execution.precision}), eager"
        contestants[name] = lambda: timed(lambda: _repeat(shipped.run_step, case.steps_per_turn), amount)
    return {
        "unit": "tokens per second",
        "contestants": compare(contestants, against=peer_name, rounds=case.rounds),
        "parameters": {
            "Glassbox": count_parameters(ours.config.model, VOCABULARY_SIZE, case.context_length).total,
            peer_name: peer_parameters,
        },
        "batch_size": case.batch_size,
        "context_length": case.context_length,
        "threads": torch.get_num_threads(),
    }


def _repeat(step: Callable[[], object], times: int) -> None:
    for _ in range(times):
        step()


def _trainer(case: Case, tokens: np.ndarray, precision: str) -> Trainer:
    heads = [f"model.num_heads={case.heads}"] if case.family == "transformer" else []
    changes = [
        f"model.kind={case.family}",
        f"model.num_layers={case.layers}",
        f"model.hidden_size={case.width}",
        *heads,
        f"data.context_length={case.context_length}",
        f"training.batch_size={case.batch_size}",
        "training.max_steps=100000",
        "hardware.device=cpu",
        "hardware.compile=off",
        f"hardware.precision={precision}",
        f"hardware.num_threads={torch.get_num_threads()}",  # as many as the peer; OMP_NUM_THREADS sets both
    ]
    config = apply_overrides(RunConfig(), changes)
    return Trainer(config, tokens, build_objective(config, plain_vocabulary(VOCABULARY_SIZE)))


Peer = tuple[str, Callable[[], float], int]


def _gpt2(case: Case, tokens: np.ndarray) -> Peer:
    """A plain loop around GPT2LMHeadModel: random windows, loss by the model, clip, AdamW."""
    from transformers import GPT2Config, GPT2LMHeadModel

    no_marks = {"bos_token_id": None, "eos_token_id": None}
    no_dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    size = {"n_positions": case.context_length, "n_embd": case.width, "n_layer": case.layers, "n_head": case.heads}
    model: Any = GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY_SIZE, **size, **no_dropout, **no_marks)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    generator = np.random.default_rng(0)
    offsets_1T = np.arange(case.context_length + 1)[None]

    def step() -> float:
        starts_B1 = generator.integers(0, len(tokens) - case.context_length, case.batch_size)[:, None]
        windows_BT = torch.from_numpy(tokens[starts_B1 + offsets_1T].astype(np.int64))
        logits_BTV = model(windows_BT[:, :-1], use_cache=False).logits
        loss = F.cross_entropy(logits_BTV.flatten(0, 1), windows_BT[:, 1:].flatten())
        return _descend(model, optimizer, loss)

    return "transformers GPT2LMHeadModel, plain loop", step, sum(p.numel() for p in model.parameters())


def _lstm(case: Case, tokens: np.ndarray) -> Peer:
    """The loop of the textbooks: torch.nn.Embedding, LSTM and Linear, the state carried on from piece to piece."""
    embedding = nn.Embedding(VOCABULARY_SIZE, case.width)
    lstm = nn.LSTM(case.width, case.width, case.layers, batch_first=True)
    head = nn.Linear(case.width, VOCABULARY_SIZE)
    model = nn.ModuleList((embedding, lstm, head))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    length = len(tokens) // case.batch_size
    streams_BT = torch.from_numpy(tokens[: length * case.batch_size].astype(np.int64)).view(case.batch_size, length)
    place = 0
    state: tuple[Tensor, Tensor] | None = None

    def step() -> float:
        nonlocal place, state
        if place + case.context_length + 1 > length:
            place, state = 0, None
        piece_BT = streams_BT[:, place : place + case.context_length + 1]
        place += case.context_length
        hidden_BTD, (h, c) = lstm(embedding(piece_BT[:, :-1]), state)
        state = h.detach(), c.detach()
        loss = F.cross_entropy(head(hidden_BTD).flatten(0, 1), piece_BT[:, 1:].flatten())
        return _descend(model, optimizer, loss)

    return "torch.nn.LSTM, plain loop", step, sum(p.numel() for p in model.parameters())


def _descend(model: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor) -> float:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.item()


if __name__ == "__main__":
    sys.exit(main())
