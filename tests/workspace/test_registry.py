"""The table of jobs as one process sees it: names, ids, states, leases, refusals."""

from __future__ import annotations

import dataclasses
import sqlite3
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_core.config.errors import NameTaken, NotFound, Refused, UserError
from llm_core.workspace.job_record import FINAL
from llm_core.workspace.json_files import read_json
from llm_core.workspace.leases import LeaseLost, supersedes, token_number
from llm_core.workspace.process_identity import ProcessIdentity, identify, this_process
from llm_core.workspace.registry import JobRecord, Registry
from llm_core.workspace.run_colors import COLORS, DASHES, next_style
from llm_core.workspace.runs import prepare_run_folder

ME = this_process()
GONE = dataclasses.replace(ME, start_time="1")


def running(registry: Registry, name: str = "run", owner: ProcessIdentity = ME, **settings: object) -> JobRecord:
    job_id = registry.add("train", name, {"name": name}, **settings).id  # pyright: ignore[reportArgumentType]
    claimed = registry.claim(owner, ["train"], job_id)
    assert claimed is not None and claimed.lease_token is not None
    return registry.move(job_id, "running", token=claimed.lease_token)


def token(record: JobRecord) -> str:
    assert record.lease_token is not None
    return record.lease_token


def test_a_new_job_is_queued_and_says_all_it_was_given(registry: Registry) -> None:
    record = registry.add("train", "Тест 1", {"model": {"kind": "lstm"}, "rate": float("nan")})
    assert registry.get(record.id) == record
    assert (record.state, record.name, record.attempts, record.owner, record.result) == (
        "queued",
        "Тест 1",
        0,
        None,
        {},
    )
    assert record.config == {"model": {"kind": "lstm"}, "rate": None}
    assert record.created_at > 0 and record.started_at is None and record.ended_at is None
    assert len(record.id) == 10


def test_a_whole_life(registry: Registry) -> None:
    job = registry.add("train", "a", {})
    claimed = registry.claim(ME, ["train"])
    assert claimed is not None and claimed.id == job.id
    assert (claimed.state, claimed.attempts, claimed.owner) == ("starting", 1, ME)
    record = registry.move(job.id, "running", token=token(claimed))
    assert record.started_at is not None and record.lease_token == claimed.lease_token
    record = registry.move(job.id, "paused", token=token(claimed), reason="asked")
    assert (record.state, record.reason, record.owner, record.lease_token) == ("paused", "asked", None, None)
    assert not record.is_final and record.ended_at is None
    with pytest.raises(LeaseLost):
        registry.move(job.id, "running", token=token(claimed))
    with pytest.raises(Refused):
        registry.move(job.id, "running")
    registry.resume(job.id)
    claimed = registry.claim(ME, ["train"])
    assert claimed is not None and claimed.attempts == 1 and claimed.reason == ""
    registry.move(job.id, "running", token=token(claimed))
    registry.set_result(job.id, token(claimed), {"parameters": 7, "loss": 2.0})
    record = registry.move(job.id, "finished", token=token(claimed), result={"loss": float("nan")})
    assert (record.state, record.result) == ("finished", {"parameters": 7, "loss": None})
    assert record.ended_at is not None and record.owner is None and record.lease_token is None
    with pytest.raises(Refused, match="Start a new run with a larger budget"):
        registry.resume(job.id)
    record = registry.resume(job.id, even_finished=True)
    assert (record.state, record.ended_at) == ("queued", None)


def test_names_are_unique_for_runs(registry: Registry) -> None:
    first = registry.add("train", "a", {})
    with pytest.raises(NameTaken, match=first.id):
        registry.add("train", "a", {})
    second = registry.add("train", registry.free_name("train", "a"), {})
    assert second.name == "a-2" and registry.free_name("train", "a") == "a-3"
    registry.add("import", "a", {})
    with pytest.raises(NameTaken):
        registry.rename(second.id, "a")


def test_other_jobs_may_be_asked_for_again_once_they_ended(registry: Registry) -> None:
    first = registry.add("import", "book", {})
    with pytest.raises(NameTaken, match="under way"):
        registry.add("import", "book", {})
    registry.cancel(first.id)
    second = registry.add("import", "book", {})
    assert registry.find("book", "import").id == second.id


