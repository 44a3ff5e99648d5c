"""What people and the system ask of a run while it goes on. Not here: who writes commands (`llm_core.workspace.commands`)."""

from __future__ import annotations

from pathlib import Path

from llm_core.backend.endings import StopSignal
from llm_core.backend.lease import Heartbeat
from llm_core.training.observers import Instruction
from llm_core.training.trainer import Trainer
from llm_core.workspace.commands import RESUME, Command, read_commands
from llm_core.workspace.leases import LeaseLost
from llm_core.workspace.metrics import MetricsWriter
from llm_core.workspace.metrics_read import acks


class RunControl:
    """Reads commands at each step boundary, as cheaply as one look at a file's time.

    What was said before a person resumed the run is over. A stop that was acknowledged since then and lost its worker before it ended
    still counts.
    """

    def __init__(self, folder: Path, writer: MetricsWriter, stop: StopSignal, heartbeat: Heartbeat) -> None:
        self._folder = folder
        self._file = folder / "commands.db"
        self._writer = writer
        self._stop = stop
        self._heartbeat = heartbeat
        self._seen: tuple[int, int] | None = None
        said = read_commands(folder)
        self._after = max((command.rowid for command in said if command.kind == RESUME), default=0)
        answered = {ack.command_id for ack in acks(folder)}
        self._answered = {command.id for command in said if command.id in answered and command.kind != "stop"}
        self._waiting: list[Command] = []

    def poll(self, trainer: Trainer) -> Instruction:
        self._alive()
        if self._stop.requested:
            return Instruction(stop=True, stop_reason="The process was asked to end.")
        stop, save = False, False
        waiting, self._waiting = [*self._waiting, *self._new_commands()], []
        for command in waiting:
            stop |= command.kind == "stop"
            save |= command.kind == "checkpoint"
            known = command.kind in ("stop", "checkpoint")
            self._writer.ack(
                command.id, known, trainer.step, reason="" if known else f"{command.kind} is not known here"
            )
        return Instruction(stop=stop, stop_reason="Stopped on request." if stop else "", checkpoint=save)

    def stop_is_wanted(self) -> bool:
        """Before there is a step to finish: whether the run should end now. A stop is acknowledged, all else waits for the loop."""
        self._alive()
        self._waiting += self._new_commands()
        stops = [command for command in self._waiting if command.kind == "stop"]
        for command in stops:
            self._writer.ack(command.id, True, 0)
        return bool(stops) or self._stop.requested

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
