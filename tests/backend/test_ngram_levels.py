"""The n-gram levels of a text: counted once by a job, kept beside the tokens, equal to counting them here."""

from __future__ import annotations

import numpy as np
import pytest

from llm_core.backend.ngram_levels import count_levels, read_levels, submit_levels
from llm_core.backend.worker import run_in_foreground
from llm_core.config.timing import Timing
from llm_core.models.ngram import fit_ngrams
from llm_core.text.progress import Cancelled, no_progress
from llm_core.text.tokens import prepare_tokens
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry
from tests.backend.support import tiny


def test_a_job_counts_them_once_and_keeps_them(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_core.backend.jobs.start_supervisor", lambda workspace: False)
    monkeypatch.setattr("os.nice", lambda increment: 0)  # this very process counts here
    tokens = prepare_tokens(workspace, tiny().data)
    assert read_levels(tokens.path) is None
    job = submit_levels(workspace, tokens)
    assert job is not None
    assert submit_levels(workspace, tokens) is None, "it is under way"
    assert run_in_foreground(workspace, job.id, Timing()).state == "finished"
    assert submit_levels(workspace, tokens) is None, "it is done"
    levels = read_levels(tokens.path)
    assert levels is not None and sorted(levels.nats) == [2, 3, 4, 5, 6, 7, 8]
    model = fit_ngrams(np.asarray(tokens.train), 3, tokens.meta.vocabulary_size)
    here = -np.log(model.target_probabilities(np.asarray(tokens.validation))).mean()
    assert levels.nats[3] == pytest.approx(float(here), abs=1e-12)
    assert levels.nats[levels.best_order] == min(levels.nats.values())
    with Registry(workspace) as registry:
        assert registry.get(job.id).result["train_tokens"] == tokens.meta.train_tokens


def test_cancelling_leaves_nothing(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.nice", lambda increment: 0)
    tokens = prepare_tokens(workspace, tiny().data)
    with pytest.raises(Cancelled):
        count_levels(workspace, tokens.key, no_progress, lambda: True)
    assert read_levels(tokens.path) is None