@pytest.mark.parametrize("name", ["", "a/b", "a\u202eb", "x" * 101])
def test_bad_names_are_refused_before_anything_is_written(registry: Registry, name: str) -> None:
    with pytest.raises(UserError):
        registry.add("train", name, {})
    assert registry.jobs() == []


def test_one_intention_makes_one_job(registry: Registry) -> None:
    first = registry.add("train", "a", {"seed": 1}, once="click-1")
    assert registry.add("train", "a", {"seed": 1}, once="click-1") == first
    assert registry.add("train", "another name", {}, once="click-1") == first
    assert registry.add("train", "b", {}, once="click-2") != first
    assert len(registry.jobs()) == 2


def test_find_takes_id_then_name_then_prefix(registry: Registry) -> None:
    for number, name in enumerate(["a", "b", "c", "abcd000000"]):
        registry.add("train", name, {})
        with sqlite3.connect(registry.workspace.database) as connection:
            connection.execute("UPDATE jobs SET id = ? WHERE name = ?", (f"abc{'def'[number % 3]}00000{number}", name))
        connection.close()
    assert registry.find("abcd000000").name == "a", "an id counts before the name that looks like it"
    assert registry.find("b").id == "abce000001"
    assert registry.find("abce").name == "b" and registry.find("abcd000003").name == "abcd000000"
    with pytest.raises(NotFound, match=r"More than one run begins like this.*abcd000003"):
        registry.find("abcd0000")
    for reference in ("abc", "d", "", "%", "abce0000010"):
        with pytest.raises(NotFound, match=r"There are: .*b \(abce000001\)"):
            registry.find(reference)
    with pytest.raises(NotFound, match="There is no import job yet"):
        registry.find("b", "import")


def test_jobs_are_listed_newest_first_by_kind_and_state(registry: Registry) -> None:
    ids = [registry.add("train", f"run {number}", {}).id for number in range(4)]
    probe = registry.add("probe", "p", {})
    registry.cancel(ids[1])
    assert [job.id for job in registry.jobs("train")] == ids[::-1]
    assert [job.id for job in registry.jobs("train", ["stopped"])] == [ids[1]]
    assert registry.jobs()[0] == probe
    assert registry.jobs(states=[]) == []


def test_claims_go_by_age_and_kind(registry: Registry) -> None:
    ids = [registry.add("train", f"run {number}", {}).id for number in range(3)]
    probe = registry.add("probe", "p", {})
    foreground = registry.add("train", "mine", {}, foreground=True)
    taken = [registry.claim(ME, ["train"]) for _ in range(4)]
    assert [job and job.id for job in taken] == [*ids, None]
    assert registry.claim(ME, ["probe"], ids[0]) is None
    claimed = registry.claim(ME, ["train", "probe"])
    assert claimed is not None and claimed.id == probe.id
    mine = registry.claim(ME, ["train"], foreground.id)
    assert mine is not None and mine.foreground
    assert registry.claim(ME, ["train"], foreground.id) is None


def test_a_requeued_job_comes_before_the_others_and_gives_up_in_the_end(registry: Registry) -> None:
    record = running(registry, "a", owner=GONE, max_attempts=2)
    other = registry.add("train", "b", {})
    old_token = token(record)
    record = registry.requeue(record.id, old_token, "Its process was gone.")
    assert (record.state, record.reason, record.owner) == ("queued", "Its process was gone.", None)
    first, second = registry.claim(ME, ["train"]), registry.claim(ME, ["train"])
    assert first is not None and second is not None and (first.id, second.id) == (record.id, other.id)
    assert first.attempts == 2 and supersedes(first.lease_token, old_token)
    record = registry.requeue(record.id, token(first), "Its process was gone.")
    assert (record.state, record.attempts) == ("failed", 2)
    assert record.reason == "Its process was gone. It was tried 2 times." and record.remedy
    record = registry.resume(record.id)
    assert (record.state, record.attempts, record.reason, record.ended_at) == ("queued", 0, "", None)
    third = registry.claim(ME, ["train"])
    assert third is not None and token_number(third.lease_token) == 3


