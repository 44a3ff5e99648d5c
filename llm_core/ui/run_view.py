"""One run as its page needs it: its settings, its text, what its loss is compared with, read once for a run of the page.

Not here: what it looks like (`run_charts.py`, `run_verdict.py`, `step_view.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from llm_core.backend.verdict import Levels, levels_of
from llm_core.config.errors import UserError
from llm_core.config.objective_words import ObjectiveWords, objective_words
from llm_core.config.run import RunConfig, config_from_dict
from llm_core.models.counting import training_flops_per_token
from llm_core.models.families import families
from llm_core.objectives.row_shape import row_shape
from llm_core.text.token_set import TokenSet
from llm_core.text.tokens import find_tokens
from llm_core.training.budget import tokens_per_step
from llm_core.web.reference_band import ReferenceBand, comparable_runs, reference_band
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.paths import Workspace
from llm_core.workspace.runs import RunSummary, run_folder


@dataclass(frozen=True)
class RunView:
    """A run and what its figures are read against."""

    workspace: Workspace
    record: JobRecord
    folder: Path
    config: RunConfig
    words: ObjectiveWords
    tokens: TokenSet | None
    """None where the text was not cut yet, or is gone."""
    levels: Levels | None
    band: ReferenceBand | None
    """Where earlier runs of the same text stood."""

    @property
    def is_counted(self) -> bool:
        """True for n-grams, which are counted once and have no steps."""
        return families()[self.config.model.kind].is_counted

    @property
    def tokens_per_epoch(self) -> float | None:
        """Length of the training split."""
        return None if self.tokens is None else self.tokens.meta.train_tokens

    @property
    def flops_per_token(self) -> float | None:
        """Floating-point operations of training on one token."""
        if self.levels is None or self.is_counted:
            return None
        context = self.config.data.context_length
        size = self.levels.vocabulary_size
        return training_flops_per_token(self.config.model, size, context, row=row_shape(self.config)) or None

    def tokens_per_step(self, summary: RunSummary) -> float:
        """Tokens of one step: as the run went, or as it is set where it has not gone anywhere."""
        tokens = summary.progress.get("tokens")
        if tokens and summary.steps:
            return float(tokens) / summary.steps
        return tokens_per_step(self.config.training, self.config.data.context_length)


def run_view(workspace: Workspace, record: JobRecord) -> RunView:
    """The view of one run."""
    config = config_from_dict(record.config)
    words = objective_words()[config.objective.kind]
    try:
        tokens = find_tokens(workspace, config.data)
    except UserError:
        tokens = None  # a run from elsewhere, or one whose text was deleted: its curves are still there
    levels = None if tokens is None else levels_of(tokens, config.objective)
    band = None
    if not families()[config.model.kind].is_counted:
        earlier = tuple(comparable_runs(workspace, record))
        band = _band(workspace, earlier, tuple(run.id for run in earlier), words.kind) if earlier else None
    return RunView(workspace, record, run_folder(workspace, record.id), config, words, tokens, levels, band)


@st.cache_data(max_entries=64, show_spinner=False)
def _band(
    _workspace: Workspace, _runs: tuple[JobRecord, ...], run_ids: tuple[str, ...], objective: str
) -> ReferenceBand | None:
    """Kept by the ids: finished runs do not change."""
    return reference_band(_workspace, _runs, objective)
