"""Several runs queued with one click: all of them are checked before the first is queued.

Not here: which runs (`race.py`, `sweeps.py`), a single run (`jobs.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from llm_core.backend.launcher import start_supervisor
from llm_core.backend.readiness import check_readiness
from llm_core.backend.run_groups import group_of
from llm_core.config.errors import UserError
from llm_core.config.run import RunConfig
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.paths import MAXIMUM_NAME_CHARACTERS, Workspace, check_name
from llm_core.workspace.registry import Registry

_ROOM_FOR_A_NUMBER = 5


def submit_group(workspace: Workspace, configs: Sequence[RunConfig], *, once: str | None = None) -> list[JobRecord]:
    """Queue runs in the order given, each under its name or the next free one.

    Args:
        once: key of the click; the second call with it returns the runs of the first.

    Raises:
        UserError: one of them cannot work; then none is queued.
    """
    for config in configs:
        problems = check_readiness(workspace, config).blocking
        if problems:
            first = problems[0]
            raise UserError(f"{config.name}: {first.what}", value=first.value, limit=first.limit, remedy=first.remedy)
    records: list[JobRecord] = []
    with Registry(workspace) as registry:
        for number, config in enumerate(configs):
            name = registry.free_name("train", usable_name(config.name))
            values = config.model_copy(update={"name": name}).model_dump(mode="json")
            key = None if once is None else f"{once}-{number}"
            records.append(registry.add("train", name, values, once=key))
    start_supervisor(workspace)
    return records


def free_group(workspace: Workspace, wish: str) -> str:
    """`wish`, or `wish 2`, `wish 3`, … where runs of that group are there already.

    Raises:
        UserError: nothing may be called so.
    """
    check_name(wish)
    with Registry(workspace) as registry:
        taken = {group_of(record.config) for record in registry.jobs("train")}
    number, group = 1, wish
    while group in taken:
        number, group = number + 1, f"{wish} {number + 1}"
    return group


def usable_name(text: str) -> str:
    """The text as a run can be called, with room for a number behind it."""
    plain = "".join("-" if sign in "/\\" else sign for sign in text if sign.isprintable())
    return plain[: MAXIMUM_NAME_CHARACTERS - _ROOM_FOR_A_NUMBER].strip()
