"""Every family as a run: its points have names of its own, its samples suit its objective, and its checkpoint opens and works."""

from __future__ import annotations

import math

import numpy as np
import pytest

from llm_core.backend.endings import StopSignal
from llm_core.backend.jobs import submit_run
from llm_core.backend.worker import run_in_foreground
from llm_core.config.errors import UserError
from llm_core.config.overrides import apply_overrides
from llm_core.config.run import RunConfig
from llm_core.config.timing import Timing
from llm_core.generation.likelihood import sum_losses
from llm_core.generation.opening import open_model
from llm_core.text.tokens import find_tokens
from llm_core.workspace.checkpoints import find_checkpoint
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.metrics_read import read_points, samples
from llm_core.workspace.paths import Workspace
from llm_core.workspace.runs import run_folder, summarise_run

BASE = [
    "data.dataset=letters",
    "data.context_length=16",
    "training.batch_size=4",
    "training.max_steps=6",
    "training.eval_interval=3",
    "training.log_interval=1",
    "training.sample_tokens=8",
    "hardware.device=cpu",
    "hardware.num_threads=1",
]
SMALL = ["model.hidden_size=16", "model.num_layers=1", "model.num_heads=2"]


def finished(workspace: Workspace, *changes: str) -> JobRecord:
    config = apply_overrides(RunConfig(), [*changes, *BASE])
    record = submit_run(workspace, config, foreground=True)
    record = run_in_foreground(workspace, record.id, Timing.from_environment(), StopSignal())
    assert record.state == "finished", record.reason
    return record


def test_an_ngram_run_counts_order_by_order_and_scores_as_it_logged(workspace: Workspace) -> None:
    record = finished(workspace, "model.kind=ngram", "model.order=3", "name=counts")
    folder = run_folder(workspace, record.id)
    measured = read_points(folder, "val_loss")
    assert measured.step.tolist() == [1, 2, 3]
    assert record.result["val_loss"] == measured.value[-1] and record.result["bits_per_byte"] > 0
    assert len(samples(folder)) == 3 and all(sample.text for sample in samples(folder))
    opened = open_model(find_checkpoint(folder).path)
    tokens = find_tokens(workspace, opened.config.data)
    assert tokens is not None
    scored = sum_losses(opened.text_model().target_nats(tokens.validation), tokens.validation, opened.tokenizer)
    assert scored.loss == pytest.approx(measured.value[-1], abs=1e-12)
    assert scored.tokens == len(tokens.validation) - 1


@pytest.mark.parametrize(
    ("changes", "prefix"),
    [
        (["model.kind=encoder", *SMALL], "masked"),
        (["model.kind=encoder-decoder", *SMALL, "objective.num_sentinels=4"], "span"),
    ],
    ids=["encoder", "encoder-decoder"],
)
def test_a_filling_run_keeps_names_of_its_own(workspace: Workspace, changes: list[str], prefix: str) -> None:
    record = finished(workspace, *changes)
    folder = run_folder(workspace, record.id)
    assert read_points(folder, "val_loss").step.size == read_points(folder, "train_loss").step.size == 0
    measured = read_points(folder, f"{prefix}_val_loss")
    assert measured.step.tolist() == [0, 3, 6]
    assert read_points(folder, f"{prefix}_train_loss").step.tolist() == [1, 2, 3, 4, 5, 6]
    opened = open_model(find_checkpoint(folder).path)
    assert measured.value[0] == pytest.approx(math.log(opened.vocabulary.size), abs=0.05), "the first loss is chance"
    accuracy = read_points(folder, f"{prefix}_accuracy").value
    assert np.all((accuracy >= 0) & (accuracy <= 1))
    assert record.result["val_loss"] is None and record.result["bits_per_byte"] is None
    summary = summarise_run(workspace, record)
    assert (summary.val_loss, summary.accuracy) == (measured.value[-1], accuracy[-1])
    written = samples(folder)
    assert len(written) == 3 and all(sample.data["expected"] for sample in written)


def test_pairs_are_learned_from_pairs_alone(workspace: Workspace) -> None:
    kind = ["model.kind=encoder-decoder", "objective.kind=sequence-to-sequence"]
    config = apply_overrides(RunConfig(), [*kind, *SMALL, *BASE])
    with pytest.raises(UserError, match=r"no pairs.*answer column"):
        submit_run(workspace, config, foreground=True)
