"""How well counting alone does on a text: the loss of n-gram models of every order, as levels to compare a network with.

Counted once for a text and its tokenizer by a short job, and kept beside the tokens. Not here: the counting itself
(`llm_core.models.ngram`), the lines in the chart (`llm_core.ui.guides`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from llm_core.backend.jobs import submit_job
from llm_core.models.ngram import fit_ngrams
from llm_core.text.progress import stop_if_cancelled
from llm_core.text.token_set import TokenSet, open_token_set
from llm_core.workspace.job_record import FAILED, HELD, QUEUED, JobRecord
from llm_core.workspace.json_files import write_text
from llm_core.workspace.paths import Workspace, safe_join
from llm_core.workspace.registry import Registry

LEVELS_FILE = "ngram.json"
ORDERS = range(2, 9)
# Counting takes about 100 bytes for each token and order; more text hardly moves the levels.
MOST_TOKENS = 20_000_000
_PHASE = "counting n-grams"


class NgramLevels(BaseModel):
    """Loss on the validation tokens by order, nats per token."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    nats: dict[int, float]
    train_tokens: int
    """How many of the training tokens were counted."""

    @property
    def best_order(self) -> int:
        """The order with the lowest loss."""
        return min(self.nats, key=self.nats.__getitem__)


def read_levels(token_folder: Path) -> NgramLevels | None:
    """The levels of a text as it was cut; None while they are not counted."""
    try:
        return NgramLevels.model_validate_json((token_folder / LEVELS_FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def submit_levels(workspace: Workspace, tokens: TokenSet) -> JobRecord | None:
    """Queue the counting; None when it is done, under way, or has failed for this text."""
    if read_levels(tokens.path) is not None:
        return None
    with Registry(workspace) as registry:
        known = registry.jobs("ngram", HELD | {QUEUED, FAILED})
    if any(job.config["tokens"] == tokens.key for job in known):
        return None
    return submit_job(workspace, "ngram", f"n-grams of {tokens.meta.dataset_name}"[:100], {"tokens": tokens.key})


def count_levels(
    workspace: Workspace, key: str, report: Callable[[str, int, int | None], None], cancelled: Callable[[], bool]
) -> NgramLevels:
    """Count and keep the levels of one token folder. Gives way to everything else on the machine."""
    os.nice(10)
    tokens = open_token_set(safe_join(workspace.tokens, key))
    train = np.asarray(tokens.train[:MOST_TOKENS])
    validation = np.asarray(tokens.validation[:MOST_TOKENS])
    end_of_text = None if tokens.meta.documents == 1 else tokens.tokenizer.end_of_text_id
    nats: dict[int, float] = {}
    for done, order in enumerate(ORDERS):
        stop_if_cancelled(cancelled)
        report(_PHASE, done, len(ORDERS))
        model = fit_ngrams(train, order, tokens.meta.vocabulary_size, end_of_text)
        nats[order] = float(-np.log(model.target_probabilities(validation)).mean())
    levels = NgramLevels(nats=nats, train_tokens=len(train))
    write_text(tokens.path / LEVELS_FILE, levels.model_dump_json(indent=1) + "\n")
    return levels
