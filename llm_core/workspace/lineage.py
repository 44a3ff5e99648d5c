"""Where a forked run comes from: its parent and the step it left it at, in the run's own folder.

Written once, before the fork is queued; a copied run folder carries it. Not here: forking (`llm_core.backend.run_commands`), the
stretches within one run (`metrics_read.segments`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llm_core.workspace.json_files import read_json, write_json

FILE_NAME = "lineage.json"


@dataclass(frozen=True)
class Lineage:
    """A fork's origin."""

    parent: str
    """Id of the run it was forked from, which may be gone by now."""
    parent_name: str
    step: int
    """Updates that the weights had seen."""


def write_lineage(run_folder: Path, lineage: Lineage) -> None:
    """Keep the origin of a fork."""
    write_json(
        run_folder / FILE_NAME, {"parent": lineage.parent, "parent_name": lineage.parent_name, "step": lineage.step}
    )


def read_lineage(run_folder: Path) -> Lineage | None:
    """The origin of a run; None when it is no fork or the file does not say what it should."""
    values = read_json(run_folder / FILE_NAME)
    if values is None:
        return None
    parent, name, step = values.get("parent"), values.get("parent_name"), values.get("step")
    if not (isinstance(parent, str) and isinstance(name, str) and isinstance(step, int)):
        return None
    return Lineage(parent, name, step)
