"""Runs in processes of their own: finished, stopped, killed and resumed, doubled, diverged. Every other kill: `test_kills.py`."""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from llm_core.backend.jobs import delete_run, stop_job, submit_run
from llm_core.backend.launcher import start_supervisor
from llm_core.backend.readiness import check_readiness
from llm_core.backend.run_commands import resume_run
from llm_core.backend.text_jobs import delete_text
from llm_core.backend.worker import run_in_foreground
from llm_core.config.errors import Refused, UserError
from llm_core.config.timing import Timing
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import find_dataset, import_corpus
from llm_core.workspace.checkpoints import find_checkpoint, list_checkpoints
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.metrics_read import events, read_points, samples, segments, surviving
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import run_folder, summarise_run
from tests.backend.support import FAMILIES, processes_of, tiny, wait_for


def record_of(workspace: Workspace, run_id: str) -> JobRecord:
    with Registry(workspace) as registry:
        return registry.get(run_id)


def wait_for_end(workspace: Workspace, run_id: str) -> JobRecord:
    wait_for("the run to end", lambda: record_of(workspace, run_id).is_final)
    return record_of(workspace, run_id)


def losses(folder: Path) -> list[tuple[int, float]]:
    points = read_points(folder, "train_loss")
    kept = points.where(surviving(points, segments(folder)))
    return list(zip(kept.step.tolist(), kept.value.tolist(), strict=True))


def weights(folder: Path) -> str:
    digest = hashlib.sha256()
    for _, array in sorted(load_file(find_checkpoint(folder).path / "model.safetensors").items()):
        digest.update(array.tobytes())
    return digest.hexdigest()


def journal_mode(folder: Path) -> str:
    with closing(sqlite3.connect(f"file:{folder / 'metrics.db'}?mode=ro", uri=True)) as connection:
        return str(connection.execute("PRAGMA journal_mode").fetchone()[0])


