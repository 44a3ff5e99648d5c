"""Estimates of every family: figures before the text is read and after, and what a measurement makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_core.backend.estimates import estimate_run, speed_key
from llm_core.backend.probing import measurement_of
from llm_core.backend.readiness import check_readiness
from llm_core.backend.speed_probe import measure_speed
from llm_core.backend.text_length import text_length, tokens_of_step
from llm_core.config.overrides import apply_overrides
from llm_core.config.run import RunConfig
from llm_core.models.counting import RowShape
from llm_core.models.ngram import fit_ngrams
from llm_core.objectives.masked import places_per_row
from llm_core.objectives.row_shape import row_shape
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus
from llm_core.text.tokens import prepare_tokens
from llm_core.workspace.paths import Workspace, open_workspace

NEURAL = ["rnn", "gru", "mingru", "lstm", "transformer", "encoder", "encoder-decoder"]


@pytest.fixture(autouse=True)
def an_idle_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else runs beside the tests; and three steps are measurement enough."""
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 0.0, 0.0))
    monkeypatch.setattr("llm_core.backend.speed_probe.LARGEST_WAITING_SHARE", 1.0)
    monkeypatch.setattr("llm_core.backend.speed_probe._MEASURED_SECONDS", 0.0)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = open_workspace(tmp_path / "home")
    import_corpus(workspace, "the statement is executed " * 200, ImportOptions(name="letters", kind="paste"))
    return workspace


def tiny(kind: str, *changes: str) -> RunConfig:
    size = [] if kind == "ngram" else ["model.hidden_size=16"]
    return apply_overrides(
        RunConfig(),
        [
            f"model.kind={kind}",
            *size,
            "data.dataset=letters",
            "data.context_length=16",
            "training.batch_size=4",
            "training.max_steps=40",
            "hardware.device=cpu",
            "hardware.num_threads=1",
            *changes,
        ],
    )


@pytest.mark.parametrize("kind", NEURAL)
def test_every_network_is_estimated_and_measured(workspace: Workspace, kind: str) -> None:
    config = tiny(kind)
    assert check_readiness(workspace, config).blocking == []
    before = estimate_run(workspace, config)
    assert (before.source, before.steps, before.tokens) == ("formula", 40, 40 * 4 * 16)
    assert before.flops_per_token > 0 and before.tokens_per_parameter is not None
    assert 4 * before.parameters.total <= before.inference_bytes < before.memory.total_bytes
    assert before.seconds_low < before.seconds < before.seconds_high
    result = measure_speed(workspace, config, lambda *_: None, lambda: False)
    after = estimate_run(workspace, config)
    assert after.source == "measured"
    assert after.tokens_per_second == result["tokens_per_second"] > 0
    assert measurement_of(workspace, config) == "measured"


def test_counting_is_estimated_and_never_probed(workspace: Workspace) -> None:
    config = tiny("ngram", "model.order=3")
    assert measurement_of(workspace, config) == "counted"
    assert check_readiness(workspace, config).warnings == []
    tokens = prepare_tokens(workspace, config.data)
    estimate = estimate_run(workspace, config)
    model = fit_ngrams(tokens.train, 3, tokens.meta.vocabulary_size)
    assert model.num_ngrams <= estimate.parameters.total <= 3 * len(tokens.train)
    assert estimate.parameters.is_upper_bound and estimate.tokens_per_parameter is None
    assert (estimate.steps, estimate.tokens) == (3, 3 * len(tokens.train))
    assert estimate.seconds_low < estimate.seconds < estimate.seconds_high
    part = estimate_run(workspace, tiny("ngram", "model.order=3", "training.max_tokens=100"))
    assert part.tokens == 300 and part.parameters.total < estimate.parameters.total and part.seconds < estimate.seconds


def test_what_was_never_read_is_bounded_by_a_usual_length(tmp_path: Path) -> None:
    """Not by what a vocabulary allows, which would be billions."""
    workspace = open_workspace(tmp_path / "home")
    config = tiny("ngram", "data.dataset=python-reference")
    assert text_length(workspace, config, 100) is None
    assert estimate_run(workspace, config).parameters.total < 10_000_000
    assert check_readiness(workspace, config).warnings == []


def test_rows_are_those_of_the_objective() -> None:
    masked = tiny("encoder", "objective.rate=0.3")
    assert row_shape(masked) == RowShape(16, read=16, scored=places_per_row(16, 0.3))
    spans = tiny("encoder-decoder", "objective.mean_span=2", "objective.density=0.25")
    # 4 of 16 tokens in 2 gaps: 12 left, a mark for each gap and an end; two marks, 4 tokens and an end.
    assert row_shape(spans) == RowShape(16, read=15, scored=7, written=7)
    pairs = tiny("encoder-decoder", "objective.kind=sequence-to-sequence")
    assert row_shape(pairs) == RowShape(32, read=16, scored=16, written=16)
    assert row_shape(tiny("lstm")) == RowShape(16, read=16, scored=16)


def test_more_gaps_than_marks_are_said_before_the_start(workspace: Workspace) -> None:
    found = check_readiness(workspace, tiny("encoder-decoder", "objective.num_sentinels=1", "data.context_length=128"))
    assert "more gaps than there are marks" in str(found.blocking[0])


def test_a_step_of_pairs_reads_pairs_of_the_usual_length(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path / "home")
    table = tmp_path / "pairs.csv"
    table.write_text("question,answer\n" + "".join(f"abc{i},cba{i}\n" for i in range(100)))
    options = ImportOptions(name="pairs", text_column="question", target_column="answer")
    import_corpus(workspace, table, options)
    config = tiny("encoder-decoder", "objective.kind=sequence-to-sequence", "data.dataset=pairs")
    tokens = prepare_tokens(workspace, config.data)
    length = text_length(workspace, config, 20)
    assert length is not None and length.tokens == len(tokens.train)
    # "abc10", its end, "cba10", its end; single digits are shorter.
    assert 4 * 10 < tokens_of_step(config, length) <= 4 * 12
    assert tokens_of_step(tiny("lstm"), length) == 4 * 16
    measure_speed(workspace, config, lambda *_: None, lambda: False)
    assert estimate_run(workspace, config).source == "measured"


def test_the_speed_of_one_objective_is_not_that_of_another() -> None:
    few, many = tiny("encoder", "objective.rate=0.1"), tiny("encoder", "objective.rate=0.5")
    assert speed_key(few, 65) != speed_key(many, 65)
