"""What a recorder leaves on disk beside the loss: norms by part, which text broke a step, and no checkpoint without room for it."""

from __future__ import annotations

import errno
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from llm_core.backend.batch_replay import replay_step
from llm_core.backend.lease import Heartbeat
from llm_core.backend.peak_flops import full_speed
from llm_core.backend.run_health import watch_health
from llm_core.backend.run_progress import RunProgress
from llm_core.backend.run_recorder import RunRecorder
from llm_core.config.timing import Timing
from llm_core.objectives.interface import Batch
from llm_core.objectives.registry import objective_for
from llm_core.text.token_set import TokenSet
from llm_core.text.tokens import prepare_tokens
from llm_core.training import checkpoint_state
from llm_core.training.loop import train
from llm_core.training.trainer import Trainer
from llm_core.workspace.checkpoints import list_checkpoints, verify_checkpoint
from llm_core.workspace.disk_space import MARGIN_BYTES, DiskNearlyFull, is_disk_full, require_space
from llm_core.workspace.metrics import MetricsWriter
from llm_core.workspace.metrics_read import events, heartbeat, last_tried_step, metric_keys, read_points
from llm_core.workspace.paths import Workspace
from tests.backend.support import tiny


class Recorded(NamedTuple):
    folder: Path
    tokens: TokenSet
    trainer: Trainer
    recorder: RunRecorder
    writer: MetricsWriter


@pytest.fixture
def recorded(workspace: Workspace, tmp_path: Path) -> Iterator[Recorded]:
    config = tiny("transformer")
    tokens = prepare_tokens(workspace, config.data)
    trainer = Trainer(config, tokens.train, objective_for(config, tokens.tokenizer))
    folder, timing, progress = tmp_path / "run", Timing(), RunProgress("training")
    with MetricsWriter(folder, "000001-a") as writer:
        beat = Heartbeat(writer.heartbeat, progress.to_dict, timing)
        yield Recorded(
            folder, tokens, trainer, RunRecorder(folder, "000001-a", writer, tokens, progress, beat, timing), writer
        )


def test_norms_by_part_time_left_and_the_text_of_a_step_that_broke(recorded: Recorded) -> None:
    folder, tokens, trainer, recorder, writer = recorded

    drawn: list[list[int]] = []
    draw, count = trainer.batches.next, 30

    def next_batch() -> Batch:
        """The same batches; the model breaks at a known one."""
        batch = draw()
        assert batch.starts_B is not None
        drawn.append(batch.starts_B.tolist())
        if len(drawn) == count:
            with torch.no_grad():
                next(trainer.model.parameters()).fill_(math.nan)
        return batch

    trainer.batches.next = next_batch  # pyright: ignore
    health = watch_health(trainer, recorder, writer, tokens, folder)
    assert train(trainer, [recorder, health]).state == "diverged"
    writer.commit()
    parts = ("embedding", "layer 0", "layer 1", "head")
    keys = metric_keys(folder)
    for part in parts:
        assert read_points(folder, f"gradient_norm/{part}").step.tolist() == [1, 20]
        assert (read_points(folder, f"update_ratio/{part}").value > 0).all()
    assert "mfu" not in keys, "the peak of this processor is not known"
    (diverged,) = [event for event in events(folder) if event.kind == "diverged"]
    assert (diverged.step, diverged.data["step"], diverged.data["positions"]) == (count, count, drawn[-1])
    assert max(drawn[-1]) < len(tokens.train)
    assert last_tried_step(folder) == count
    (folder / "config.json").write_text(trainer.config.model_dump_json(), encoding="utf-8")
    (broken,) = replay_step(folder, tokens, count).batches
    assert broken.starts_B is not None and broken.starts_B.tolist() == drawn[-1], "the text of that step is found again"
    (found,) = [event for event in events(folder) if event.kind == "health"]
    assert found.message.startswith("Not a number: In step 30")
    assert found.data["action"] == {"kind": "fork", "step": 20, "set": {"optimizer.learning_rate": 0.00033}}
    beat = heartbeat(folder)
    assert beat is not None
    progress = beat.progress
    assert 0 <= progress["eta_low_seconds"] <= progress["eta_seconds"] <= progress["eta_high_seconds"]


def test_no_room_no_checkpoint_and_the_former_stays_whole(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _, trainer, recorder, _ = recorded
    trainer.run_step()
    recorder.on_checkpoint(trainer)
    (first,) = list_checkpoints(folder)
    assert trainer.tensor_bytes <= first.size_bytes <= trainer.tensor_bytes + 100_000

    trainer.run_step()
    usage = shutil.disk_usage(folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=MARGIN_BYTES))
    with pytest.raises(DiskNearlyFull, match=r"nearly full: the checkpoint of .* might not fit"):
        recorder.on_checkpoint(trainer)
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["step-00000001"]
    monkeypatch.undo()

    def write_until_full(tensors: object, path: Path) -> None:
        path.write_bytes(b"half a file")
        with open("/dev/full", "wb", buffering=0) as file:  # noqa: PTH123 the kernel's own full disk
            file.write(b"x")

    monkeypatch.setattr(checkpoint_state, "save_file", write_until_full)
    with pytest.raises(DiskNearlyFull, match="became full while the checkpoint") as raised:
        recorder.on_checkpoint(trainer)
    assert isinstance(raised.value.__cause__, OSError) and raised.value.__cause__.errno == errno.ENOSPC
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["step-00000001"]
    assert verify_checkpoint(first.path) == []
    monkeypatch.undo()
    recorder.on_checkpoint(trainer)
    assert len(list_checkpoints(folder)) == 2


def test_a_full_disk_is_known_by_its_number_or_its_text(tmp_path: Path) -> None:
    from safetensors import SafetensorError

    assert is_disk_full(SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"))
    assert is_disk_full(OSError(errno.EDQUOT, "quota"))
    assert not is_disk_full(PermissionError(errno.EACCES, "no"))
    require_space(tmp_path / "not" / "there" / "yet", 1000)
    with pytest.raises(DiskNearlyFull, match="1,000,000 TB"):
        require_space(tmp_path, 10**18)


def test_the_share_of_a_chip_is_known_where_its_peak_is() -> None:
    peak = full_speed(1_000_000, "NVIDIA H100 80GB HBM3", "bfloat16", 2)
    assert peak == pytest.approx(2 * 989e6), "two chips of 989 TFLOP/s at a million FLOP per token"
    assert full_speed(1_000_000, "NVIDIA H100 80GB HBM3", "float32") is None
    assert full_speed(1_000_000, "cpu", "bfloat16") is None
