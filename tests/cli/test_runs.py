"""`glassbox train` and what follows it: runs, show, metrics, generate, score, stop, resume, delete; exit statuses."""

from __future__ import annotations

import csv
import json
import signal
from pathlib import Path

import pytest

from llm_core.cli.output import print_json
from llm_core.workspace.metrics_read import read_points
from llm_core.workspace.runs import run_folder
from tests.backend.support import wait_for
from tests.cli.support import LONG, TINY, Command

SUMMARY = {"run_id", "state", "steps", "train_loss", "val_loss", "bits_per_byte", "tokens_per_second", "seconds"}


def test_training_ends_with_its_figures(glassbox: Command) -> None:
    assert glassbox.trained.keys() == SUMMARY
    assert (glassbox.trained["state"], glassbox.trained["steps"]) == ("finished", 20)
    points = read_points(run_folder(glassbox.workspace, glassbox.trained["run_id"]), "train_loss")
    assert glassbox.trained["train_loss"] == points.value[-1]


def test_a_run_is_found_by_id_name_and_beginning(glassbox: Command) -> None:
    run_id = glassbox.trained["run_id"]
    for reference in (run_id, "first", run_id[:4]):
        shown = glassbox.json("show", reference)
        assert (shown["run_id"], shown["name"], shown["state"]) == (run_id, "first", "finished")
    assert shown["checkpoints"] == [10, 20]
    assert shown["config"]["model"]["hidden_size"] == 16
    assert Path(shown["folder"]).is_dir()
    (row,) = (row for row in glassbox.json("runs") if row["run_id"] == run_id)
    assert row["steps"] == 20 and row["val_loss"] == glassbox.trained["val_loss"]
    assert "first" in glassbox.run("runs").stdout


def test_metrics_are_the_stored_numbers_digit_for_digit(glassbox: Command, tmp_path: Path) -> None:
    file = tmp_path / "val.csv"
    glassbox.run("metrics", "first", "--key", "val_loss", "--csv", str(file))
    stored = read_points(run_folder(glassbox.workspace, glassbox.trained["run_id"]), "val_loss")
    with file.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.reader(opened))
    assert rows[0] == ["step", "tokens", "seconds", "value"]
    assert [row[0] for row in rows[1:]] == ["0", "10", "20"]
    assert [row[3] for row in rows[1:]] == [repr(value) for value in stored.value.tolist()]
    assert [row[2] for row in rows[1:]] == [repr(value) for value in stored.seconds.tolist()]
    printed = glassbox.run("metrics", "first", "--key", "train_loss", "--csv", "-").stdout.splitlines()
    assert len(printed) == 21 and printed[1].startswith("1,64,")
    points = glassbox.json("metrics", "first", "--key", "train_loss")["points"]
    assert [point["step"] for point in points] == list(range(1, 21))
    assert repr(points[-1]["value"]) == printed[-1].split(",")[3]


def test_writing_is_the_same_for_the_same_seed(glassbox: Command) -> None:
    arguments = ("generate", "first", "--prompt", "ab", "--max-tokens", "12", "--temperature", "0.9", "--top-k", "5")
    first = glassbox.json(*arguments, "--seed", "3")
    assert first.keys() == {"text", "prompt", "tokens", "finish", "truncated", "seed", "tokens_per_second"}
    assert (first["prompt"], first["tokens"], first["finish"], first["seed"]) == ("ab", 12, "length", 3)
    assert len(first["text"]) == 12 and first["truncated"] is False
    assert glassbox.run(*arguments, "--seed", "3").stdout == f"ab{first['text']}\n"