def foreground(workspace: Workspace, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "llm_core.cli", "--workspace", str(workspace.root), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def test_a_queued_run_finishes_and_leaves_a_sealed_folder(workspace: Workspace) -> None:
    record = submit_run(workspace, tiny(), once="one click")
    assert submit_run(workspace, tiny(), once="one click").id == record.id, "a double click makes one run"
    done = wait_for_end(workspace, record.id)
    folder = run_folder(workspace, record.id)
    assert (done.state, done.result["steps"]) == ("finished", 40), (folder / "log.txt").read_text()
    assert [info.step for info in list_checkpoints(folder)] == [20, 40]
    assert read_points(folder, "val_loss").step.tolist() == [0, 20, 40]
    assert len(samples(folder)) == 3
    assert len(losses(folder)) == 40
    summary = summarise_run(workspace, done)
    assert summary.val_loss == read_points(folder, "val_loss").value[-1]
    # The end is told first, and the readings above may have been in the way of sealing; the supervisor then comes back to it.
    wait_for("the folder to be sealed", lambda: journal_mode(folder) == "delete")
    with pytest.raises(Refused, match="finished"):
        resume_run(workspace, record.id)
    assert delete_run(workspace, record.id) > 0
    assert not folder.exists()


@pytest.mark.parametrize("family", FAMILIES)
def test_killed_after_a_checkpoint_equals_undisturbed(workspace: Workspace, family: str) -> None:
    whole = submit_run(workspace, tiny(family, "name=whole"), foreground=True)
    assert run_in_foreground(workspace, whole.id, Timing.from_environment()).state == "finished"

    child = foreground(
        workspace, "train", "--foreground", *overrides(tiny(family, "name=killed", "training.max_steps=40"))
    )
    with Registry(workspace) as registry:
        wait_for("the run to be known", lambda: [r for r in registry.jobs("train") if r.name == "killed"])
        killed = registry.find("killed")
    folder = run_folder(workspace, killed.id)
    wait_for("the checkpoint of step 20", lambda: any(info.step == 20 for info in list_checkpoints(folder)))
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    for info in list_checkpoints(folder):
        if info.step > 20:  # it was quicker than we were; then the kill came after the end
            pytest.fail("the run ended before it could be killed; give it more steps")
    resume_run(workspace, killed.id, foreground=True)
    assert run_in_foreground(workspace, killed.id, Timing.from_environment()).state == "finished"
    assert losses(folder) == losses(run_folder(workspace, whole.id))
    assert weights(folder) == weights(run_folder(workspace, whole.id))


def overrides(config: object) -> list[str]:
    """The command line that says the same as a configuration."""
    from llm_core.config.overrides import flatten

    arguments: list[str] = []
    values = flatten(config)  # pyright: ignore
    for name in ["model.kind", *(name for name in values if name != "model.kind")]:
        if name in ("schema_version", "training.sample_prompts") or values[name] is None:
            continue
        arguments += ["--set", f"{name}={values[name]}"]
    return arguments


def test_stop_saves_and_resume_goes_on(workspace: Workspace) -> None:
    record = submit_run(workspace, tiny("gru", "training.max_steps=100000", "training.eval_interval=100000"))
    folder = run_folder(workspace, record.id)
    wait_for("some points", lambda: len(losses(folder)) > 3)
    with pytest.raises(Refused, match="process"):
        resume_run(workspace, record.id)
    with pytest.raises(Refused, match="Stop it first"):
        delete_run(workspace, record.id)
    stop_job(workspace, record.id)
    stopped = wait_for_end(workspace, record.id)
    assert (stopped.state, stopped.reason) == ("stopped", "Stopped on request.")
    assert list_checkpoints(folder)[-1].step == stopped.result["steps"]
    resume_run(workspace, record.id)
    wait_for("points after the stop", lambda: losses(folder)[-1][0] > stopped.result["steps"] + 3)
    stop_job(workspace, record.id)
    again = wait_for_end(workspace, record.id)
    steps = [step for step, _ in losses(folder)]
    assert steps == list(range(1, again.result["steps"] + 1))


def test_a_stop_given_while_the_run_starts_is_kept(workspace: Workspace) -> None:
    endless = tiny("rnn", "training.max_steps=1000000", "training.eval_interval=1000000")
    record = submit_run(workspace, endless)
    wait_for("a worker", lambda: record_of(workspace, record.id).state != "queued")
    stop_job(workspace, record.id)
    stopped = wait_for_end(workspace, record.id)
    assert stopped.state == "stopped", stopped
    resume_run(workspace, record.id)
    folder = run_folder(workspace, record.id)
    wait_for("the run to go on: what was said before is over", lambda: len(losses(folder)) > 3)
    stop_job(workspace, record.id)
    assert wait_for_end(workspace, record.id).reason == "Stopped on request."


def test_a_run_that_ends_while_a_page_reads_is_sealed_later(workspace: Workspace) -> None:
    record = submit_run(workspace, tiny("gru", "training.max_steps=100000", "training.eval_interval=100000"))
    folder = run_folder(workspace, record.id)
    wait_for("some points", lambda: len(losses(folder)) > 3)
    reader = sqlite3.connect(f"file:{folder / 'metrics.db'}?mode=ro", uri=True)
    try:
        assert reader.execute("SELECT count(*) FROM points").fetchone()[0] > 0
        stop_job(workspace, record.id)
        wait_for_end(workspace, record.id)
        assert (folder / "metrics.db-wal").exists(), "a connected reader keeps the run from being sealed"
    finally:
        reader.close()
    start_supervisor(workspace)
    wait_for("one ordinary file", lambda: not (folder / "metrics.db-wal").exists())


def test_a_run_that_never_began_says_why_in_its_own_folder(workspace: Workspace) -> None:
    record = submit_run(workspace, tiny("transformer", "data.tokenizer=bpe:300", "training.max_steps=5"))
    for path in (workspace.datasets / find_dataset(workspace, "letters").id).glob("*.arrow"):
        path.write_bytes(b"nothing like a table")
    done = wait_for_end(workspace, record.id)
    assert done.state == "failed" and done.reason
    told = [event.data for event in events(run_folder(workspace, record.id)) if event.kind == "state"]
    assert (told[-1]["state"], told[-1]["reason"]) == ("failed", done.reason)


def test_a_queued_run_can_be_cancelled(workspace: Workspace) -> None:
    with Registry(workspace) as registry:
        record = registry.add("train", "waiting", tiny().model_dump(mode="json"))
    assert stop_job(workspace, record.id).reason == "cancelled"


def test_a_run_that_breaks_says_how(workspace: Workspace) -> None:
    record = submit_run(
        workspace,
        tiny(
            "transformer",
            "optimizer.kind=sgd",
            "optimizer.learning_rate=100",
            "optimizer.gradient_clip=0",
            "schedule.warmup_steps=0",
            "training.max_steps=3000",
        ),
    )
    done = wait_for_end(workspace, record.id)
    assert done.state == "diverged", done
    assert "not a finite number" in done.reason and "lower learning rate" in done.remedy


def test_only_what_can_be_known_to_be_too_short_is_refused(workspace: Workspace) -> None:
    def blocking(name: str, tokenizer: str, context: int) -> list[UserError]:
        changes = (f"data.dataset={name}", f"data.tokenizer={tokenizer}", f"data.context_length={context}")
        return check_readiness(workspace, tiny("transformer", *changes)).blocking

    import_corpus(workspace, "中" * 1_200, ImportOptions(name="chinese", kind="paste"))
    assert not blocking("chinese", "byte", 128), "120 characters for validation are 360 bytes"
    assert blocking("chinese", "char", 128)
    import_corpus(workspace, "a" * 1_285, ImportOptions(name="exact", kind="paste"))
    assert not blocking("exact", "char", 128) and blocking("exact", "char", 129)


def test_a_run_does_not_go_on_over_another_text(workspace: Workspace) -> None:
    import_corpus(workspace, "one text " * 300, ImportOptions(name="book", kind="paste"))
    run = submit_run(workspace, tiny("rnn", "data.dataset=book", "data.tokenizer=byte"), foreground=True)
    assert run_in_foreground(workspace, run.id, Timing.from_environment()).state == "finished"
    delete_text(workspace, "book")
    import_corpus(workspace, "other text " * 300, ImportOptions(name="book", kind="paste"))
    with Registry(workspace) as registry:
        registry.resume(run.id, foreground=True, even_finished=True)
    again = run_in_foreground(workspace, run.id, Timing.from_environment())
    assert again.state == "failed" and "not the one that this run was trained on" in again.reason


def test_settings_that_cannot_work_are_refused_before_they_queue(workspace: Workspace) -> None:
    with pytest.raises(UserError, match="too short for one validation window"):
        submit_run(workspace, tiny("transformer", "data.context_length=500"))
    with pytest.raises(UserError, match="letters"):
        submit_run(workspace, tiny("transformer", "data.dataset=nothing"))
    assert not processes_of(workspace)
