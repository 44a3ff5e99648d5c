"""Changing, pausing, forking and rolling back: what was asked takes effect at its step, is answered, and survives a kill.

The loop runs in this process; commands come through commands.db at steps of our choosing, as a page would append them.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from llm_core.backend.endings import StopSignal
from llm_core.backend.lease import Heartbeat
from llm_core.backend.run_commands import (
    change_run,
    fork_point,
    fork_run,
    last_change,
    present_config,
    resume_run,
    roll_back_run,
    stop_run,
    undo_change,
    waiting_wishes,
)
from llm_core.backend.run_control import RunControl
from llm_core.backend.run_progress import RunProgress
from llm_core.backend.training_attempt import TrainingAttempt
from llm_core.config.errors import Refused, UserError
from llm_core.config.run import RunConfig
from llm_core.config.timing import Timing
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus
from llm_core.text.token_set import TokenSet
from llm_core.text.tokens import prepare_tokens
from llm_core.training.loop import TrainResult
from llm_core.training.observers import Instruction
from llm_core.training.trainer import Trainer
from llm_core.workspace.checkpoints import find_checkpoint, list_checkpoints
from llm_core.workspace.commands import append_command
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.lineage import read_lineage
from llm_core.workspace.metrics import MetricsWriter
from llm_core.workspace.metrics_read import acks, events, read_points, segments, surviving
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.process_identity import this_process
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import prepare_run_folder, run_folder
from tests.backend.support import tiny

RATE = "optimizer.learning_rate"
Script = Mapping[int, tuple[str, dict[str, Any]] | list[tuple[str, dict[str, Any]]]]


class _Killed(BaseException):
    """Ends the worker as a kill would: nothing is caught, nothing is saved."""


class _Scripted(RunControl):
    """Appends the commands of a script as the loop comes to their steps."""

    script: Script
    dies_at: int

    def poll(self, trainer: Trainer) -> Instruction:
        if trainer.step == self.dies_at:
            raise _Killed
        if trainer.step in self.script:
            due = self.script[trainer.step]
            self.script = {step: said for step, said in self.script.items() if step != trainer.step}
            for kind, args in due if isinstance(due, list) else [due]:
                append_command(self._folder, kind, args, "a test")
        return super().poll(trainer)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = open_workspace(tmp_path_factory.mktemp("live") / "home")
    text = "".join(np.random.default_rng(0).choice(list("abcdefgh \n"), 4000))
    import_corpus(workspace, text, ImportOptions(name="letters", kind="paste"))
    return workspace


@pytest.fixture(scope="module")
def tokens(workspace: Workspace) -> Iterator[TokenSet]:
    yield prepare_tokens(workspace, tiny().data)


def queue(workspace: Workspace, name: str, *changes: str, family: str = "transformer") -> JobRecord:
    config = tiny(family, f"name={name}", *changes)
    with Registry(workspace) as registry:
        return registry.add("train", name, config.model_dump(mode="json"), foreground=True)


def play(
    workspace: Workspace, run: JobRecord, tokens: TokenSet, script: Script | None = None, dies_at: int = -1
) -> TrainResult:
    """One attempt of a worker at a run; the state it comes to is in the registry afterwards."""
    with Registry(workspace) as registry:
        record = registry.claim(this_process(), ["train"], run.id)
        assert record is not None and record.lease_token is not None
        registry.move(run.id, "running", token=record.lease_token)
    folder = prepare_run_folder(workspace, record)
    progress = RunProgress(phase="")
    with MetricsWriter(folder, record.lease_token) as writer:
        heartbeat = Heartbeat(writer.heartbeat, progress.to_dict, Timing())
        control = _Scripted(folder, writer, StopSignal(), heartbeat)
        control.script, control.dies_at = dict(script or {}), dies_at
        config = RunConfig.model_validate(record.config)
        attempt = TrainingAttempt(folder, config, tokens, record.lease_token, writer, progress, heartbeat, Timing())
        try:
            result, _ = attempt.run(control)
        except _Killed:
            writer.commit()
            with Registry(workspace) as registry:
                registry.move(run.id, "failed", token=record.lease_token)
            return TrainResult("stopped", "killed", "", None)
    with Registry(workspace) as registry:
        registry.move(run.id, result.state, token=record.lease_token)
    return result


def losses(workspace: Workspace, run: JobRecord) -> list[tuple[int, float]]:
    folder = run_folder(workspace, run.id)
    points = read_points(folder, "train_loss")
    kept = points.where(surviving(points, segments(folder)))
    return list(zip(kept.step.tolist(), kept.value.tolist(), strict=True))


def weights(workspace: Workspace, run: JobRecord) -> str:
    digest = hashlib.sha256()
    path = find_checkpoint(run_folder(workspace, run.id)).path
    for _, array in sorted(load_file(path / "model.safetensors").items()):
        digest.update(array.tobytes())
    return digest.hexdigest()


def test_a_change_takes_effect_at_its_step_and_again_after_a_kill(workspace: Workspace, tokens: TokenSet) -> None:
    script: Script = {
        13: ("set", {RATE: 3e-4, "optimizer.weight_decay": 0.5, "model.dropout": 0.0}),
        25: ("set", {"training.batch_size": 6, "training.max_steps": 44, "training.eval_interval": 11}),
        27: ("set", {"model.num_layers": 3}),
    }
    whole = queue(workspace, "changed")
    assert play(workspace, whole, tokens, script).state == "finished"
    folder = run_folder(workspace, whole.id)
    rates = dict(
        zip(
            *(
                column.tolist()
                for column in (read_points(folder, "learning_rate").step, read_points(folder, "learning_rate").value)
            ),
            strict=True,
        )
    )
    assert rates[13] == pytest.approx(1e-3, rel=0.5) and rates[14] < 3.01e-4, (
        "from the next step, and not overwritten by the schedule"
    )
    assert max(step for step, _ in losses(workspace, whole)) == 44
    answers = acks(folder)
    assert [(ack.accepted, ack.step) for ack in answers] == [(True, 13), (True, 25), (False, 27)]
    assert answers[0].before == {RATE: 1e-3, "optimizer.weight_decay": 0.1, "model.dropout": 0.2}
    assert answers[0].after == {RATE: 3e-4, "optimizer.weight_decay": 0.5, "model.dropout": 0.0}
    assert "cannot change" in answers[2].reason and "model.num_layers" in answers[2].reason
    marks = [
        (event.step, event.data["setting"], event.data["author"]) for event in events(folder) if event.kind == "changed"
    ]
    assert marks[0] == (13, RATE, "a test") and len(marks) == 6
    assert present_config(workspace, whole).training.batch_size == 6

    killed = queue(workspace, "changed-and-killed")
    play(
        workspace, killed, tokens, script, dies_at=30
    )  # the newest checkpoint is that of step 22, in the new interval's rhythm not yet
    assert max(info.step for info in list_checkpoints(run_folder(workspace, killed.id))) == 20
    resume_run(workspace, killed.id, foreground=True)
    assert play(workspace, killed, tokens).state == "finished"
    assert losses(workspace, killed) == losses(workspace, whole)
    assert weights(workspace, killed) == weights(workspace, whole)
    assert len([event for event in events(run_folder(workspace, killed.id)) if event.kind == "changed"]) == 6, (
        "told once"
    )


def test_pause_rests_and_resume_goes_on_as_if_nothing_had_been(workspace: Workspace, tokens: TokenSet) -> None:
    whole, paused = queue(workspace, "whole"), queue(workspace, "paused")
    play(workspace, whole, tokens)
    assert play(workspace, paused, tokens, {7: ("pause", {})}).state == "paused"
    with Registry(workspace) as registry:
        record = registry.get(paused.id)
        assert (record.state, record.owner, record.lease_token) == ("paused", None, None)
    assert find_checkpoint(run_folder(workspace, paused.id)).step == 7
    change_run(workspace, paused.id, {"training.sample_tokens": 9})
    resume_run(workspace, paused.id, foreground=True)
    assert play(workspace, paused, tokens).state == "finished"
    assert losses(workspace, paused) == losses(workspace, whole)
    assert weights(workspace, paused) == weights(workspace, whole)
    assert present_config(workspace, paused).training.sample_tokens == 9, "said while it rested, done when it went on"


@pytest.mark.parametrize("family", ["transformer", "lstm"])
def test_a_fork_without_changes_makes_the_same_steps(workspace: Workspace, tokens: TokenSet, family: str) -> None:
    parent = queue(workspace, f"parent-{family}", family=family)
    play(workspace, parent, tokens)
    fork = fork_run(workspace, parent.id, 20, name=f"fork-{family}", once=f"click {family}", foreground=True)
    assert (
        fork_run(workspace, parent.id, 20, name=f"fork-{family}", once=f"click {family}", foreground=True).id == fork.id
    )
    assert play(workspace, fork, tokens).state == "finished"
    assert losses(workspace, fork) == [point for point in losses(workspace, parent) if point[0] > 20]
    assert weights(workspace, fork) == weights(workspace, parent)
    lineage = read_lineage(run_folder(workspace, fork.id))
    assert lineage is not None and (lineage.parent, lineage.step) == (parent.id, 20)

    slower = fork_run(workspace, parent.id, 20, [f"{RATE}=0.0001", "seed=5"], foreground=True)
    play(workspace, slower, tokens)
    assert slower.name == f"parent-{family}-fork"
    assert max(read_points(run_folder(workspace, slower.id), "learning_rate").value) <= 1e-4
    assert "the place in the text starts anew" in " ".join(
        event.message for event in events(run_folder(workspace, slower.id))
    )


def test_a_change_of_several_settings_is_undone_as_one(workspace: Workspace, tokens: TokenSet) -> None:
    run = queue(workspace, "undone")
    with pytest.raises(Refused, match="No setting of this run was changed"):
        undo_change(workspace, run.id)
    play(workspace, run, tokens, {5: ("set", {RATE: 3e-4, "model.dropout": 0.0}), 9: ("pause", {})})
    folder = run_folder(workspace, run.id)
    assert [change.setting for change in last_change(folder)] == [RATE, "model.dropout"]
    command = undo_change(workspace, run.id, "a person")
    assert [(wish.id, wish.args) for wish in waiting_wishes(folder)] == [(command, {RATE: 1e-3, "model.dropout": 0.2})]
    resume_run(workspace, run.id, foreground=True)
    assert play(workspace, run, tokens).state == "finished" and not waiting_wishes(folder)
    present = present_config(workspace, run)
    assert (present.optimizer.learning_rate, present.model.dropout) == (1e-3, 0.2)  # pyright: ignore
    assert {change.author for change in last_change(folder)} == {"a person"}


def test_a_fork_begins_with_the_settings_of_its_checkpoint(workspace: Workspace, tokens: TokenSet) -> None:
    parent = queue(workspace, "changed-later")
    play(workspace, parent, tokens, {25: ("set", {RATE: 3e-4})})
    first, last = (fork_point(workspace, parent.id, step) for step in (20, 40))
    assert (first.config.optimizer.learning_rate, first.is_end) == (1e-3, False)
    assert (last.config.optimizer.learning_rate, last.is_end) == (3e-4, True)
    for name, content in (("state.json", "[]"), ("config.json", "{")):
        damaged = find_checkpoint(run_folder(workspace, parent.id), 20).path / name
        whole = damaged.read_bytes()
        damaged.write_text(content, encoding="utf-8")
        with pytest.raises(UserError):
            fork_point(workspace, parent.id, 20)
        damaged.write_bytes(whole)
    by_tokens = queue(workspace, "by-tokens", "training.max_steps=null", f"training.max_tokens={30 * 4 * 16}")
    play(workspace, by_tokens, tokens)
    end = find_checkpoint(run_folder(workspace, by_tokens.id)).step
    with pytest.raises(UserError, match=r"nothing left to do.*max_tokens"):
        fork_run(workspace, by_tokens.id, end)
    more = fork_run(workspace, by_tokens.id, end, [f"training.max_tokens={60 * 4 * 16}"], foreground=True)
    assert play(workspace, more, tokens).state == "finished"
    assert len(losses(workspace, more)) == end


def test_a_fork_keeps_network_and_text_and_needs_something_to_do(workspace: Workspace, tokens: TokenSet) -> None:
    parent = queue(workspace, "origin")
    play(workspace, parent, tokens)
    with pytest.raises(UserError, match="nothing left to do"):
        fork_run(workspace, parent.id)
    with pytest.raises(UserError, match=r"keeps the network.*model\.num_layers"):
        fork_run(workspace, parent.id, 20, ["model.num_layers=3"])
    with pytest.raises(UserError, match="There are: 20, 40"):
        fork_run(workspace, parent.id, 21)
    (run_folder(workspace, parent.id) / "checkpoints" / "step-00000020" / "state.json").write_text("{}")
    with pytest.raises(UserError, match=r"state\.json"):
        fork_run(workspace, parent.id, 20)


def test_rolled_back_while_it_runs_leaves_a_ghost_and_equals_the_undisturbed_run(
    workspace: Workspace, tokens: TokenSet
) -> None:
    whole, back = queue(workspace, "straight"), queue(workspace, "there-and-back")
    play(workspace, whole, tokens)
    result = play(
        workspace,
        back,
        tokens,
        {22: ("set", {RATE: 0.1}), 31: ("roll_back", {"step": 20}), 33: ("roll_back", {"step": 40})},
    )
    assert result.state == "finished"
    folder = run_folder(workspace, back.id)
    assert losses(workspace, back) == losses(workspace, whole), "the change was abandoned with the stretch"
    assert weights(workspace, back) == weights(workspace, whole)
    assert len(read_points(folder, "train_loss").step) == 40 + 11, "what was abandoned is still in the file"
    (event,) = [event for event in events(folder) if event.kind == "rolled_back"]
    assert (event.data["from_step"], event.data["to_step"]) == (31, 20)
    assert [ack.accepted for ack in acks(folder)] == [True, True, False]
    assert present_config(workspace, back).optimizer.learning_rate == 1e-3


def test_a_finished_run_goes_back_or_gets_a_larger_budget(workspace: Workspace, tokens: TokenSet) -> None:
    run = queue(workspace, "more")
    play(workspace, run, tokens)
    before = losses(workspace, run)
    with pytest.raises(Refused, match="no more steps"):
        change_run(workspace, run.id, {RATE: 1e-4})
    with pytest.raises(Refused, match="cannot go on"):
        resume_run(workspace, run.id, foreground=True)
    with pytest.raises(UserError, match="There are: 20, 40"):
        roll_back_run(workspace, run.id, 33)
    resume_run(workspace, run.id, {"training.max_steps": 46}, foreground=True)
    assert play(workspace, run, tokens).state == "finished"
    assert losses(workspace, run)[:40] == before and len(losses(workspace, run)) == 46

    append_command(run_folder(workspace, run.id), "roll_back", {"step": 20}, "a test")
    resume_run(workspace, run.id, foreground=True)
    play(workspace, run, tokens)
    assert [step for step, _ in losses(workspace, run)] == list(range(1, 41)), (
        "the larger budget came after step 20 and is gone"
    )
    assert losses(workspace, run)[:20] == before[:20]
    (anew,) = [event.message for event in events(run_folder(workspace, run.id)) if event.kind == "anew"]
    assert anew == "From step 20 the optimizer's memory starts anew.", (
        "an old checkpoint keeps its weights alone, and that is said"
    )
    assert not any(info.step > 40 for info in list_checkpoints(run_folder(workspace, run.id)))


def test_stop_can_leave_the_last_steps_unsaved_and_a_paused_run_is_stopped_at_once(
    workspace: Workspace, tokens: TokenSet
) -> None:
    run = queue(workspace, "unsaved")
    play(workspace, run, tokens, {25: ("stop", {"save": False})})
    assert find_checkpoint(run_folder(workspace, run.id)).step == 20
    resume_run(workspace, run.id, foreground=True)
    play(workspace, run, tokens, {23: ("checkpoint", {}), 24: ("sample", {}), 26: ("pause", {})})
    kept = {info.step: info.pinned for info in list_checkpoints(run_folder(workspace, run.id))}
    assert kept == {20: False, 23: True, 26: False}, "what a person asked to be kept is never thinned"
    resume_run(workspace, run.id, foreground=True)
    append_command(run_folder(workspace, run.id), "checkpoint", {}, "a test")
    play(workspace, run, tokens, {26: ("pause", {})})
    assert find_checkpoint(run_folder(workspace, run.id)).pinned, "also when the run rests in the same breath"
    assert stop_run(workspace, run.id).state == "stopped"


def test_what_is_said_after_a_way_back_is_meant_for_the_run_as_it_is_then(
    workspace: Workspace, tokens: TokenSet
) -> None:
    run = queue(workspace, "back-and-slower")
    script: Script = {25: [("roll_back", {"step": 20}), ("set", {RATE: 1e-4})]}
    assert play(workspace, run, tokens, script).state == "finished"
    folder = run_folder(workspace, run.id)
    assert [(ack.accepted, ack.step) for ack in acks(folder)] == [(True, 25), (True, 20)]
    assert present_config(workspace, run).optimizer.learning_rate == 1e-4
    points = read_points(folder, "learning_rate")
    kept = points.where(surviving(points, segments(folder)))
    assert max(kept.value[kept.step > 20]) < 1.01e-4 < min(kept.value[kept.step == 20])


def test_an_end_comes_before_a_way_back_which_waits_for_whoever_resumes(workspace: Workspace, tokens: TokenSet) -> None:
    run = queue(workspace, "ends-first")
    assert play(workspace, run, tokens, {25: [("stop", {}), ("roll_back", {"step": 20})]}).state == "stopped"
    folder = run_folder(workspace, run.id)
    assert [(ack.accepted, ack.step) for ack in acks(folder)] == [(True, 25)]
    resume_run(workspace, run.id, foreground=True)
    assert play(workspace, run, tokens).state == "finished"
    assert [event.step for event in events(folder) if event.kind == "rolled_back"] == [20]


def test_a_newer_change_is_not_undone_by_one_that_a_dead_worker_made_later(
    workspace: Workspace, tokens: TokenSet
) -> None:
    run = queue(workspace, "changed-twice")
    play(workspace, run, tokens, {22: ("set", {RATE: 1e-4, "optimizer.weight_decay": 0.5})}, dies_at=30)
    for script, dies_at in (({21: ("set", {RATE: 5e-5})}, 26), ({}, -1)):
        resume_run(workspace, run.id, foreground=True)
        play(workspace, run, tokens, script, dies_at=dies_at)
    folder = run_folder(workspace, run.id)
    points = read_points(folder, "learning_rate")
    kept = points.where(surviving(points, segments(folder)))
    assert max(kept.value[kept.step > 22]) < 5.01e-5
    saved = RunConfig.model_validate_json((find_checkpoint(folder).path / "config.json").read_bytes())
    assert (saved.optimizer.learning_rate, saved.optimizer.weight_decay) == (5e-5, 0.5), "the rest happens again"


def test_a_fork_whose_beginning_is_gone_does_not_begin_with_other_weights(
    workspace: Workspace, tokens: TokenSet
) -> None:
    parent = queue(workspace, "has-a-fork")
    play(workspace, parent, tokens)
    fork = fork_run(workspace, parent.id, 20, name="orphan", foreground=True)
    shutil.rmtree(run_folder(workspace, fork.id) / "checkpoints")
    with pytest.raises(UserError, match="began with is damaged or gone"):
        play(workspace, fork, tokens)


def test_a_run_without_a_checkpoint_says_that_it_begins_anew(workspace: Workspace, tokens: TokenSet) -> None:
    run = queue(workspace, "killed-early")
    play(workspace, run, tokens, dies_at=12)
    resume_run(workspace, run.id, foreground=True)
    play(workspace, run, tokens)
    told = [event.message for event in events(run_folder(workspace, run.id)) if event.kind == "anew"]
    assert told == ["There is no checkpoint to go on from, so the run begins anew."]
