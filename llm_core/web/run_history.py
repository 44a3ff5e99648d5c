"""What a run measured, as the rules of health read it, from the curves that this process holds already; and the verdict on it.

Not here: the rules (`llm_core.training.health_rules`), words about the verdict (`llm_core.ui.run_verdict`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from llm_core.config.objective_words import objective_words
from llm_core.config.run import RunConfig
from llm_core.text.token_set import TokenSet
from llm_core.text.vocabulary import model_vocabulary
from llm_core.training.health_history import History, Numbers, PartHistory, facts_of_settings
from llm_core.training.health_verdict import Verdict, verdict_of_curves
from llm_core.web.run_curves import Curve, shared_curves
from llm_core.workspace.checkpoints import list_checkpoints
from llm_core.workspace.metrics_read import PointArrays, metric_keys
from llm_core.workspace.paths import Workspace
from llm_core.workspace.runs import run_folder

_NORM, _RATIO, _DEAD = "gradient_norm/", "update_ratio/", "dead_units/"


def verdict_of_run(
    workspace: Workspace,
    run_id: str,
    config: RunConfig,
    tokens: TokenSet,
    total_steps: int | None,
    tokens_per_step: float,
) -> Verdict | None:
    """The verdict on a run so far; None before anything was logged.

    Args:
        config: the settings that the run has now.
        tokens: its text.
        total_steps: where it ends, if that is known.
    """
    history = history_of(workspace, run_id, config)
    if not len(history.step):
        return None
    # A token of an answer is no token of the text, so that its frequency there says nothing.
    compares = config.objective.kind in ("causal", "masked")
    facts = facts_of_settings(
        config,
        vocabulary_size=model_vocabulary(tokens.tokenizer, config.objective).size,
        total_steps=total_steps,
        tokens_per_step=max(1, round(tokens_per_step)),
        train_tokens=tokens.meta.train_tokens,
        unigram_nats=tokens.meta.unigram_entropy_nats if compares else None,
    )
    steps = [info.step for info in list_checkpoints(run_folder(workspace, run_id))]
    return verdict_of_curves(history, facts, steps)


def history_of(workspace: Workspace, run_id: str, config: RunConfig) -> History:
    """The measured values of the surviving lineage; what was not measured at a logged step is NaN."""
    words = objective_words()[config.objective.kind]
    folder = run_folder(workspace, run_id)
    norms = [key for key in metric_keys(folder) if key.startswith((_NORM, _RATIO, _DEAD))]
    keys = [words.train_key, "grad_norm", "learning_rate", words.validation_key, *norms]
    run = shared_curves().run(folder)
    with run.lock:
        run.refresh(keys)
        points = {key: (run.curves.get(key) or Curve()).points for key in keys}
    logged, validation = points[words.train_key], points[words.validation_key]
    return History(
        step=logged.step.astype(np.float64),
        loss=logged.value,
        grad_norm=_beside(logged, points["grad_norm"]),
        learning_rate=_beside(logged, points["learning_rate"]),
        validation_step=validation.step.astype(np.float64),
        validation_loss=validation.value,
        parts={
            key.removeprefix(_NORM): _part(key.removeprefix(_NORM), points) for key in norms if key.startswith(_NORM)
        },
    )


def _part(part: str, points: Mapping[str, PointArrays]) -> PartHistory:
    norms = points[_NORM + part]
    nothing = Curve().points
    ratios, dead = (_beside(norms, points.get(prefix + part, nothing)) for prefix in (_RATIO, _DEAD))
    return PartHistory(norms.step.astype(np.float64), norms.value, ratios, dead)


def _beside(points: PointArrays, others: PointArrays) -> Numbers:
    """The values of other points at the steps of these."""
    values = np.full(len(points), np.nan)
    if len(others):
        places = np.minimum(np.searchsorted(others.step, points.step), len(others) - 1)
        same = others.step[places] == points.step
        values[same] = others.value[places[same]]
    return values
