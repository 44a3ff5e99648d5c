"""The batch that a training step saw, drawn again from the seed and the place in the text, without training.

A reader is put where the newest checkpoint before the step left it and reads on; changes of the batch size on the way happen again.
A step that no checkpoint precedes is replayed from the run's beginning. Not here: what a model makes of the batch (`step_batch.py`).

Axes: B rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_core.config.errors import UserError
from llm_core.config.live_settings import changed_live
from llm_core.config.run import RunConfig, load_config
from llm_core.models.families import families
from llm_core.objectives.interface import Batch, BatchReader
from llm_core.objectives.registry import TrainingObjective, objective_for
from llm_core.text.token_set import TokenSet
from llm_core.training.checkpoint_state import CONFIG_FILE, STATE_FILE
from llm_core.workspace.checkpoints import CheckpointInfo, list_checkpoints
from llm_core.workspace.lineage import read_lineage
from llm_core.workspace.metrics_read import events
from llm_core.workspace.runs import CONFIG

# A batch is drawn in well under a millisecond, so that this takes seconds; checkpoints are rarely so far apart.
MAXIMUM_REPLAYED_BATCHES = 20_000
# A recurrent network remembers what it read before; of that, this much is read again.
WARMING_STEPS = 8
_READING_SETTINGS = ("training.batch_size", "training.gradient_accumulation_steps")


@dataclass(frozen=True)
class ReplayedStep:
    """What update number `step` was computed from."""

    step: int
    config: RunConfig
    """Of the run at this step."""
    objective: TrainingObjective
    batches: tuple[Batch, ...]
    """As many as the step accumulated."""
    warming: tuple[Batch, ...]
    """For a recurrent network, what its rows had read just before, oldest first; of the same number of rows."""


def replay_step(folder: Path, tokens: TokenSet, step: int) -> ReplayedStep:
    """The batch of one step of the run in this folder.

    Args:
        step: the number of the update, from 1.

    Raises:
        UserError: the step belongs to the run that this one was forked from, or no checkpoint is near enough before it.
    """
    lineage = read_lineage(folder)
    if step < 1 or (lineage is not None and step <= lineage.step):
        first = 1 if lineage is None else lineage.step + 1
        remedy = "" if lineage is None else f"Look at it in the run it was forked from, {lineage.parent_name}"
        raise UserError("This run did not make this step", value=step, limit=f"step {first:,} or later", remedy=remedy)
    config = load_config((folder / CONFIG).read_bytes())
    warming_steps = WARMING_STEPS if families()[config.model.kind].is_recurrent else 0
    checkpoint = newest_before(folder, step - warming_steps) or (newest_before(folder, step) if lineage else None)
    at = 0 if checkpoint is None else checkpoint.step
    config, objective, reader = _reader_at(folder, config, tokens, checkpoint)
    to_replay = (step - at) * config.training.gradient_accumulation_steps
    if to_replay > MAXIMUM_REPLAYED_BATCHES:
        raise UserError(
            "The batch of this step cannot be found quickly: the last checkpoint before it is too far away",
            value=f"{to_replay:,} batches after step {at:,}",
            limit=f"{MAXIMUM_REPLAYED_BATCHES:,} batches",
            remedy="Choose a step soon after a checkpoint",
        )
    changes = _reading_changes(folder)
    read: list[tuple[Batch, ...]] = []
    for done in range(at, step):
        due = {name: value for place, name, value in changes if place == done}
        if due:
            before, config = config, changed_live(config, due)
            if config.training.batch_size != before.training.batch_size:
                objective, reader = _reread(config, tokens, reader)
        drawn = tuple(reader.next() for _ in range(config.training.gradient_accumulation_steps))
        read = [*read, drawn][-1 - warming_steps :]
    batches = read.pop()
    warming = [batch for drawn in read for batch in drawn if _rows(batch) == _rows(batches[0])]
    return ReplayedStep(step, config, objective, batches, tuple(warming))


def newest_before(folder: Path, step: int) -> CheckpointInfo | None:
    """The newest checkpoint whose weights had not seen update number `step`."""
    return next((info for info in reversed(list_checkpoints(folder)) if info.step < step), None)


def _reader_at(
    folder: Path, config: RunConfig, tokens: TokenSet, checkpoint: CheckpointInfo | None
) -> tuple[RunConfig, TrainingObjective, BatchReader]:
    """Settings, objective and reader as the run had them after the checkpoint; at its beginning where there is none."""
    if checkpoint is None:
        objective = objective_for(config, tokens.tokenizer)
        return config, objective, objective.reader(tokens.train)
    former = load_config((checkpoint.path / CONFIG_FILE).read_bytes())
    state: Mapping[str, Any] = json.loads((checkpoint.path / STATE_FILE).read_text(encoding="utf-8"))
    lineage = read_lineage(folder)
    is_origin = lineage is not None and lineage.step == checkpoint.step
    # Where a fork begins, its own settings count, and another seed reads the text in another order.
    config = config if is_origin else former
    objective = objective_for(config, tokens.tokenizer)
    reader = objective.reader(tokens.train)
    if "data" in state and config.seed == former.seed:
        try:
            reader.load_state_dict(state["data"])
        except UserError:
            if not is_origin:
                raise
    return config, objective, reader


def _reread(config: RunConfig, tokens: TokenSet, reader: BatchReader) -> tuple[TrainingObjective, BatchReader]:
    """As `llm_core.training.live_changes` goes on with another batch size."""
    objective = objective_for(config, tokens.tokenizer)
    fresh = objective.reader(tokens.train)
    with suppress(UserError):  # rows of a stream belong to a batch size: they begin at new places
        fresh.load_state_dict(reader.state_dict())
    return objective, fresh


def _reading_changes(folder: Path) -> list[tuple[int, str, Any]]:
    """Changes of how a step reads, by the number of updates done before them; what a roll-back undid is left out."""
    changes: list[tuple[int, str, Any]] = []
    for event in events(folder):
        if event.kind == "changed" and event.data.get("setting") in _READING_SETTINGS and event.step is not None:
            changes.append((event.step, event.data["setting"], event.data["after"]))
        elif event.kind == "rolled_back" and event.step is not None:
            changes = [change for change in changes if change[0] < event.step]
    return changes


def _rows(batch: Batch) -> int:
    return len(next(iter(batch.arrays.values())))
