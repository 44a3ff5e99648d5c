"""The family of a run: parents before forks, each beginning where it was forked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from llm_core.figures.lineage import Branch, lineage
from llm_core.ui.lineage_view import _abandoned, _family, has_family  # pyright: ignore[reportPrivateUsage]
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.lineage import Lineage, write_lineage
from llm_core.workspace.metrics import MetricsWriter
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import prepare_run_folder, run_folder


def run(workspace: Workspace, name: str, parent: JobRecord | None = None, step: int = 0) -> JobRecord:
    with Registry(workspace) as registry:
        record = registry.add("train", name, {"name": name}, state="finished", result={"steps": step + 20})
    folder = prepare_run_folder(workspace, record)
    if parent is not None:
        write_lineage(folder, Lineage(parent.id, parent.name, step))
    return record


def test_the_whole_family_is_found_from_any_member(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path)
    alone, parent = run(workspace, "alone"), run(workspace, "parent")
    child = run(workspace, "child", parent, 20)
    grandchild, sibling = run(workspace, "grandchild", child, 40), run(workspace, "sibling", parent, 10)
    for member in (parent, child, grandchild, sibling):
        names = [relative.name for relative, _ in _family(workspace, member)]
        assert names == ["parent", "child", "grandchild", "sibling"]
    assert not has_family(workspace, alone) and has_family(workspace, sibling)
    orphan = run(workspace, "orphan", replace(alone, id="gone"), 5)
    assert [relative.name for relative, _ in _family(workspace, orphan)] == ["orphan"]
    (run_folder(workspace, sibling.id) / "lineage.json").write_text('{"parent": 3}')
    assert [relative.name for relative, _ in _family(workspace, sibling)] == ["sibling"], "damaged is not followed"
    with MetricsWriter(run_folder(workspace, alone.id), "000001-a") as writer:
        writer.event("rolled_back", "", step=20, data={"from_step": 31, "to_step": 20})
    assert _abandoned(workspace, alone.id) == ((20, 31),) and has_family(workspace, alone)


def test_the_picture_branches_at_the_step_of_the_fork() -> None:
    family = [
        Branch("par<b>ent", "#0072B2", 0, 40, None, abandoned=((20, 31),)),
        Branch("child", "#D55E00", 20, 60, 0, is_shown=True),
    ]
    figure = lineage(family, dark=False)
    lines = [(tuple(trace.x), tuple(trace.y)) for trace in figure.data]
    assert lines == [((0, 40), (0, 0)), ((20, 31), (0.28, 0.28)), ((20, 20), (0, 1)), ((20, 60), (1, 1))]
    assert "<b>ent" not in figure.layout.annotations[0].text
    assert figure.layout.annotations[1].text == "<b>child</b>"
