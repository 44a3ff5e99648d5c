"""The inference process: text token by token, stop, attention as computed here, what stays when it or a checkpoint goes."""

from __future__ import annotations

import os
import shutil
import signal
import time

import numpy as np
import pytest

from llm_core.backend.generation_files import GenerationFile, forget_oldest, read_generation
from llm_core.backend.inference_client import InferenceClient
from llm_core.backend.jobs import submit_run
from llm_core.backend.model_cache import ModelCache
from llm_core.backend.worker import run_in_foreground
from llm_core.config.errors import NotFound, UserError
from llm_core.config.sampling import SamplingConfig
from llm_core.config.timing import Timing
from llm_core.generation.decoding import generate
from llm_core.generation.text_model import NeuralTextModel
from llm_core.inspection.attention import attention_weights
from llm_core.models.loading import load_checkpoint_model
from llm_core.workspace.checkpoints import find_checkpoint, remove_checkpoint
from llm_core.workspace.locks import FileLock, is_locked
from llm_core.workspace.paths import Workspace
from llm_core.workspace.runs import run_folder
from tests.backend.support import tiny, wait_for


def trained(workspace: Workspace, family: str, *changes: str) -> str:
    record = submit_run(workspace, tiny(family, f"name={family}", *changes), foreground=True)
    assert run_in_foreground(workspace, record.id, Timing()).state == "finished"
    return record.id


def settings_of(**changes: object) -> SamplingConfig:
    return SamplingConfig.model_validate({"max_tokens": 30, "seed": 3, **changes})


def written(client: InferenceClient, generation_id: str) -> dict[str, object]:
    wait_for("the text", lambda: client.poll_generation(generation_id)["state"] != "running")
    return client.poll_generation(generation_id)


def test_what_the_process_says_is_what_the_model_says(workspace: Workspace) -> None:
    run_id = trained(workspace, "transformer")
    client = InferenceClient(workspace)
    settings = settings_of()
    generation_id = client.start_generation(run_id, None, "abc", settings)
    answer = written(client, generation_id)
    loaded = load_checkpoint_model(find_checkpoint(run_folder(workspace, run_id)).path)
    model = NeuralTextModel(loaded.model, loaded.tokenizer)
    tokens = loaded.tokenizer.encode("abc")
    assert answer["text"] == generate(model, tokens, settings).text
    assert (answer["new_tokens"], answer["prompt_tokens"], answer["seed"], answer["finish"]) == (30, 3, 3, "length")
    assert all(len(token["alternatives"]) == 10 for token in answer["tokens"])
    assert all(sum(other["p"] for other in token["alternatives"]) <= 1 + 1e-9 for token in answer["tokens"])
    assert client.poll_generation(generation_id, after=28)["tokens"] == answer["tokens"][28:]
    greedy = [
        written(client, client.start_generation(run_id, None, "abc", settings_of(temperature=0, seed=seed)))["text"]
        for seed in (1, 2)
    ]
    assert greedy[0] == greedy[1]

    endless = client.start_generation(run_id, 20, "a", SamplingConfig(max_tokens=100_000))
    wait_for("some text", lambda: client.poll_generation(endless)["new_tokens"] > 5)
    client.stop_generation(endless)
    stopped = written(client, endless)
    assert stopped["state"] == "stopped" and stopped["text"]

    text = "abcd abcd"
    inside = client.attention(run_id, None, text, 1)
    expected = attention_weights(loaded.model, loaded.tokenizer.encode(text))
    np.testing.assert_allclose(inside["weights"], expected[1], atol=1e-6)
    np.testing.assert_allclose(inside["thumbnails"], expected, atol=1e-6)
    assert set(inside["scores"]) >= {"previous", "induction"}
    assert inside["scores"]["previous"]["values"].shape == expected.shape[:2]
    picture = client.next_token(run_id, None, "abc", SamplingConfig(top_k=2))
    assert sum(token["kept"] for token in picture["tokens"]) == 2
    np.testing.assert_allclose(client.influence(run_id, None, text)["weights"].sum(-1), 1, atol=1e-5)

    with pytest.raises(UserError, match="does not know"):
        client.start_generation(run_id, None, "é", settings)
    with pytest.raises(UserError, match="no checkpoint at this step"):
        client.attention(run_id, 3, text)
    with pytest.raises(UserError, match="no such layer"):
        client.attention(run_id, None, text, 2)
    with pytest.raises(UserError, match="2 to 16 tokens"):
        client.attention(run_id, None, "a" * 50)
    with pytest.raises(UserError, match="too short"):
        client.influence(run_id, None, "a")
    with pytest.raises(UserError):
        client.attention("../escape", None, text)
    for unknown in ("0", "../../etc/passwd", "0123456789abcdef"):
        with pytest.raises(NotFound):
            client.poll_generation(unknown)
    assert workspace.inference_socket.stat().st_mode & 0o777 == 0o600


