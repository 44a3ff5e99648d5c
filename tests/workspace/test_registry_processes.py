"""The registry between real processes: each job is claimed once, nothing accepted is lost to kill -9, damage is repaired once."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from subprocess import Popen

from llm_core.workspace.json_files import write_json
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry

CLAIM_ALL = """
import sys
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.process_identity import this_process
from llm_core.workspace.registry import Registry
with Registry(open_workspace(sys.argv[1])) as registry:
    print("ready", flush=True)
    sys.stdin.readline()
    while (record := registry.claim(this_process(), ["train"])) is not None:
        registry.move(record.id, "running", token=record.lease_token)
        registry.move(record.id, "finished", token=record.lease_token, result={"by": this_process().pid})
        print(record.id, record.attempts, flush=True)
"""

ADD_FOR_EVER = """
import sys
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.registry import Registry
with Registry(open_workspace(sys.argv[1])) as registry:
    number = 0
    while True:
        number += 1
        print(registry.add("probe", f"job {number}", {"text": "x" * 5_000}).id, flush=True)
"""

OPEN = """
import sys
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.registry import Registry
print("ready", flush=True)
sys.stdin.readline()
with Registry(open_workspace(sys.argv[1])) as registry:
    print(len(registry.jobs()), len(registry.events()), flush=True)
"""

CLICK = """
import sys
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.registry import Registry
with Registry(open_workspace(sys.argv[1])) as registry:
    print("ready", flush=True)
    sys.stdin.readline()
    print(registry.add("train", registry.free_name("train", "demo"), {}, once="one click").id, flush=True)
"""


def race(children: list[Popen[str]]) -> list[list[str]]:
    """Let all children go at once; the lines each of them says until its end."""
    for child in children:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    said: list[list[str]] = []
    for child in children:
        output, errors = child.communicate(timeout=60)
        assert child.returncode == 0, errors
        said.append(output.splitlines())
    return said


def test_each_job_is_claimed_exactly_once(
    workspace: Workspace, registry: Registry, start_python: Callable[..., Popen[str]]
) -> None:
    ids = [registry.add("train", f"run {number}", {}).id for number in range(100)]
    said = race([start_python(CLAIM_ALL, workspace.root) for _ in range(8)])
    claims = Counter(line for lines in said for line in lines)
    assert claims == Counter(f"{job_id} 1" for job_id in ids)
    assert {record.state for record in registry.jobs()} == {"finished"}


def test_a_double_click_from_two_processes_makes_one_run(
    workspace: Workspace, registry: Registry, start_python: Callable[..., Popen[str]]
) -> None:
    said = race([start_python(CLICK, workspace.root) for _ in range(3)])
    assert {tuple(lines) for lines in said} == {(registry.jobs()[0].id,)}
    assert len(registry.jobs()) == 1


def test_what_was_accepted_survives_kill_9(workspace: Workspace, start_python: Callable[..., Popen[str]]) -> None:
    accepted: list[str] = []
    for _ in range(3):
        writer = start_python(ADD_FOR_EVER.replace("job {number}", f"{len(accepted)}-{{number}}"), workspace.root)
        assert writer.stdout is not None
        for _ in range(15):
            accepted.append(writer.stdout.readline().strip())
        writer.kill()
        rest, _ = writer.communicate()
        accepted += rest.split()
    with Registry(workspace) as registry:
        stored = {record.id for record in registry.jobs()}
        assert stored >= set(accepted) and len(stored) - len(accepted) <= 3
        assert registry.events() == []
    connection = sqlite3.connect(workspace.database)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    connection.close()


def test_many_processes_repair_a_damaged_registry_once(
    workspace: Workspace, start_python: Callable[..., Popen[str]]
) -> None:
    workspace.database.write_bytes(b"this was a database " * 1_000)
    for run_id in ("aaaaaaaaaa", "bbbbbbbbbb"):
        (workspace.runs / run_id).mkdir()
        write_json(workspace.runs / run_id / "config.json", {"name": run_id[:3]})
    said = race([start_python(OPEN, workspace.root) for _ in range(3)])
    assert said == [["2 1"]] * 3
    assert len(list(workspace.root.glob("glassbox.db.damaged-*"))) == 1
