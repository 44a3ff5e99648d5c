"""The worker process: one job under one lease, from taking it over to its final state.

Whatever happens ends in a state with a reason: an error for people keeps its words, running out of memory says what to lower, anything
else is logged in full. Not here: the jobs themselves (`worker_train.py`, `worker_jobs.py`).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from llm_core.backend.endings import CANCELLED, Cancelled, StopSignal, explain
from llm_core.backend.notices import tell_ending
from llm_core.backend.process_log import say, say_where_it_broke
from llm_core.backend.thread_waiting import thread_environment
from llm_core.config.errors import Refused, UserError
from llm_core.config.timing import Timing
from llm_core.workspace.job_record import FAILED, JOB_KINDS, RUNNING, STOPPED, JobRecord
from llm_core.workspace.leases import LeaseLost
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.process_identity import this_process
from llm_core.workspace.registry import Registry


def run_job(workspace: Workspace, record: JobRecord, timing: Timing, stop: StopSignal | None = None) -> JobRecord:
    """Do a claimed job to its end and return its final record. LeaseLost passes through: the job is somebody else's then."""
    token = record.lease_token
    assert token is not None
    os.environ.update(thread_environment())
    stop = stop or StopSignal()
    restore = stop.install()
    try:
        with Registry(workspace) as registry:
            registry.hand_over(record.id, token, this_process())
            registry.move(record.id, RUNNING, token=token)
        reason, remedy = _do(workspace, record, token, stop, timing)
        if reason:
            state = STOPPED if reason == CANCELLED else FAILED
            with Registry(workspace) as registry:
                if registry.get(record.id).state == RUNNING:
                    registry.move(record.id, state, token=token, reason=reason, remedy=remedy)
    finally:
        restore()
    with Registry(workspace) as registry:
        record = registry.get(record.id)
    if told := tell_ending(record):
        say(told)
    return record


def _do(workspace: Workspace, record: JobRecord, token: str, stop: StopSignal, timing: Timing) -> tuple[str, str]:
    """Run the job; reason and remedy when it failed, empty when it set its own final state."""
    try:
        if record.kind == "train":
            from llm_core.backend.worker_train import run_training

            run_training(workspace, record, token, stop, timing)
        else:
            from llm_core.backend.worker_jobs import run_short_job

            run_short_job(workspace, record, token, stop, timing)
    except LeaseLost:
        raise
    except Cancelled:
        return CANCELLED, ""
    except UserError as error:
        say(error)
        return explain(error)
    except Exception as error:  # the last line of defence: the log keeps everything, the person gets the gist
        say_where_it_broke()
        return explain(error)
    return "", ""


def run_in_foreground(workspace: Workspace, job_id: str, timing: Timing, stop: StopSignal | None = None) -> JobRecord:
    """Claim one queued job in this very process and do it. Ctrl-C once saves and stops, twice leaves at once.

    Args:
        stop: tells the caller afterwards whether it was this process that was asked to end.

    Raises:
        Refused: somebody else has taken it.
    """
    with Registry(workspace) as registry:
        record = registry.claim(this_process(), JOB_KINDS, job_id)
    if record is None:
        raise Refused("Somebody else has taken this job", value=job_id, remedy="See `glassbox runs`")
    return run_job(workspace, record, timing, stop)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of the process."""
    parser = argparse.ArgumentParser(prog="glassbox worker", description="Does one job.")
    parser.add_argument("--workspace", required=True)
    parser.add_argument("--job", required=True)
    parser.add_argument("--token", required=True)
    options = parser.parse_args(arguments)
    workspace = open_workspace(options.workspace)
    with Registry(workspace) as registry:
        record = registry.get(options.job)
    if record.lease_token != options.token:
        say("The lease of this job belongs to somebody else.")
        return 1
    try:
        record = run_job(workspace, record, Timing.from_environment())
    except LeaseLost as error:
        say(error)
        return 1
    return 0 if record.state in ("finished", "stopped", "paused") else 1


if __name__ == "__main__":
    sys.exit(main())