def test_units_of_a_recurrent_network(workspace: Workspace) -> None:
    run_id = trained(workspace, "lstm")
    client = InferenceClient(workspace)
    units = client.units(run_id, None, "abcd")
    assert units["states"].shape == (2, 4, 16)
    assert set(units["gates"]) == {"i", "f", "g", "o"}
    with pytest.raises(UserError, match="no attention"):
        client.attention(run_id, None, "abcd")


def test_text_outlives_the_process_that_wrote_it(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLASSBOX_IDLE_SECONDS", "60")
    monkeypatch.setenv("GLASSBOX_INFERENCE_IDLE_SECONDS", "60")
    run_id = trained(workspace, "lstm")
    client = InferenceClient(workspace)
    done = client.start_generation(run_id, None, "abc", settings_of())
    before = written(client, done)
    endless = client.start_generation(run_id, None, "ab\n", settings_of(max_tokens=100_000))
    wait_for("some text", lambda: client.poll_generation(endless)["new_tokens"] > 5)
    os.kill(client.request("ping")["pid"], signal.SIGKILL)
    wait_for("its end", lambda: not is_locked(workspace.inference_lock))
    assert client.poll_generation(done) == before
    lost = client.poll_generation(endless)
    assert lost["state"] == "failed" and "ended before the text was complete" in lost["error"]
    assert len(lost["tokens"]) == lost["new_tokens"] > 5
    assert "".join(token["text"] for token in lost["tokens"]) == lost["text"]
    asked = client.kept_generation(endless).asked
    assert (asked["prompt"], asked["run_id"], asked["settings"]["max_tokens"]) == ("ab\n", run_id, 100_000)
    client.stop_generation(endless)
    assert not is_locked(workspace.inference_lock), "nothing was started to say so"
    # A new process takes its place, and knows what the former one wrote.
    assert client.request("ping")["models"] == 0
    assert client.poll_generation(done) == before
    os.kill(client.request("ping")["pid"], signal.SIGTERM)


def test_it_leaves_soon_when_no_dashboard_is_open(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLASSBOX_IDLE_SECONDS", "0.5")
    monkeypatch.setenv("GLASSBOX_INFERENCE_IDLE_SECONDS", "3600")
    client = InferenceClient(workspace)
    with FileLock(workspace.web_lock) as dashboard:
        assert dashboard.try_acquire(shared=True)
        pid = client.request("ping")["pid"]
        asked_at = time.monotonic()
        wait_for("three idle times", lambda: time.monotonic() - asked_at > 1.5)
        assert client.request("ping")["pid"] == pid, "a dashboard is open"
    wait_for("its end", lambda: not is_locked(workspace.inference_lock))


def test_a_model_stays_only_as_long_as_its_checkpoint(workspace: Workspace) -> None:
    first = trained(workspace, "lstm")
    second = trained(workspace, "rnn")
    models = ModelCache(workspace)
    loaded, step = models.get(first, None)
    assert models.get(first, step)[0] is loaded
    path = find_checkpoint(run_folder(workspace, first), step).path
    other = find_checkpoint(run_folder(workspace, second), step).path
    shutil.rmtree(path)
    shutil.copytree(other, path)
    replaced, _ = models.get(first, step)
    assert replaced is not loaded and replaced.config.model.kind == "rnn"
    weights = find_checkpoint(run_folder(workspace, second), step).path / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(UserError, match=r"damaged.*hash differs.*earlier"):
        models.get(second, step)
    remove_checkpoint(path)
    models.forget_deleted()
    assert len(models) == 0
    with pytest.raises(UserError, match="no checkpoint at this step"):
        models.get(first, step)


def test_the_folder_of_texts_stays_within_its_bounds(workspace: Workspace) -> None:
    for number in range(6):
        file = GenerationFile(workspace, f"{number:016x}", {"prompt": "a" * 100})
        file.end({"state": "done"})
        os.utime(workspace.root / "generations" / f"{number:016x}.jsonl", (number, number))
    forget_oldest(workspace, keep=3)
    assert read_generation(workspace, f"{3:016x}").asked["prompt"] == "a" * 100
    with pytest.raises(NotFound):
        read_generation(workspace, f"{2:016x}")
    forget_oldest(workspace, keep_bytes=1)
    assert len(list((workspace.root / "generations").iterdir())) == 1, "the newest always stays"