def test_a_foreground_job_is_never_queued_for_nobody(registry: Registry) -> None:
    record = running(registry, owner=GONE, foreground=True)
    record = registry.requeue(record.id, token(record), "Its process was gone.")
    assert record.state == "failed" and "Resume" in record.remedy
    assert registry.resume(record.id).foreground is False


def test_the_zombie_changes_nothing(registry: Registry) -> None:
    record = running(registry)
    zombie = token(record)
    registry.requeue(record.id, zombie, "silent")
    claimed = registry.claim(ME, ["train"])
    assert claimed is not None
    before = registry.get(record.id)
    for act in (
        lambda: registry.move(record.id, "finished", token=zombie, result={"steps": 1}),
        lambda: registry.set_result(record.id, zombie, {"steps": 1}),
        lambda: registry.hand_over(record.id, zombie, ME),
        lambda: registry.requeue(record.id, zombie, "again"),
        lambda: registry.move("0000000000", "finished", token=zombie),
    ):
        with pytest.raises(LeaseLost):
            act()
    assert registry.get(record.id) == before


def test_the_supervisor_hands_the_lease_to_the_worker(registry: Registry) -> None:
    registry.add("train", "a", {})
    claimed = registry.claim(ME, ["train"])
    assert claimed is not None
    worker = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        identity = identify(worker.pid)
        assert identity is not None
        record = registry.hand_over(claimed.id, token(claimed), identity)
        assert record.owner == identity and record.is_held
    finally:
        worker.communicate(b"")
    assert not registry.get(claimed.id).is_held


def test_resume_is_refused_while_somebody_works_and_says_who(registry: Registry) -> None:
    record = running(registry)
    with pytest.raises(Refused, match=f"process {ME.pid}"):
        registry.resume(record.id)
    queued = registry.add("train", "b", {})
    with pytest.raises(Refused, match="queue already"):
        registry.resume(queued.id)


def test_a_paused_run_comes_to_the_front_and_frees_what_it_held(registry: Registry) -> None:
    record = running(registry, "a", max_attempts=1)
    waiting = [registry.add("train", name, {}) for name in ("b", "c")]
    ended = registry.cancel(registry.add("train", "d", {}).id)
    registry.move(record.id, "paused", token=token(record), reason="asked")
    assert registry.move(record.id, "stopped", expect="paused").ended_at is not None
    other = registry.claim(ME, ["train"])
    assert other is not None and other.id == waiting[0].id, "a paused run takes no slot and is claimed by nobody"
    registry.move(other.id, "running", token=token(other))
    registry.move(other.id, "paused", token=token(other))
    registry.resume(ended.id)
    assert registry.resume(other.id).attempts == 0
    assert [record and record.id for record in (registry.claim(ME, ["train"]) for _ in range(4))] == [
        *(other.id, waiting[1].id, ended.id),
        None,
    ]


def test_files_of_a_new_run_are_put_in_place_with_it_or_not_at_all(registry: Registry) -> None:
    def prepare(job_id: str) -> None:
        (registry.workspace.runs / job_id).mkdir()
        (registry.workspace.runs / job_id / "note").write_text(job_id)

    record = registry.add("train", "a", {}, once="click", prepare=prepare)
    assert (registry.workspace.runs / record.id / "note").read_text() == record.id
    assert registry.add("train", "a", {}, once="click", prepare=prepare) == record

    def fail(job_id: str) -> None:
        prepare(job_id)
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        registry.add("train", "b", {}, prepare=fail)
    assert [folder.name for folder in registry.workspace.runs.iterdir()] == [record.id]
    assert [job.name for job in registry.jobs()] == ["a"]


def test_resume_takes_over_from_a_process_that_is_gone(registry: Registry) -> None:
    record = running(registry, owner=GONE)
    record = registry.resume(record.id, foreground=True)
    assert (record.state, record.owner, record.lease_token, record.foreground) == ("queued", None, None, True)


@pytest.mark.parametrize("state", ["stopped", "failed", "diverged"])
def test_what_ended_early_can_go_on(registry: Registry, state: str) -> None:
    record = running(registry)
    registry.move(record.id, state, token=token(record), reason="why", remedy="how")
    assert registry.resume(record.id).state == "queued"


