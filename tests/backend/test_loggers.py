"""Loggers beside metrics.db: what they are told, what they must have, and that none of them can disturb a run."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from llm_core.backend.jobs import submit_run
from llm_core.backend.loggers.background import LoggerThread
from llm_core.backend.loggers.interface import Logger, RunFacts
from llm_core.backend.loggers.metrics_writer import LoggedMetricsWriter
from llm_core.backend.loggers.mlflow_logger import MlflowLogger
from llm_core.backend.loggers.redaction import without_secrets
from llm_core.backend.loggers.registry import LOGGERS, LoggerKind, logger_problems, problem_of
from llm_core.backend.loggers.tensorboard_logger import TensorBoardLogger
from llm_core.backend.loggers.wandb_logger import WandbLogger
from llm_core.backend.readiness import check_readiness
from llm_core.backend.worker import run_in_foreground
from llm_core.config.logging import LoggingConfig
from llm_core.config.run import RunConfig, load_config
from llm_core.config.timing import Timing
from llm_core.workspace.leases import LeaseLost
from llm_core.workspace.metrics import MetricsWriter
from llm_core.workspace.metrics_read import events, read_points
from llm_core.workspace.paths import Workspace
from llm_core.workspace.runs import run_folder
from tests.backend.event_files import read_events, surviving_scalars
from tests.backend.support import tiny, wait_for
from tests.backend.webhook_server import OK, serving

CONFIG = RunConfig(name="mine")


class Listener(Logger):
    """Remembers what it is told; may raise or hang at its first scalars."""

    title = "Listener"

    def __init__(self, error: BaseException | None = None, gate: threading.Event | None = None) -> None:
        self.told: list[tuple[Any, ...]] = []
        self._error, self._gate = error, gate

    def start(self, config: RunConfig, facts: RunFacts) -> None:
        self.told.append(("start", config.name, facts.run_id))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        if self._error is not None:
            raise self._error
        if self._gate is not None:
            self._gate.wait()
        self.told.append(("scalars", step, dict(values)))

    def text(self, step: int, prompt: str, sample: str) -> None:
        self.told.append(("text", step, prompt, sample))

    def rewind(self, step: int) -> None:
        self.told.append(("rewind", step))

    def finish(self, state: str, summary: Mapping[str, Any]) -> None:
        self.told.append(("finish", state, dict(summary)))


def writer_of(folder: Path, *loggers: Logger, lease: str = "t1") -> LoggedMetricsWriter:
    return LoggedMetricsWriter(folder, lease, loggers, CONFIG, RunFacts("r1", "mine", folder))


def tell_a_run(writer: MetricsWriter, first: int, last: int) -> None:
    """Points of these steps, one of them NaN, with two samples of one prompt and an end."""
    for step in range(first, last + 1):
        writer.point("train_loss", step, step, 0.1, math.nan if step == 2 else 4.0 / step)
        writer.point("learning_rate", step, step, 0.1, 1e-3)
    writer.sample(last, "Once <b>", "* upon\n# a time")
    writer.record_state("finished", result={"steps": last})


def test_loggers_hear_what_is_committed_in_order_and_nothing_of_a_lost_lease(tmp_path: Path) -> None:
    listener = Listener()
    with writer_of(tmp_path, listener) as writer:
        tell_a_run(writer, 1, 1)
    assert listener.told == [
        ("start", "mine", "r1"),
        ("scalars", 1, {"train_loss": 4.0, "learning_rate": 1e-3}),
        ("text", 1, "Once <b>", "* upon\n# a time"),
        ("finish", "finished", {"steps": 1}),
    ]
    zombie = writer_of(tmp_path, late := Listener(), lease="t2")
    zombie.begin_segment(1, 0)
    MetricsWriter(tmp_path, "t3").close()
    tell_a_run(zombie, 2, 3)
    with pytest.raises(LeaseLost):
        zombie.close()
    wait_for("the thread to end", lambda: not any("Listener" in thread.name for thread in threading.enumerate()))
    assert late.told == [("start", "mine", "r1"), ("rewind", 0)]


def test_a_logger_that_raises_or_hangs_is_told_of_once_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "k3y-of-mine")
    error = ConnectionError("refused: https://me:pass@host/x?key=k3y-of-mine\nand more")
    with writer_of(tmp_path, Listener(error), listener := Listener(SystemExit("bye")), good := Listener()) as writer:
        for step in range(1, 4):
            tell_a_run(writer, step, step)
            writer.commit()
    assert [call[0] for call in good.told].count("scalars") == 3 and good.told[-1][0] == "finish"
    assert [call[0] for call in listener.told] == ["start"]
    said = [event.message for event in events(tmp_path) if event.kind == "logger"]
    assert len(said) == 2 and any("SystemExit: bye" in message for message in said)
    (refused,) = [message for message in said if "ConnectionError" in message]
    assert "k3y-of-mine" not in refused and "pass" not in refused and "and more" not in refused
    assert len(read_points(tmp_path, "train_loss")) == 3

    problems: list[str] = []
    gate = threading.Event()
    thread = LoggerThread(slow := Listener(gate=gate), problems.append, longest_queue=2)
    for step in range(50):  # never waits
        thread.put(lambda logger, step=step: logger.scalars(step, {}))
    assert len(problems) == 1 and "2 messages behind" in problems[0] and thread.join(0)
    gate.set()
    wait_for("the thread to end", lambda: not any("Listener" in other.name for other in threading.enumerate()))
    assert len(slow.told) <= 1


def test_an_ended_run_does_not_wait_long_for_a_logger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_core.backend.loggers.metrics_writer.FINISH_SECONDS", 0.1)
    gate = threading.Event()
    with writer_of(tmp_path, Listener(gate=gate)) as writer:
        tell_a_run(writer, 1, 2)
    assert [event.message for event in events(tmp_path) if event.kind == "logger"] == [
        "Listener had not taken everything 0 s after the run's end."
    ]
    gate.set()


def test_tensorboard_files_hold_the_curve_and_a_resume_takes_back_what_it_replaces(tmp_path: Path) -> None:
    with writer_of(tmp_path, TensorBoardLogger()) as writer:
        tell_a_run(writer, 1, 6)
    with writer_of(tmp_path, TensorBoardLogger(), lease="t2") as writer:
        writer.begin_segment(1, 4)
        writer.point("train_loss", 5, 5, 0.1, 7.0)
        writer.record_state("stopped")
    folder = tmp_path / "tensorboard"
    curve = surviving_scalars(folder, "train_loss")
    assert list(curve) == [1, 2, 3, 4, 5] and math.isnan(curve[2])
    assert curve[1] == 4.0 and curve[4] == 1.0 and curve[5] == 7.0
    told = read_events(folder)
    texts = {event.tag.removesuffix("/text_summary"): event.value for event in told if isinstance(event.value, str)}
    assert texts["samples/1"] == "    Once <b>* upon\n    # a time", "shown as it is, not as Markdown"
    settings = json.loads(str(texts["settings"]))
    assert settings["optimizer"]["learning_rate"] == 1e-3 and "logging" not in settings
    assert json.loads(str(texts["end"]))["state"] == "stopped"
    assert not [event for event in events(tmp_path) if event.kind == "logger"]


def test_a_run_with_a_logger_is_the_run_without_and_its_webhook_hears_of_its_end(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    changes = ("training.max_steps=12", "training.eval_interval=6")
    losses: list[dict[int, float]] = []
    with serving(OK) as server:
        place = f"127.0.0.1:{server.port}"
        monkeypatch.setenv("GLASSBOX_WEBHOOK_HOSTS", place)
        for extra in ((), ("logging.tensorboard=true", f"logging.webhook_url=http://{place}/s3cret")):
            run = submit_run(workspace, tiny("lstm", *changes, *extra), foreground=True)
            assert run_in_foreground(workspace, run.id, Timing.from_environment()).state == "finished"
            points = read_points(run_folder(workspace, run.id), "train_loss")
            losses.append(dict(zip(points.step.tolist(), points.value.tolist(), strict=True)))
        (request,) = server.requests
    assert json.loads(request.partition(b"\r\n\r\n")[2])["run_id"] == run.id
    assert f"The webhook at {place} was told." in capfd.readouterr().err
    assert losses[0] == losses[1] and len(losses[0]) == 12
    folder = run_folder(workspace, run.id)
    assert surviving_scalars(folder / "tensorboard", "train_loss") == pytest.approx(losses[1], rel=1e-6)
    assert set(surviving_scalars(folder / "tensorboard", "val_loss")) == {0, 6, 12}
    assert not (folder / "metrics.db-wal").exists(), "sealed as every run"


def test_tensorboard_itself_reads_the_files(tmp_path: Path) -> None:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with writer_of(tmp_path, TensorBoardLogger()) as writer:
        tell_a_run(writer, 1, 6)
    with writer_of(tmp_path, TensorBoardLogger(), lease="t2") as writer:
        writer.begin_segment(1, 4)
        writer.point("train_loss", 5, 5, 0.1, 7.0)
        writer.record_state("finished")
    read = accumulators.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in read.Scalars("train_loss")][-2:] == [(4, 1.0), (5, 7.0)]
    assert "samples/1/text_summary" in read.Tags()["tensors"]


def test_mlflow_keeps_one_run_over_a_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracking = pytest.importorskip("mlflow.tracking")
    address = (tmp_path / "mlruns").as_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    for lease, first, last in (("t1", 1, 3), ("t2", 4, 5)):
        with writer_of(tmp_path, MlflowLogger(), lease=lease) as writer:
            tell_a_run(writer, first, last)
    assert not [event.message for event in events(tmp_path) if event.kind == "logger"]
    client = tracking.MlflowClient(tracking_uri=address)
    experiment = client.get_experiment_by_name("glassbox")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED" and run.data.tags["glassbox.run_id"] == "r1"
    assert run.data.params["optimizer.learning_rate"] == "0.001" and run.info.run_name == "mine"
    assert [metric.step for metric in client.get_metric_history(run.info.run_id, "train_loss")] == [1, 2, 3, 4, 5]
    assert [file.path for file in client.list_artifacts(run.info.run_id, "samples/1")] == [
        "samples/1/step-00000003.txt",
        "samples/1/step-00000005.txt",
    ]


def test_wandb_offline_keeps_the_run_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    with writer_of(tmp_path, WandbLogger()) as writer:
        tell_a_run(writer, 1, 3)
    assert not [event.message for event in events(tmp_path) if event.kind == "logger"]
    (log,) = tmp_path.glob("wandb/offline-run-*/run-r1.wandb")
    assert not [path for path in tmp_path.rglob("*") if path.is_symlink()]
    written = log.read_bytes()
    assert b"train_loss" in written and b"learning_rate" in written


def test_what_is_missing_is_said_before_the_run_with_what_helps(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE", "MLFLOW_TRACKING_URI", "GLASSBOX_WEBHOOK_HOSTS"):
        monkeypatch.delenv(name, raising=False)
    absent = LoggerKind("wandb", WandbLogger, "glassbox_has_no_such_package", "wandb>=0.31")
    problem = problem_of(absent, {"WANDB_API_KEY": "x"})
    assert problem is not None and f'{sys.executable} -m pip install "wandb>=0.31"' in problem.remedy
    everything = LoggingConfig(tensorboard=True, mlflow=True, wandb=True)
    assert [type(kind.make()).title for kind in LOGGERS] == ["TensorBoard", "MLflow", "Weights & Biases"]
    assert len(logger_problems(everything, {})) == 2, "a package, or the variable that it needs"
    assert not logger_problems(LoggingConfig(), {})

    config = tiny("lstm", "logging.wandb=true", "logging.webhook_url=https://example.org/x")
    said = " ".join(map(str, check_readiness(workspace, config).blocking))
    assert "Weights & Biases is switched on" in said and "GLASSBOX_WEBHOOK_HOSTS" in said
    assert not check_readiness(workspace, tiny("lstm", "logging.tensorboard=true")).blocking


def test_nothing_of_a_logger_is_imported_until_a_run_asks_for_it() -> None:
    script = (
        "import sys, llm_core.backend.loggers.metrics_writer as w, llm_core.backend.notices\n"
        "print({'tensorboardX', 'mlflow', 'wandb', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_secrets_do_not_leave_the_environment() -> None:
    environment = {"MY_API_KEY": "abcdef123", "PATH": "/usr/bin/abc", "SHORT_TOKEN": "ab"}
    said = without_secrets("abcdef123 at mysql://root:word@db/x in /usr/bin/abc ab", environment)
    assert said == "••• at mysql://•••@db/x in /usr/bin/abc ab"


def test_runs_saved_before_there_were_loggers_load_and_train_the_same() -> None:
    values = RunConfig().model_dump(mode="json")
    del values["logging"]
    assert load_config(json.dumps(values)) == RunConfig()
