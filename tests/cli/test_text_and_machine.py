"""`glassbox data`, `presets`, `estimate`, `devices`, `bench`, `supervisor`, and how wrong input is answered."""

from __future__ import annotations

import os
import pty
import re
from pathlib import Path

import pytest

from llm_core.cli.machine_verbs import run_bench
from llm_core.cli.main import build_parser
from llm_core.cli.output import ProgressLine
from llm_core.workspace.locks import is_locked
from tests.cli.support import TINY, Command


def test_the_same_text_under_the_same_name_is_the_same_text(glassbox: Command, text_file: Path, tmp_path: Path) -> None:
    again = glassbox.json("data", "add", str(text_file), "--name", "letters")
    assert again["existing"] is True and again["name"] == "letters" and again["characters"] == 4000
    other = tmp_path / "other.txt"
    other.write_text("other letters " * 100, encoding="utf-8")
    assert "name" in glassbox.error("data", "add", str(other), "--name", "letters")["what"]
    listed = {row["name"]: row for row in glassbox.json("data", "list")}
    assert listed["letters"]["id"] == again["id"] and listed["letters"]["bytes"] == 4000
    assert listed["python-reference"]["builtin"] is True


def test_a_missing_file_is_wrong_input(glassbox: Command) -> None:
    error = glassbox.error("data", "add", "/nowhere/at all.txt")
    assert "/nowhere/at all.txt" in str(error["value"]) and error["remedy"]


def test_estimate(glassbox: Command) -> None:
    found = glassbox.json("estimate", *TINY)
    assert {"parameters", "flops_per_token", "memory_bytes", "tokens_per_second", "seconds"} <= found.keys()
    assert found["parameters"] == 4320 and found["steps"] == 20 and found["tokens"] == 20 * 4 * 16
    assert found["seconds"] > 0 and found["memory_bytes"] > 4 * 4 * found["parameters"]
    assert "4,320 parameters" in glassbox.run("estimate", *TINY).stdout


def test_presets_and_devices(glassbox: Command) -> None:
    presets = {row["name"]: row for row in glassbox.json("presets")}
    assert presets["shakespeare-cpu"]["config"]["model"]["num_layers"] == 4
    settings = {row["name"]: row for row in glassbox.json("presets", "--fields")}
    assert settings["training.batch_size"]["default"] == 12 and settings["model.kind"]["type"] == "choice"
    devices = glassbox.json("devices")
    assert devices[0].keys() >= {"kind", "name", "cores", "memory_bytes"}
    assert "cpu" in {device["kind"] for device in devices}


def test_a_supervisor_without_work_leaves(glassbox: Command) -> None:
    glassbox.run("supervisor")
    assert not is_locked(glassbox.workspace.supervisor_lock)


def test_bench_measures_this_checkout() -> None:
    """The measurement itself takes minutes (`make bench`); here: that the verb is there and where it leads."""
    assert build_parser().parse_args(["bench"]).run_verb is run_bench
    assert (Path(__file__).parents[2] / "benchmarks" / "training_speed.py").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "--preset", "pocket-gtp"], ["pocket-gtp", "pocket-gpt"]),
        (["train", "--set", "model.layers=2"], ["model.layers"]),
        (["train", "--set", "training.batch_size=many"], ["many", "training.batch_size"]),
        (["train", "--set", "training.batch_size=0"], ["batch_size", "at least 1"]),
        (["train", "--set", "data.dataset=nothing"], ["nothing", "letters", "bring the text in"]),
        (["train", *TINY, "--set", "model.num_heads=3"], ["3 heads", "18"]),
        (["train", *TINY, "--name", "first"], ["first", "Choose another name"]),
        (["train", "--preset", "pocket-gpt", "--config", "x.json"], ["not both"]),
        (["train", "--config", "/nowhere/config.json"], ["/nowhere/config.json"]),
        (["show", "nobody"], ["nobody", "first"]),
        (["metrics", "first", "--key", "accuracy"], ["accuracy", "val_loss"]),
        (["generate", "first", "--prompt", "a", "--temperature", "9"], ["temperature", "at most 5"]),
        (["generate", "first", "--prompt", "aZ"], ["Z", "byte or bpe"]),
        (["generate", "first", "--prompt", "a", "--step", "7"], ["7", "10", "20"]),
        (["score", "first", "--file", "/nowhere.txt"], ["/nowhere.txt"]),
        (["resume", "first"], ["finished", "Start a new run"]),
    ],
    ids=lambda value: " ".join(value[:4]) if isinstance(value, list) else None,
)
def test_wrong_input_names_what_value_limit_and_remedy(
    glassbox: Command, arguments: list[str], said: list[str]
) -> None:
    error = glassbox.error(*arguments)
    sentence = " ".join(str(part) for part in error.values())
    for part in said:
        assert part in sentence, sentence


def test_an_unknown_verb_is_wrong_input(glassbox: Command) -> None:
    assert "invalid choice" in glassbox.run("trian", status=2).stderr
    assert "--key" in glassbox.run("metrics", "first", status=2).stderr


def test_a_bar_is_drawn_on_a_terminal_only(glassbox: Command, text_file: Path) -> None:
    plain = glassbox.run("data", "add", str(text_file), "--name", "plain")
    assert "\r" not in plain.stderr and "\x1b" not in plain.stderr
    assert not glassbox.run("data", "add", str(text_file), "--name", "silent", "--json").stderr
    terminal, end = pty.openpty()
    process = glassbox.start("data", "add", str(text_file), "--name", "drawn", stderr=end)
    os.close(end)
    output, _ = process.communicate(timeout=60)
    drawn = os.read(terminal, 100_000).decode()
    os.close(terminal)
    assert process.returncode == 0 and "drawn is ready" in output
    assert "\r\x1b[2K" in drawn


def test_the_bar_shows_share_and_detail(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    line = ProgressLine(quiet=False)
    line.show("training", 5, 10, "loss 2.31")
    line.close()
    drawn = re.sub(r"\x1b\[2K|\r", "", capsys.readouterr().err)
    assert drawn == "training [############············]  50 %  loss 2.31\n"
