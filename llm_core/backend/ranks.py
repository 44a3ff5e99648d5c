"""The other processes of a run that several share: started by its worker, they do the steps and nothing else.

They end with the worker, whatever ends it: each watches a pipe that only the worker holds open. Not here: how work is shared
(`llm_core.training.data_parallel`).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from llm_core.backend.thread_waiting import thread_environment
from llm_core.config.errors import UserError
from llm_core.text.token_set import TokenSet, open_token_set
from llm_core.training.beginnings import Beginning, begin_trainer
from llm_core.training.data_parallel import Alone, ProcessGroup, Ranks
from llm_core.training.execution import Execution

_SECONDS_TO_DIE = 0.5
"""A connection breaks a moment before the process that held it has ended."""


@contextmanager
def ranks_of(beginning: Beginning, folder: Path, tokens: TokenSet, execution: Execution) -> Generator[Ranks]:
    """The processes of a run, this one leading; the others are gone when the block is left.

    Args:
        beginning: where all of them begin.
        folder: of the run; the processes meet in it.
        execution: how to compute, the same everywhere.

    Raises:
        UserError: one of the others ended before its time.
    """
    size = beginning.config.hardware.num_processes
    if size == 1:
        yield Alone()
        return
    for left in folder.glob("ranks-*"):  # by a worker that was killed
        left.unlink(missing_ok=True)
    meeting_place = folder / f"ranks-{uuid.uuid4().hex}"
    settings = folder / "ranks.json"
    settings.write_text(
        json.dumps(
            {
                "config": beginning.config.model_dump(mode="json"),
                "checkpoint": None if beginning.checkpoint is None else str(beginning.checkpoint),
                "is_exact": beginning.is_exact,
                "tokens": str(tokens.path),
                "execution": execution.to_dict(),
                "meeting_place": str(meeting_place),
            }
        ),
        encoding="utf-8",
    )
    helpers = [_start(settings, rank) for rank in range(1, size)]
    try:
        group = ProcessGroup(meeting_place, 0, size, execution.device, lambda: _check_alive(helpers))
        try:
            yield group
        except RuntimeError:
            # A sum that fails tells of a broken connection; who broke it is what people can act on.
            time.sleep(_SECONDS_TO_DIE)
            _check_alive(helpers)
            raise
        finally:
            group.leave()
    finally:
        for helper in helpers:
            with helper:  # closes the pipe and waits for the end
                helper.kill()
        meeting_place.unlink(missing_ok=True)
        settings.unlink(missing_ok=True)


def _check_alive(helpers: list[subprocess.Popen[bytes]]) -> None:
    for rank, helper in enumerate(helpers, start=1):
        if helper.poll():  # 0 is the end of the run
            raise UserError(
                f"Process {rank + 1} of the {len(helpers) + 1} that share this run ended before its time",
                value=f"exit status {helper.returncode}",
                remedy="The log tells why. Resume goes on from the last checkpoint; hardware.num_processes=1 needs no others",
            )


def _start(settings: Path, rank: int) -> subprocess.Popen[bytes]:
    """A helper that inherits the run's log, and a pipe that closes when this process ends."""
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONSAFEPATH": "1", **thread_environment()}
    command = [sys.executable, "-m", "llm_core.backend.ranks", str(settings), str(rank)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)


def main() -> None:
    """One helper: the same steps as the leader, until it leaves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", type=Path)
    parser.add_argument("rank", type=int)
    options = parser.parse_args()
    # Ctrl-C in a terminal reaches the whole group; when to end is the worker's business, which finishes its step first.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_worker, daemon=True).start()

    from llm_core.config.run import config_from_dict

    values = json.loads(options.settings.read_text(encoding="utf-8"))
    config = config_from_dict(values["config"])
    tokens = open_token_set(Path(values["tokens"]))
    execution = Execution.from_dict(values["execution"])
    size = config.hardware.num_processes
    ranks = ProcessGroup(Path(values["meeting_place"]), options.rank, size, execution.device)
    checkpoint = None if values["checkpoint"] is None else Path(values["checkpoint"])
    trainer, _ = begin_trainer(Beginning(config, checkpoint, is_exact=values["is_exact"]), tokens, execution)
    trainer.share_with(ranks)
    while not trainer.is_done:
        trainer.advance()
        if trainer.must_read and not trainer.take_reports()[-1].is_finite:
            break


def _end_with_the_worker() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
