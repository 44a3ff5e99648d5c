"""What people and the system ask of a run while it goes on, answered at the next step boundary.

Each command is acknowledged with the step at which it took effect and what it changed, or refused with a reason. A change that was
acknowledged and then lost with its worker happens again at its step when the run resumes, so that the resumed run equals the undisturbed
one. Not here: who writes commands (`run_commands.py`), how settings change (`llm_core.training.live_changes`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llm_core.backend.endings import ASKED_TO_END, StopSignal
from llm_core.backend.lease import Heartbeat
from llm_core.config.errors import UserError
from llm_core.config.live_settings import changed_live, values_of
from llm_core.config.run import RunConfig
from llm_core.training.observers import Instruction
from llm_core.training.trainer import Trainer
from llm_core.workspace.checkpoints import checkpoint_path, find_checkpoint, pin_checkpoint, verify_checkpoint
from llm_core.workspace.commands import (
    CHECKPOINT,
    PAUSE,
    RESUME,
    ROLL_BACK,
    SAMPLE,
    SET,
    STOP,
    Command,
    read_commands,
)
from llm_core.workspace.leases import LeaseLost
from llm_core.workspace.metrics import MetricsWriter
from llm_core.workspace.metrics_read import Ack, acks, events

ROLLED_BACK, CHANGED = "rolled_back", "changed"
# An end that was promised still counts when the worker died before it came to it.
_PROMISES = (STOP, PAUSE)
# These wait for a worker, even when they were said before the run was resumed.
_WAITING_KINDS = (SET, ROLL_BACK)

ChangeTrainer = Callable[[Trainer, RunConfig], None]


@dataclass(frozen=True)
class RollBack:
    """A way back that was agreed to."""

    command_id: str
    to_step: int
    from_step: int = 0
    """Where the run stood; 0 where that is not known."""


@dataclass(frozen=True)
class _Replay:
    """A change that took effect after the checkpoint from which the run goes on."""

    step: int
    values: dict[str, Any]

    def without(self, names: Collection[str]) -> _Replay:
        """The same, but for these settings."""
        return _Replay(self.step, {name: value for name, value in self.values.items() if name not in names})


class RunControl:
    """Reads commands at each step boundary, as cheaply as one look at a file's time.

    What was said before a person resumed the run is over, except changes and ways back, which nobody could answer then.
    """

    def __init__(self, folder: Path, writer: MetricsWriter, stop: StopSignal, heartbeat: Heartbeat) -> None:
        self._folder = folder
        self._file = folder / "commands.db"
        self._writer = writer
        self._stop = stop
        self._heartbeat = heartbeat
        self._seen: tuple[int, int] | None = None
        self._change: ChangeTrainer | None = None
        self._pin_step: int | None = None
        said = read_commands(folder)
        self._after = max((command.rowid for command in said if command.kind == RESUME), default=0)
        answers = {ack.command_id: ack for ack in acks(folder)}
        self._answered = {command.id for command in said if command.id in answers and command.kind not in _PROMISES}
        self._waiting = [
            command
            for command in said
            if command.kind in _WAITING_KINDS and command.rowid <= self._after and command.id not in answers
        ]
        agreed = [answers[command.id] for command in said if command.kind == ROLL_BACK and _accepted(answers, command)]
        done = {str(event.data.get("command")) for event in events(folder) if event.kind == ROLLED_BACK}
        self._unfinished = next((ack for ack in reversed(agreed) if ack.command_id not in done), None)
        since = max((ack.at for ack in agreed), default=0.0)
        changes = [answers[command.id] for command in said if command.kind == SET and _accepted(answers, command)]
        self._replays = _replays_of([ack for ack in changes if ack.at > since])

    def attach(self, change: ChangeTrainer) -> None:
        """Tell how a trainer changes; until then changes wait."""
        self._change = change

    def roll_back_at_start(self) -> RollBack | None:
        """Before a trainer is built: the way back that was asked for while nobody worked, or that a killed worker had agreed to."""
        found = None
        if self._unfinished is not None:
            found = RollBack(self._unfinished.command_id, int(self._unfinished.after), self._unfinished.step)
            self._unfinished = None
        self._waiting += self._new_commands()
        for command in [command for command in self._waiting if command.kind == ROLL_BACK]:
            self._waiting.remove(command)
            found = self._agree_to_roll_back(command, None) or found
        if found is not None:
            self._replays.clear()
        return found

    def poll(self, trainer: Trainer) -> Instruction:
        self._alive()
        if self._stop.requested:
            return Instruction(end="stopped", reason=ASKED_TO_END)
        self.keep_what_was_asked_for()
        self._replay(trainer)
        instruction = Instruction()
        waiting, self._waiting = [*self._waiting, *self._new_commands()], []
        for index, command in enumerate(waiting):
            if command.kind == ROLL_BACK and instruction != Instruction():
                # What was asked for before it is done first; after an end it waits for whoever resumes the run.
                self._waiting = waiting[index:]
                break
            instruction = self._obey(command, trainer, instruction)
            if instruction.roll_back_to is not None:
                # What was said after it is meant for the run as it will be then.
                self._waiting = waiting[index + 1 :]
                break
        return instruction

    def keep_what_was_asked_for(self) -> None:
        """Save from thinning the checkpoint that a person asked for; at the next step, and when the loop has ended."""
        if self._pin_step is not None and checkpoint_path(self._folder, self._pin_step).is_dir():
            pin_checkpoint(checkpoint_path(self._folder, self._pin_step))
        self._pin_step = None

    def stop_is_wanted(self) -> bool:
        """Before there is a step to finish: whether the run should end now. A stop is acknowledged, all else waits for the loop."""
        self._alive()
        self._waiting += self._new_commands()
        stops = [command for command in self._waiting if command.kind == STOP]
        for command in stops:
            self._writer.ack(command.id, True, 0)
        return bool(stops) or self._stop.requested

    def _obey(self, command: Command, trainer: Trainer, instruction: Instruction) -> Instruction:
        """The instruction with this command added; the command is answered."""
        if command.kind == ROLL_BACK:
            agreed = self._agree_to_roll_back(command, trainer.step)
            if agreed is not None:
                self._replays.clear()
                return replace(instruction, roll_back_to=agreed.to_step, roll_back_command=agreed.command_id)
            return instruction
        if command.kind == SET:
            self._set(command, trainer)
            return instruction
        if command.kind == RESUME:
            self._writer.ack(command.id, False, trainer.step, reason="The run is under way.")
            return instruction
        self._writer.ack(command.id, True, trainer.step)
        if command.kind == STOP:
            save = bool(command.args.get("save", True))
            return replace(instruction, end="stopped", reason="Stopped on request.", save=save)
        if command.kind == PAUSE:
            return replace(instruction, end="paused", reason="Paused on request.", save=True)
        if command.kind == CHECKPOINT:
            # What a person asked to be kept is never thinned away.
            self._pin_step = trainer.step
            return replace(instruction, checkpoint=True)
        assert command.kind == SAMPLE, command.kind
        return replace(instruction, sample=True)

    def _set(self, command: Command, trainer: Trainer) -> None:
        assert self._change is not None, "a loop runs only after `attach`"
        before = trainer.config
        try:
            after = changed_live(before, command.args)
            self._change(trainer, after)
        except UserError as error:
            self._writer.ack(command.id, False, trainer.step, reason=str(error))
            return
        old, new = values_of(before, command.args), values_of(after, command.args)
        for name in old:
            if old[name] != new[name]:
                data = {"command": command.id, "author": command.author, "setting": name}
                self._writer.event(
                    CHANGED,
                    f"{name}: {old[name]} → {new[name]}",
                    step=trainer.step,
                    data={**data, "before": old[name], "after": new[name]},
                )
        # A change that a dead worker made later counts no more: this one is newer.
        self._replays = [replay.without(new) for replay in self._replays]
        self._writer.ack(command.id, True, trainer.step, before=old, after=new)

    def _replay(self, trainer: Trainer) -> None:
        """Changes that were made at this step before, by a worker that died."""
        assert self._change is not None or not self._replays, "a loop runs only after `attach`"
        due = [replay for replay in self._replays if replay.step == trainer.step]
        self._replays = [replay for replay in self._replays if replay.step > trainer.step]
        for replay_ in due:
            assert self._change is not None
            self._change(trainer, changed_live(trainer.config, replay_.values))

    def _agree_to_roll_back(self, command: Command, present_step: int | None) -> RollBack | None:
        """Answer a wish to go back: the checkpoint must be there, whole, and behind the present step."""
        step = int(command.args.get("step", -1))
        try:
            info = find_checkpoint(self._folder, step)
            problems = verify_checkpoint(info.path)
            if problems:
                raise UserError(problems[0], remedy="Choose another checkpoint")
            if present_step is not None and step >= present_step:
                raise UserError(
                    "The run is not past this step", value=step, limit=f"earlier than step {present_step:,}"
                )
        except UserError as error:
            self._writer.ack(command.id, False, present_step or 0, reason=str(error))
            return None
        self._writer.ack(command.id, True, step if present_step is None else present_step, after=step)
        return RollBack(command.id, step)

    def _alive(self) -> None:
        if self._heartbeat.lease_is_lost:
            raise LeaseLost("another worker holds this run")
        self._heartbeat.moved()

    def _new_commands(self) -> list[Command]:
        try:
            stat = self._file.stat()
        except FileNotFoundError:
            return []
        stamp = (stat.st_mtime_ns, stat.st_size)
        if stamp == self._seen:
            return []
        self._seen = stamp
        commands = [command for command in read_commands(self._folder, self._after) if command.id not in self._answered]
        if commands:
            self._after = commands[-1].rowid
        return commands


def _replays_of(changes: Sequence[Ack]) -> list[_Replay]:
    """The changes that happen again. One that was made later at an earlier step, by a worker that had gone back, took their place."""
    replays: list[_Replay] = []
    for ack in sorted(changes, key=lambda ack: ack.at):
        values: dict[str, Any] = dict(ack.after)
        replays = [replay.without(values) if replay.step > ack.step else replay for replay in replays]
        replays.append(_Replay(ack.step, values))
    return replays


def _accepted(answers: dict[str, Ack], command: Command) -> bool:
    return command.id in answers and answers[command.id].accepted