def test_cancel_is_for_the_queue(registry: Registry) -> None:
    record = registry.cancel(registry.add("train", "a", {}).id)
    assert (record.state, record.reason) == ("stopped", "cancelled")
    with pytest.raises(Refused):
        registry.cancel(record.id)
    with pytest.raises(Refused):
        registry.cancel(running(registry, "b").id)


def test_an_expected_state_guards_a_move(registry: Registry) -> None:
    record = running(registry)
    with pytest.raises(Refused):
        registry.move(record.id, "failed", expect="starting")
    assert registry.move(record.id, "failed", expect=("starting", "running"), reason="no start").state == "failed"


def test_delete_is_refused_while_running_and_touches_nothing(registry: Registry) -> None:
    record = running(registry)
    removed: list[str] = []
    with pytest.raises(Refused, match="cannot be deleted while it is running"):
        registry.delete(record.id, lambda: removed.append("files"))
    assert removed == [] and registry.get(record.id) == record
    registry.move(record.id, "stopped", token=token(record))
    registry.delete(record.id, lambda: removed.append("files"))
    assert removed == ["files"]
    with pytest.raises(NotFound):
        registry.get(record.id)
    with pytest.raises(NotFound):
        registry.delete(record.id)


def test_a_run_whose_files_cannot_be_removed_stays_listed(registry: Registry) -> None:
    record = registry.add("train", "a", {})

    def fail() -> None:
        raise PermissionError("not yours")

    with pytest.raises(PermissionError):
        registry.delete(record.id, fail)
    assert registry.get(record.id) == record


def test_rename_reaches_the_run_folder(registry: Registry) -> None:
    record = registry.add("train", "a", {"name": "a", "seed": 3})
    folder = prepare_run_folder(registry.workspace, record)
    record = registry.rename(record.id, "b")
    assert record.name == "b" and record.config == {"name": "b", "seed": 3}
    assert read_json(folder / "config.json") == {"name": "b", "seed": 3}
    assert registry.rename(record.id, "b") == record


def test_a_finished_job_can_be_added(registry: Registry) -> None:
    record = registry.add("train", "imported", {}, state="finished")
    assert record.is_final and record.ended_at == record.created_at
    assert registry.claim(ME, ["train"]) is None


def test_threads_share_a_registry(registry: Registry) -> None:
    def work(number: int) -> None:
        for index in range(10):
            registry.add("probe", f"{number}-{index}", {})
            registry.jobs()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(registry.jobs("probe")) == 40


def test_eight_colours_come_before_the_next_dash(registry: Registry) -> None:
    records = [registry.add("train", f"run {number}", {}) for number in range(9)]
    assert [record.color for record in records] == [*COLORS, COLORS[0]]
    assert [record.dash for record in records] == [*["solid"] * 8, "dash"]
    registry.delete(records[2].id)
    assert (registry.add("train", "new", {}).color, len({*COLORS})) == (COLORS[2], 8)
    assert registry.add("probe", "p", {}).color == ""


def test_styles_repeat_evenly_when_all_are_used() -> None:
    used: list[tuple[str, str]] = []
    for _ in range(2 * len(COLORS) * len(DASHES)):
        used.append(next_style(used))
    assert all(used.count(style) == 2 for style in used)


def grounds() -> Iterator[str]:
    theme = tomllib.loads((Path(__file__).parents[2] / ".streamlit/config.toml").read_text())["theme"]
    for name in ("light", "dark"):
        yield theme[name]["backgroundColor"]


def luminance(color: str) -> float:
    channels = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("color", COLORS)
def test_every_colour_can_be_seen_on_both_grounds(color: str) -> None:
    for ground in grounds():
        low, high = sorted((luminance(color), luminance(ground)))
        assert (high + 0.05) / (low + 0.05) >= 3, ground


def test_every_way_out_of_a_final_state_is_closed(registry: Registry) -> None:
    for state in sorted(FINAL):
        record = running(registry, state)
        registry.move(record.id, state, token=token(record))
        for to in ("queued", "running", "paused", "finished", "failed"):
            with pytest.raises(Refused, match=state):
                registry.move(record.id, to)
