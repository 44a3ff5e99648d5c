"""One training step looked at afterwards: the text of its batch, and how surprising each token of it was to the model.

The model is that of the newest checkpoint before the step, so its losses come near those of the step and equal them right after a
checkpoint, dropout aside. Not here: finding the batch (`batch_replay.py`).

Axes: B rows, T positions, M hidden places of a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from llm_core.backend.batch_replay import ReplayedStep, newest_before, replay_step
from llm_core.backend.model_cache import ModelCache
from llm_core.config.errors import UserError
from llm_core.config.run import RunConfig, load_config
from llm_core.generation.evaluation_mode import evaluation_mode
from llm_core.models.families import families
from llm_core.models.interface import LanguageModel, State
from llm_core.models.registry import build_model
from llm_core.objectives.causal import cross_entropy_per_target
from llm_core.objectives.interface import NO_TARGET, Batch
from llm_core.objectives.train_step import CausalObjective
from llm_core.text.tokenizer_interface import TextTokenizer
from llm_core.text.tokens import find_tokens
from llm_core.text.visible import shown_token
from llm_core.text.vocabulary import extend_tokenizer
from llm_core.workspace.metrics_read import last_tried_step
from llm_core.workspace.paths import Workspace
from llm_core.workspace.runs import CONFIG, run_folder

SHOWN_ROWS = 8
MAXIMUM_SCORED_TOKENS = 32_768
# Scores over the vocabulary that may be in memory at a time.
_LOGITS_BUDGET = 2**25

Losses = npt.NDArray[np.float32]
Targets = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _ScoredRow:
    """One row of a batch with the loss of each of its targets."""

    batch: Batch
    index: int
    targets: Targets
    losses: Losses

    @property
    def mean_nats(self) -> float:
        scored = self.losses[self.targets != NO_TARGET]
        return float(scored.mean(dtype=np.float64)) if len(scored) else 0.0


def step_batch(workspace: Workspace, models: ModelCache, run_id: str, step: int) -> dict[str, Any]:
    """The batch of a step, its hardest rows first, each token with its probability.

    Returns:
        `step`, `weights_step` (of the checkpoint used; 0 and `is_beginning` for weights drawn anew from the seed), `rows` and
        `scored_rows`, `loss` (mean nats of what was scored), `warming_steps`, and `shown`: rows with `row`, `start` (place in the
        training split, in tokens), `loss`, `source` (text, of an encoder-decoder), `tokens` (`text`, `id`, `p` where it was scored).

    Raises:
        UserError: no such run or step, its text is gone, or the batch is too far from a checkpoint to be found.
    """
    folder = run_folder(workspace, run_id)
    _check_step(folder, step)
    config = load_config((folder / CONFIG).read_bytes())
    if families()[config.model.kind].is_counted:
        raise UserError("An n-gram model is counted, not trained in steps", value=config.model.kind)
    tokens = find_tokens(workspace, config.data)
    if tokens is None:
        raise UserError(
            "The text of this run is gone, so its batches cannot be drawn again",
            value=config.data.dataset,
            remedy="Import the text again, or choose another run",
        )
    replayed = replay_step(folder, tokens, step)
    checkpoint = newest_before(folder, step)
    if checkpoint is None:
        model = _first_model(replayed)
        tokenizer = extend_tokenizer(tokens.tokenizer, replayed.objective.vocabulary)
    else:
        opened, _ = models.get(run_id, checkpoint.step)
        model, tokenizer = opened.require_network(), opened.tokenizer
    scored = _score(model, replayed)
    hardest = sorted(scored, key=lambda row: -row.mean_nats)[:SHOWN_ROWS]
    targets = np.concatenate([row.targets for row in scored])
    losses = np.concatenate([row.losses for row in scored])
    return {
        "step": step,
        "weights_step": 0 if checkpoint is None else checkpoint.step,
        "is_beginning": checkpoint is None,
        "rows": sum(_num_rows(batch) for batch in replayed.batches),
        "scored_rows": len(scored),
        "loss": float(losses[targets != NO_TARGET].mean(dtype=np.float64)),
        "warming_steps": len(replayed.warming),
        "shown": [_shown(row, tokenizer) for row in hardest],
    }


def _check_step(folder: Path, step: int) -> None:
    last = last_tried_step(folder)
    if not 1 <= step <= last:
        raise UserError("The run has not made this step", value=step, limit=f"1 to {last:,}")


def _first_model(replayed: ReplayedStep) -> LanguageModel:
    """The weights with which the run began: drawn from its seed, as the trainer draws them."""
    config: RunConfig = replayed.config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = build_model(config.model, replayed.objective.vocabulary.size, config.data.context_length)
    return model.requires_grad_(False).eval()


def _score(model: LanguageModel, replayed: ReplayedStep) -> list[_ScoredRow]:
    """The rows of a step with their losses, as many as may be scored."""
    first = replayed.batches[0]
    per_row = max(array.size // _num_rows(first) for array in first.arrays.values())
    budget = max(1, MAXIMUM_SCORED_TOKENS // (per_row * (len(replayed.warming) + len(replayed.batches))))
    at_once = max(1, _LOGITS_BUDGET // (per_row * model.vocabulary_size))
    scored: list[_ScoredRow] = []
    for start in range(0, min(budget, _num_rows(first)), at_once):
        rows = slice(start, min(start + at_once, budget))
        state: State | None = None
        for batch in replayed.warming:
            _, _, state = _forward(model, replayed, _rows(batch, rows), state)
        for batch in replayed.batches:
            targets, losses, state = _forward(model, replayed, _rows(batch, rows), state)
            scored += [
                _ScoredRow(batch, start + index, *pair) for index, pair in enumerate(zip(targets, losses, strict=True))
            ]
    return scored


def _forward(
    model: LanguageModel, replayed: ReplayedStep, batch: Batch, state: State | None
) -> tuple[Targets, Losses, State | None]:
    """Targets and their losses, row by row, and what a recurrent network then remembers."""
    objective = replayed.objective
    with evaluation_mode(model), torch.inference_mode():
        if not isinstance(objective, CausalObjective):
            logits, targets = objective.scores(model, batch)
            return targets.cpu().numpy(), cross_entropy_per_target(logits, targets).cpu().numpy(), None
        tensors = {name: torch.from_numpy(array) for name, array in batch.arrays.items()}
        targets_BT = tensors.pop("targets_BT")
        if batch.restart_B is not None:
            if state is None:
                state = model.initial_state(len(batch.restart_B), 0, device=model.device)
            elif batch.restart_B.any():
                state = state.restart(torch.from_numpy(batch.restart_B))
        output = model(tensors["inputs_BT"], documents_BT=tensors.get("documents_BT"), state=state)
        losses_BT = cross_entropy_per_target(model.logits(output.hidden_BTD), targets_BT)
        return targets_BT.numpy(), losses_BT.numpy(), output.state


def _rows(batch: Batch, rows: slice) -> Batch:
    arrays = {name: np.ascontiguousarray(array[rows]) for name, array in batch.arrays.items()}
    return batch._replace(arrays=arrays, restart_B=None if batch.restart_B is None else batch.restart_B[rows])


def _num_rows(batch: Batch) -> int:
    return len(next(iter(batch.arrays.values())))


def _shown(row: _ScoredRow, tokenizer: TextTokenizer) -> dict[str, Any]:
    arrays, index = row.batch.arrays, row.index
    probabilities = np.exp(-row.losses.astype(np.float64))
    source: str | None = None
    if "positions_BM" in arrays:
        ids = arrays["inputs_BT"][index].copy()
        is_target = row.targets != NO_TARGET
        places = arrays["positions_BM"][index][is_target]
        ids[places] = row.targets[is_target]
        scored = dict(zip(places.tolist(), probabilities[is_target].tolist(), strict=True))
    else:
        is_target = row.targets != NO_TARGET
        leading: list[int] = []
        if "source_BS" in arrays:
            padding = arrays.get("source_padding_BS")
            source_ids = arrays["source_BS"][index]
            source = tokenizer.decode((source_ids if padding is None else source_ids[~padding[index]]).tolist())
        else:
            leading = [int(arrays["inputs_BT"][index][0])]
        ids = np.array([*leading, *row.targets[is_target].tolist()])
        scored = dict(enumerate(probabilities[is_target].tolist(), start=len(leading)))
    starts = row.batch.starts_B
    return {
        "row": index,
        "start": None if starts is None else int(starts[index]),
        "loss": row.mean_nats,
        "source": source,
        "tokens": [
            {"text": shown_token(tokenizer, token), "id": token} | ({"p": scored[place]} if place in scored else {})
            for place, token in enumerate(ids.tolist())
        ],
    }
