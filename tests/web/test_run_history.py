"""A run's points as the rules of health read them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from llm_core.config.run import RunConfig
from llm_core.web.run_history import history_of
from llm_core.workspace.paths import Workspace
from tests.web.live_run import LiveRun


def test_what_was_measured_at_a_step_stands_beside_its_loss(
    workspace: Workspace, live_run: Callable[[str], LiveRun]
) -> None:
    run = live_run("history")
    run.points("train_loss", {1: 4.0, 5: 3.0, 10: math.nan})
    run.points("grad_norm", {1: 1.0, 10: 9.0})
    run.points("learning_rate", {1: 0.1, 5: 0.2, 10: 0.3})
    run.points("val_loss", {0: 4.1, 10: 3.5})
    run.points("gradient_norm/layer 0", {1: 0.5, 10: 0.4})
    run.points("update_ratio/layer 0", {1: 0.01, 10: 0.02})
    history = history_of(workspace, run.id, RunConfig())
    assert history.step.tolist() == [1, 5, 10] and history.validation_step.tolist() == [0, 10]
    np.testing.assert_array_equal(history.grad_norm, [1.0, math.nan, 9.0])
    np.testing.assert_array_equal(history.learning_rate, [0.1, 0.2, 0.3])
    part = history.parts["layer 0"]
    assert part.step.tolist() == [1, 10] and part.update_ratio.tolist() == [0.01, 0.02]
    assert np.isnan(part.dead_share).all()
