"""The range of earlier runs against curves written by hand, and values looked up by step."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from llm_core.config.overrides import apply_overrides
from llm_core.config.run import RunConfig
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus
from llm_core.web.reference_band import comparable_runs, reference_band
from llm_core.web.step_values import StepValue, values_near
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.metrics import MetricsWriter
from llm_core.workspace.paths import Workspace
from llm_core.workspace.process_identity import this_process
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import run_folder
from tests.web.live_run import TOKENS_PER_STEP, LiveRun


def finished(workspace: Workspace, registry: Registry, name: str, values: dict[int, float], *changes: str) -> JobRecord:
    config = apply_overrides(RunConfig(), ["data.dataset=letters", f"name={name}", *changes])
    queued = registry.add("train", name, config.model_dump(mode="json"), foreground=True)
    record = registry.claim(this_process(), ["train"], queued.id)
    assert record is not None and record.lease_token is not None
    registry.move(record.id, "running", token=record.lease_token)
    with MetricsWriter(run_folder(workspace, record.id), record.lease_token) as writer:
        writer.begin_segment(None, 0)
        for tokens, value in values.items():
            writer.point("val_loss", tokens // 10, tokens, 0.0, value)
    return registry.move(record.id, "finished", token=record.lease_token)


def test_the_band_is_the_range_of_earlier_runs_at_the_same_tokens(workspace: Workspace, registry: Registry) -> None:
    for name in ("letters", "other"):
        import_corpus(workspace, f"{name} abc " * 100, ImportOptions(name=name, kind="paste"))
    finished(workspace, registry, "slow", {0: 4.0, 500: 3.5, 1000: 3.0, 2000: 2.0})
    finished(workspace, registry, "quick", {0: 4.2, 1000: 2.5, 1500: math.nan}, "model.kind=lstm")
    finished(workspace, registry, "elsewhere", {0: 9.0, 1000: 9.0}, "data.dataset=other")
    finished(workspace, registry, "masked", {0: 9.0, 1000: 9.0}, "model.kind=encoder")
    finished(workspace, registry, "counted", {0: 9.0, 1000: 9.0}, "model.kind=ngram")
    this = finished(workspace, registry, "this", {0: 8.0, 1000: 8.0})
    finished(workspace, registry, "later", {0: 9.0, 1000: 9.0})

    runs = comparable_runs(workspace, this)
    assert [run.name for run in runs] == ["quick", "slow"]
    band = reference_band(workspace, runs, "causal")
    assert band is not None and band.names == ("quick", "slow")
    assert (band.tokens, band.low, band.high) == ((500, 1000, 2000), (3.5, 2.5, 2.0), (3.5, 3.0, 2.0))
    assert band.at(750) == pytest.approx((3.0, 3.25)) and band.at(1500) == pytest.approx((2.25, 2.5))
    assert band.at(2001) is None and band.at(0) is None, "the loss before the first step says nothing"
    assert reference_band(workspace, runs[:0], "causal") is None


def test_a_value_is_looked_up_by_the_nearest_step(workspace: Workspace, live_run: Callable[[str], LiveRun]) -> None:
    run = live_run("values")
    run.points("grad_norm", {10: 1.0, 20: 2.0, 30: 3.0})
    found = values_near(workspace, run.id, ["grad_norm", "mfu"], 24)
    assert found == {"grad_norm": StepValue(20, 2.0, 20 * TOKENS_PER_STEP)}
    assert values_near(workspace, run.id, ["grad_norm"], 26)["grad_norm"].step == 30
    assert values_near(workspace, run.id, ["grad_norm"], 99)["grad_norm"].step == 30
    assert values_near(workspace, run.id, ["grad_norm"], 1)["grad_norm"].step == 10
