"""The batch of a step, found again: the same tokens that were trained on, and the loss that was logged."""

from __future__ import annotations

import numpy as np
import pytest

from llm_core.backend.batch_replay import replay_step
from llm_core.backend.jobs import submit_run
from llm_core.backend.model_cache import ModelCache
from llm_core.backend.step_batch import step_batch
from llm_core.backend.worker import run_in_foreground
from llm_core.config.errors import UserError
from llm_core.config.timing import Timing
from llm_core.text.batches import RandomWindows
from llm_core.text.tokens import find_tokens
from llm_core.workspace.lineage import Lineage, write_lineage
from llm_core.workspace.metrics import MetricsWriter
from llm_core.workspace.metrics_read import read_points
from llm_core.workspace.paths import Workspace
from llm_core.workspace.runs import run_folder
from tests.backend.support import tiny


def trained(workspace: Workspace, family: str, *changes: str) -> str:
    config = tiny(family, f"name={family}", "model.dropout=0", "training.gradient_accumulation_steps=2", *changes)
    record = submit_run(workspace, config, foreground=True)
    assert run_in_foreground(workspace, record.id, Timing()).state == "finished"
    return record.id


def test_a_step_is_found_again_with_its_tokens_and_its_loss(workspace: Workspace) -> None:
    run_id = trained(workspace, "transformer")
    folder, models = run_folder(workspace, run_id), ModelCache(workspace)
    logged = read_points(folder, "train_loss").value
    first, after = step_batch(workspace, models, run_id, 1), step_batch(workspace, models, run_id, 21)
    assert (first["is_beginning"], after["weights_step"], after["is_beginning"]) == (True, 20, False)
    assert (first["rows"], first["scored_rows"], first["warming_steps"]) == (8, 8, 0)
    assert first["loss"] == pytest.approx(logged[0], rel=1e-5)
    assert after["loss"] == pytest.approx(logged[20], rel=1e-5)
    rows = after["shown"]
    assert [row["loss"] for row in rows] == sorted((row["loss"] for row in rows), reverse=True)
    assert len(rows[0]["tokens"]) == 17 and "p" not in rows[0]["tokens"][0]
    nats = -np.log([token["p"] for token in rows[0]["tokens"][1:]])
    assert nats.mean() == pytest.approx(rows[0]["loss"], rel=1e-5)

    config = tiny("transformer")
    tokens = find_tokens(workspace, config.data)
    assert tokens is not None
    windows = RandomWindows(tokens.train, 4, 16, config.seed)
    drawn = [windows.next_windows() for _ in range(48)]
    replayed = replay_step(folder, tokens, 24)  # from the checkpoint at step 20
    for batch, expected in zip(replayed.batches, drawn[46:48], strict=True):
        np.testing.assert_array_equal(batch.arrays["inputs_BT"], expected[:, :-1])
    text = "".join(token["text"] for token in step_batch(workspace, models, run_id, 24)["shown"][0]["tokens"])
    assert text in {tokens.tokenizer.decode(row) for windows_BT in drawn[46:48] for row in windows_BT.tolist()}

    with MetricsWriter(folder, "000099-x") as writer:  # as if the batch had been made smaller while it ran
        data = {"setting": "training.batch_size", "before": 4, "after": 2}
        writer.event("changed", "training.batch_size: 4 → 2", step=22, data=data)
    assert [len(batch.arrays["inputs_BT"]) for batch in replay_step(folder, tokens, 23).batches] == [2, 2]
    assert len(replay_step(folder, tokens, 22).batches[0].arrays["inputs_BT"]) == 4

    for step in (0, 41):
        with pytest.raises(UserError, match="has not made this step"):
            step_batch(workspace, models, run_id, step)
    write_lineage(folder, Lineage("0123456789", "elder", 20))
    with pytest.raises(UserError, match="did not make this step"):
        step_batch(workspace, models, run_id, 20)
    assert step_batch(workspace, models, run_id, 21)["loss"] == after["loss"], "a fork reads on from its origin"


def test_a_recurrent_network_reads_what_came_before_and_a_filling_one_its_hidden_tokens(workspace: Workspace) -> None:
    lstm = trained(workspace, "lstm")
    models = ModelCache(workspace)
    found = step_batch(workspace, models, lstm, 21)
    logged = read_points(run_folder(workspace, lstm), "train_loss").value
    assert found["warming_steps"] == 16 and found["loss"] == pytest.approx(logged[20], rel=1e-3)
    assert step_batch(workspace, models, lstm, 1)["loss"] == pytest.approx(logged[0], rel=1e-5)

    encoder = trained(workspace, "transformer", "model.kind=encoder", "model.hidden_size=16", "model.num_heads=2")
    found = step_batch(workspace, models, encoder, 21)
    logged = read_points(run_folder(workspace, encoder), "masked_train_loss").value
    assert found["loss"] == pytest.approx(logged[20], rel=1e-5)
    row = found["shown"][0]["tokens"]
    assert len(row) == 16 and 1 <= sum("p" in token for token in row) <= 4
    assert all(token["text"] != "[MASK]" for token in row), "the hidden tokens themselves are shown"