def test_the_score_of_the_validation_split_is_the_runs_own(glassbox: Command, tmp_path: Path) -> None:
    score = glassbox.json("score", "first", "--split", "validation")
    assert score.keys() == {"nats", "tokens", "bytes", "perplexity", "bits_per_byte", "unknown_tokens"}
    assert score["nats"] / score["tokens"] == pytest.approx(glassbox.trained["val_loss"], abs=1e-12)
    assert score["bits_per_byte"] == pytest.approx(glassbox.trained["bits_per_byte"], abs=1e-12)
    file = tmp_path / "text.txt"
    file.write_text("abc abc\n", encoding="utf-8")
    assert glassbox.json("score", "first", "--file", str(file))["tokens"] == 7
    file.write_text("abé", encoding="utf-8")
    assert "é" in str(glassbox.error("score", "first", "--file", str(file))["value"])


def test_a_diverged_run_exits_with_1(glassbox: Command) -> None:
    wild = ("optimizer.kind=sgd", "optimizer.learning_rate=100", "optimizer.gradient_clip=0")
    changes = [part for setting in wild for part in ("--set", setting)]
    ended = glassbox.json("train", *TINY, *changes, "--name", "wild", "--foreground", status=1)
    assert ended["state"] == "diverged" and ended.keys() == SUMMARY
    assert "lower learning rate" in glassbox.json("show", "wild")["remedy"]


def test_what_is_not_a_number_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": float("nan"), "b": [float("inf"), 1.5], "c": None})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [None, 1.5], "c": None}


def test_ctrl_c_saves_stops_and_says_so(glassbox: Command) -> None:
    process = glassbox.start("train", *LONG, "--name", "interrupted", "--foreground", "--json")
    wait_for("the first steps", lambda: _steps(glassbox, "interrupted") > 2)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    ended = json.loads(output.splitlines()[-1])
    assert ended["state"] == "stopped" and ended["steps"] > 2
    assert glassbox.json("show", "interrupted")["checkpoints"] == [ended["steps"]]


def test_ctrl_c_while_writing_ends_with_130(glassbox: Command) -> None:
    process = glassbox.start("generate", "first", "--prompt", "abc", "--max-tokens", "100000")
    assert process.stdout is not None
    assert process.stdout.read(4).startswith("abc"), "the text is written as it comes"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and errors == "Interrupted.\n"


def test_a_queued_run_is_stopped_resumed_and_deleted(glassbox: Command) -> None:
    queued = glassbox.json("train", *LONG, "--name", "queued")
    assert queued.keys() == {"run_id", "state"} and queued["state"] == "queued"
    wait_for("the first steps", lambda: _steps(glassbox, "queued") > 2)
    assert "process" in str(glassbox.error("resume", "queued")) or "pid" in str(glassbox.error("resume", "queued"))
    assert glassbox.error("delete", "queued")["remedy"], "a running run is not deleted"
    assert glassbox.json("stop", "queued")["run_id"] == queued["run_id"]
    wait_for("the run to stop", lambda: glassbox.json("show", "queued")["state"] == "stopped")
    at = glassbox.json("show", "queued")["steps"]

    process = glassbox.start("resume", "queued", "--foreground", "--json")
    wait_for("further steps", lambda: _steps(glassbox, "queued") > at)
    assert glassbox.json("stop", "queued")["run_id"] == queued["run_id"]
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert json.loads(output.splitlines()[-1])["state"] == "stopped"
    steps = [point["step"] for point in glassbox.json("metrics", "queued", "--key", "train_loss")["points"]]
    assert steps == list(range(1, steps[-1] + 1)), "one row for each step of the surviving line"

    assert glassbox.json("delete", "queued")["freed_bytes"] > 0
    assert "queued" not in [row["name"] for row in glassbox.json("runs")]
    assert glassbox.error("show", "queued")["value"] == "queued"


def _steps(glassbox: Command, name: str) -> int:
    """How many steps a run has logged; read from its file, which is quicker than asking the command."""
    from llm_core.workspace.registry import Registry

    with Registry(glassbox.workspace) as registry:
        found = [record for record in registry.jobs("train") if record.name == name]
    if not found or not (run_folder(glassbox.workspace, found[0].id) / "metrics.db").exists():
        return 0
    return max(read_points(run_folder(glassbox.workspace, found[0].id), "train_loss").step.tolist(), default=0)
