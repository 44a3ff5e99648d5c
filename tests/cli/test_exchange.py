"""`glassbox import hf` and `glassbox export` as a person calls them: objects, exit statuses, and what can be done with the run."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from llm_core.cli.main import main
from llm_core.workspace.registry import Registry
from tests.cli.support import Command
from tests.models.huggingface.support import TEXT, change_config, load, save, their_logits, transformers_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(transformers_model("qwen3"), tmp_path_factory.mktemp("hf") / "tiny")


def test_import_score_generate_export(glassbox: Command, folder: Path, tmp_path: Path) -> None:
    made = glassbox.json("import", "hf", str(folder), "--name", "brought")
    assert set(made) == {
        *("run_id", "name", "state", "class", "parameters", "vocabulary_size", "context_length", "tokenizer"),
    }  # fmt: skip
    assert (made["name"], made["state"], made["class"]) == ("brought", "finished", "Qwen3ForCausalLM")
    assert made["run_id"] in glassbox.run("runs").stdout
    shown = glassbox.json("show", "brought")
    assert shown["state"] == "finished" and shown["parameters"] == made["parameters"]
    text = tmp_path / "text.txt"
    text.write_text(TEXT[:60], encoding="utf-8")
    score = glassbox.json("score", "brought", "--file", str(text))
    assert score["bytes"] > 0 and math.isfinite(score["bits_per_byte"]) and score["unknown_tokens"] == 0
    written = glassbox.json("generate", "brought", "--prompt", "The quick", "--max-tokens", "5", "--seed", "1")
    assert written["tokens"] == 5
    done = glassbox.json("export", "brought", "--format", "hf", str(tmp_path / "out"), "--step", "0")
    assert (done["run_id"], done["step"], done["class"]) == (made["run_id"], 0, "Qwen3ForCausalLM")
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "out").iterdir()}
    assert {file["name"]: file["bytes"] for file in done["files"]} == sizes
    assert torch.equal(their_logits(load(tmp_path / "out")), their_logits(load(folder)))
    assert "model.gguf" in glassbox.run("export", "brought", "--format", "gguf", str(tmp_path / "gguf")).stdout


def test_a_trained_run_goes_to_transformers(glassbox: Command, tmp_path: Path) -> None:
    done = glassbox.json("export", "first", "--format", "hf", str(tmp_path / "out"))
    assert (done["step"], done["class"]) == (20, "Qwen3ForCausalLM")
    assert json.loads((tmp_path / "out/config.json").read_text())["architectures"] == ["Qwen3ForCausalLM"]
    assert load(tmp_path / "out").config.num_hidden_layers == 1


def test_refusals_have_status_two_and_leave_nothing(
    glassbox: Command, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process, because each of so many would spend its time on importing torch."""

    def error(*arguments: str) -> dict[str, str]:
        assert main(["--workspace", str(glassbox.home), *arguments, "--json"]) == 2
        return json.loads(capsys.readouterr().out.splitlines()[-1])["error"]

    def number_of_runs() -> int:
        with Registry(glassbox.workspace) as registry:
            return len(registry.jobs("train"))

    assert main(["--workspace", str(glassbox.home), "import", "hf", str(folder), "--name", "taken"]) == 0
    before = number_of_runs()
    assert "no such folder" in error("import", "hf", str(tmp_path / "nowhere"))["what"]
    bad = save(transformers_model("llama"), tmp_path / "bad")
    found = error("import", "hf", str(change_config(bad, rope_scaling={"rope_type": "linear", "factor": 2})))
    assert "rope_scaling" in found["what"] and "linear" in found["value"] and found["remedy"]
    assert "this name" in error("import", "hf", str(folder), "--name", "taken")["what"]
    assert number_of_runs() == before
    out = str(tmp_path / "out")
    for arguments, words in (
        (("taken", "--format", "hf", str(folder)), "something in it"),
        (("taken", "--format", "onnx", out), "are written as onnx"),
        (("first", "--format", "gguf", out), "char"),
        (("taken", "--format", "hf", out, "--step", "9"), "no checkpoint"),
        (("nobody", "--format", "hf", out), "no run"),
    ):
        assert words in error("export", *arguments)["what"]
    assert "no longer cut" in error("score", "taken", "--split", "train")["what"]
    assert not Path(out).exists()


def test_the_hub_out_of_reach_is_said(glassbox: Command) -> None:
    """A name that could be the Hub's, and no network: one sentence, status 2."""
    found = glassbox.error("import", "hf", "nobody-has-this/model-of-no-one")
    assert "no such folder" in found["what"] and "Hub" in found["what"] and found["remedy"]
