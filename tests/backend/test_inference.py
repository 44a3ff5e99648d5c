"""The inference process: text token by token, stop, attention as computed here, end when idle."""

from __future__ import annotations

import numpy as np
import pytest

from llm_core.backend.inference_client import InferenceClient
from llm_core.backend.jobs import submit_run
from llm_core.config.errors import NotFound, UserError
from llm_core.config.sampling import SamplingConfig
from llm_core.generation.decoding import generate
from llm_core.generation.text_model import NeuralTextModel
from llm_core.inspection.attention import attention_weights
from llm_core.models.loading import load_checkpoint_model
from llm_core.workspace.checkpoints import find_checkpoint
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import run_folder
from tests.backend.support import tiny, wait_for


def trained(workspace: Workspace, family: str) -> str:
    record = submit_run(workspace, tiny(family, f"name={family}"))

    def is_final() -> bool:
        with Registry(workspace) as registry:
            return registry.get(record.id).is_final

    wait_for("the run to end", is_final)
    return record.id


def test_what_the_process_says_is_what_the_model_says(workspace: Workspace) -> None:
    run_id = trained(workspace, "transformer")
    client = InferenceClient(workspace)
    settings = SamplingConfig(max_tokens=30, seed=3)
    generation_id = client.start_generation(run_id, None, "abc", settings)
    wait_for("the text", lambda: client.poll_generation(generation_id)["state"] == "done")
    answer = client.poll_generation(generation_id)
    loaded = load_checkpoint_model(find_checkpoint(run_folder(workspace, run_id)).path)
    model = NeuralTextModel(loaded.model, loaded.tokenizer)
    tokens = loaded.tokenizer.encode("abc")
    assert answer["text"] == generate(model, tokens, settings).text
    assert (answer["new_tokens"], answer["prompt_tokens"], answer["seed"], answer["finish"]) == (30, 3, 3, "length")
    assert all(len(token["alternatives"]) == 10 for token in answer["tokens"])
    assert client.poll_generation(generation_id, after=28)["tokens"] == answer["tokens"][28:]

    endless = client.start_generation(run_id, 20, "a", SamplingConfig(max_tokens=100_000))
    wait_for("some text", lambda: client.poll_generation(endless)["new_tokens"] > 5)
    client.stop_generation(endless)
    wait_for("the stop", lambda: client.poll_generation(endless)["state"] == "stopped")
    assert client.poll_generation(endless)["text"]

    text = "abcd abcd"
    inside = client.attention(run_id, None, text)
    expected = attention_weights(loaded.model, loaded.tokenizer.encode(text))
    np.testing.assert_allclose(inside["weights"], expected, atol=1e-6)
    assert set(inside["scores"]) >= {"previous", "induction"}
    picture = client.next_token(run_id, None, "abc", SamplingConfig(top_k=2))
    assert sum(token["kept"] for token in picture["tokens"]) == 2
    np.testing.assert_allclose(client.influence(run_id, None, text)["weights"].sum(-1), 1, atol=1e-5)

    with pytest.raises(UserError, match="does not know"):
        client.start_generation(run_id, None, "é", settings)
    with pytest.raises(UserError, match="no checkpoint at this step"):
        client.attention(run_id, 3, text)
    with pytest.raises(UserError, match="2 to 16 tokens"):
        client.attention(run_id, None, "a" * 50)
    with pytest.raises(UserError):
        client.attention("../escape", None, text)
    with pytest.raises(UserError, match="no longer known"):
        client.poll_generation("0")
    assert issubclass(NotFound, UserError)
    assert workspace.inference_socket.stat().st_mode & 0o777 == 0o600


def test_units_of_a_recurrent_network(workspace: Workspace) -> None:
    run_id = trained(workspace, "lstm")
    client = InferenceClient(workspace)
    units = client.units(run_id, None, "abcd")
    assert units["states"].shape == (2, 4, 16)
    assert set(units["gates"]) == {"i", "f", "g", "o"}
    with pytest.raises(UserError, match="no attention"):
        client.attention(run_id, None, "abcd")
