"""Measuring the speed of a configuration: when it is done, when it gives way, what it leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_core.backend.estimates import estimate_run
from llm_core.backend.probing import end_measurement, measurement_of
from llm_core.backend.worker import run_in_foreground
from llm_core.config.timing import Timing
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.registry import Registry
from tests.backend.support import tiny


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """One small text, on a machine that counts as idle, whatever else it does."""
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 0.0, 0.0))
    monkeypatch.setattr("llm_core.backend.speed_probe.LARGEST_WAITING_SHARE", 1.0)
    workspace = open_workspace(tmp_path / "home")
    import_corpus(workspace, "the statement is executed " * 200, ImportOptions(name="letters", kind="paste"))
    return workspace


def queue_probe(workspace: Workspace) -> str:
    with Registry(workspace) as registry:
        return registry.add("probe", "probe", tiny().model_dump(mode="json"), foreground=True).id


def test_a_measurement_becomes_the_estimate(workspace: Workspace) -> None:
    config = tiny()
    assert measurement_of(workspace, config) == "possible"
    assert estimate_run(workspace, config).source == "formula"
    probe = queue_probe(workspace)
    assert measurement_of(workspace, config) == "measuring"
    record = run_in_foreground(workspace, probe, Timing())
    assert record.state == "finished", record.reason
    assert measurement_of(workspace, config) == "measured"
    estimate = estimate_run(workspace, config)
    assert estimate.source == "measured"
    assert estimate.tokens_per_second == record.result["tokens_per_second"]
    assert estimate.seconds_low is not None and estimate.seconds is not None and estimate.seconds_high is not None
    assert estimate.seconds_low < estimate.seconds < estimate.seconds_high
    assert measurement_of(workspace, tiny("lstm")) == "possible", "another model has another speed"


def test_a_training_has_the_right_of_way(workspace: Workspace) -> None:
    probe = queue_probe(workspace)
    with Registry(workspace) as registry:
        run = registry.add("train", "a run", tiny().model_dump(mode="json"))
    record = run_in_foreground(workspace, probe, Timing())
    assert (record.state, record.reason) == ("stopped", "cancelled")
    assert measurement_of(workspace, tiny()) == "training"
    with Registry(workspace) as registry:
        registry.cancel(run.id)
    assert measurement_of(workspace, tiny()) == "possible", "nothing of the broken measurement is kept"


def test_a_busy_machine_is_not_measured(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_core.backend.speed_probe.LARGEST_WAITING_SHARE", -1.0)
    record = run_in_foreground(workspace, queue_probe(workspace), Timing())
    assert record.state == "failed" and "too busy" in record.reason
    assert measurement_of(workspace, tiny()) == "failed"
    assert estimate_run(workspace, tiny()).source == "formula"


def test_a_waiting_measurement_can_be_ended_more_than_once(workspace: Workspace) -> None:
    probe = queue_probe(workspace)
    end_measurement(workspace, probe)
    end_measurement(workspace, probe)
    with Registry(workspace) as registry:
        assert registry.get(probe).state == "stopped"


def test_what_would_take_long_or_disturb_is_not_measured(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (
        measurement_of(workspace, tiny("lstm", "model.hidden_size=4096", "training.gradient_accumulation_steps=500"))
        == "too large"
    )
    monkeypatch.setattr("os.getloadavg", lambda: (1e9, 1e9, 1e9))
    assert measurement_of(workspace, tiny()) == "busy"
