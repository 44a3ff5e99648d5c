"""A run out of its workspace and into another: all its points, its report, its zip, also while it goes on; and archives that lie."""

from __future__ import annotations

import csv
import html
import io
import json
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_core.backend import points_csv as csv_module
from llm_core.backend import run_import as import_module
from llm_core.backend.points_csv import plain_cell, points_csv
from llm_core.backend.run_archive import archive_chunks, write_archive
from llm_core.backend.run_import import import_run
from llm_core.backend.run_report import chart_report, run_report
from llm_core.config.errors import NameTaken, UserError
from llm_core.figures.standalone_page import standalone_page
from llm_core.web.vendor import plotly_source
from llm_core.workspace.adopted_runs import CopiedRuns
from llm_core.workspace.checkpoints import list_checkpoints, verify_checkpoint, write_checkpoint
from llm_core.workspace.commands import append_command, read_commands
from llm_core.workspace.job_record import PAUSED, RUNNING, JobRecord
from llm_core.workspace.leases import new_token
from llm_core.workspace.metrics import MetricsWriter, seal_metrics
from llm_core.workspace.metrics_read import last_values, read_points, segments, surviving
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.process_identity import this_process
from llm_core.workspace.registry import Registry
from llm_core.workspace.run_notes import change_notes, read_notes
from llm_core.workspace.runs import prepare_run_folder, summarise_run
from tests.backend.support import tiny

CHECKOUT = Path(__file__).resolve().parents[2]
HOSTILE = "</script><img src=x onerror=alert(1)> $\\href{javascript:alert(1)}{x}$ \u202eabc\0 {{7*7}}"


@pytest.fixture
def home(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path / "home")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path / "elsewhere")


def checkpoint(folder: Path, step: int, token: str, fill: bytes = b"w") -> None:
    names = ("model.safetensors", "optimizer.safetensors", "state.json")
    write_checkpoint(
        folder, step, {name: lambda path: void(path.write_bytes(fill * 50_000)) for name in names}, lease_token=token
    )


def void(_: object) -> None:
    pass


def started(home: Workspace, name: str = "made-here") -> tuple[JobRecord, Path, str]:
    """A run that a worker holds."""
    with Registry(home) as registry:
        config = {**tiny("lstm", f"name={name}").model_dump(mode="json")}
        added = registry.add("train", name, config)
        record = registry.claim(this_process(), ["train"], added.id)
        assert record is not None and record.lease_token is not None
        registry.move(record.id, RUNNING, token=record.lease_token)
    folder = prepare_run_folder(home, record)
    (folder / "log.txt").write_text("said\n")
    return record, folder, record.lease_token


def measured(folder: Path, token: str, *, final: bool = True) -> None:
    """Points of several keys over a resume, a sample, events, two checkpoints, a command, notes."""
    with MetricsWriter(folder, token) as writer:
        first = writer.begin_segment(None, 0)
        for step in range(1, 31):
            writer.point("train_loss", step, step * 64, step / 10, 4.0 / step if step != 7 else float("nan"))
        writer.point("val_loss", 20, 1280, 2.0, 1.5)
        writer.point('=cmd|"x"', 1, 64, 0.1, -1.0)
        writer.event("checkpoint", f"Checkpoint {HOSTILE}", step=20)
        writer.begin_segment(first, 20)
        writer.event("resumed", "Resumed.", step=20)
        writer.point("val_loss", 20, 1280, 2.0, 1.25)
        for step in range(21, 41):
            writer.point("train_loss", step, step * 64, step / 10, 3.0 / step)
        writer.sample(40, "To be ", f"or {HOSTILE}", {"seed": 1})
        if final:
            writer.record_state("stopped", reason="Stopped on request.", result={"steps": 40, "val_loss": 1.25})
    for step in (20, 40):
        checkpoint(folder, step, token)
    append_command(folder, "checkpoint", {}, "test")
    change_notes(folder, text=f"Why? {HOSTILE}".replace("\0", "").replace("\u202e", ""), tag=["kept"])


def rows_of(folder: Path, *, with_abandoned: bool = False) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(points_csv(folder, with_abandoned=with_abandoned)))))


def test_all_points_are_written_once_and_exactly(home: Workspace) -> None:
    _, folder, token = started(home)
    measured(folder, token)
    rows = rows_of(folder)
    assert list(rows[0]) == ["key", "step", "tokens", "seconds", "value"]
    losses = [row for row in rows if row["key"] == "train_loss"]
    assert [int(row["step"]) for row in losses] == list(range(1, 41)), "the stretch that was given up is left out"
    assert losses[6]["value"] == "nan" and float(losses[39]["value"]) == 3.0 / 40
    assert [row["value"] for row in rows if row["key"] == "val_loss"] == ["1.25"], (
        "measured again: the later one counts"
    )
    assert rows[0]["key"] == '\'=cmd|"x"', "no table program takes it for a formula"
    assert len(rows_of(folder, with_abandoned=True)) == 30 + 20 + 2 + 1
    assert [plain_cell(text) for text in ("a=b", "+1", "-x", "@a", "\tx")] == ["a=b", "'+1", "'-x", "'@a", "'\tx"]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stretches=st.lists(st.tuples(st.integers(0, 25), st.integers(0, 12)), min_size=1, max_size=5))
def test_page_by_page_gives_what_survives(
    stretches: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_module, "PAGE_POINTS", 3)
    folder = tmp_path_factory.mktemp("run")
    parent = None
    with MetricsWriter(folder, new_token(1)) as writer:
        for from_step, count in stretches:
            parent = writer.begin_segment(parent, from_step)
            for step in range(from_step, from_step + count):  # the first is measured again right after the resume
                writer.point("a", step, step, 0.0, float(parent))
    points = read_points(folder, "a")
    kept = points.where(surviving(points, segments(folder)))
    expected = list(zip(kept.step.tolist(), kept.value.tolist(), strict=True))
    assert [(int(row["step"]), float(row["value"])) for row in rows_of(folder)] == expected


def test_a_zip_opens_elsewhere_as_the_same_run(home: Workspace, elsewhere: Workspace, tmp_path: Path) -> None:
    record, folder, token = started(home)
    measured(folder, token)
    seal_metrics(folder)
    (folder / "checkpoints" / "step-00000060.tmp-00ff").mkdir()
    (folder / "link").symlink_to("/etc/passwd")
    file = tmp_path / "run.zip"
    assert write_archive(folder, file) == file.stat().st_size
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "home", "run.zip"]
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
    assert f"{record.id}/metrics.db" in names and f"{record.id}/checkpoints/step-00000040/manifest.json" in names
    assert not [name for name in names if "tmp" in name or "link" in name or "-wal" in name or "lock" in name]

    imported = import_run(elsewhere, file)
    there = elsewhere.runs / record.id
    assert (imported.record.id, imported.record.name, imported.record.state) == (record.id, "made-here", "stopped")
    assert (imported.record.reason, imported.problems) == ("Stopped on request.", [])
    assert rows_of(there) == rows_of(folder)
    assert [info.step for info in list_checkpoints(there)] == [20, 40]
    assert not any(verify_checkpoint(info.path) for info in list_checkpoints(there))
    assert read_notes(there) == read_notes(folder) and read_notes(there).tags == ("kept",)
    assert [command.kind for command in read_commands(there)] == ["checkpoint"]
    assert summarise_run(elsewhere, imported.record).val_loss == 1.25
    assert abs((there / "config.json").stat().st_mtime - (folder / "config.json").stat().st_mtime) <= 2
    assert stat.S_IMODE((there / "metrics.db").stat().st_mode) == 0o600
    with pytest.raises(NameTaken, match="already"):
        import_run(elsewhere, file)
    with Registry(elsewhere) as registry:
        assert registry.resume(record.id).state == "queued", "it can go on here"

    small = tmp_path / "small.zip"
    write_archive(folder, small, with_checkpoints=False)
    third = open_workspace(tmp_path / "third")
    assert import_run(third, small).record.state == "stopped" and not list_checkpoints(third.runs / record.id)
    # A folder goes the same way, and a damaged checkpoint is left out and named.
    (folder / "link").unlink()
    weights = folder / "checkpoints" / "step-00000040" / "model.safetensors"
    weights.write_bytes(b"W" + weights.read_bytes()[1:])
    fourth = open_workspace(tmp_path / "fourth")
    by_folder = import_run(fourth, folder)
    assert [info.step for info in list_checkpoints(fourth.runs / record.id)] == [20]
    assert len(by_folder.problems) == 1 and "step-00000040" in by_folder.problems[0]
    assert rows_of(fourth.runs / record.id) == rows_of(folder)


def test_a_run_in_progress_gives_a_consistent_copy(home: Workspace, elsewhere: Workspace) -> None:
    record, folder, token = started(home)
    stop = threading.Event()
    begun = threading.Event()

    def work() -> None:
        with MetricsWriter(folder, token) as writer:
            step = 0
            while not stop.is_set():
                step += 1
                for _ in range(20):
                    writer.point("a", step, step, 0.0, 1.0)
                writer.point("b", step, step, 0.0, 1.0)
                writer.commit()
                if step % 3 == 0:
                    checkpoint(folder, step % 12, token, fill=bytes([step % 256]))
                    begun.set()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        begun.wait()
        for round_number in range(4):
            file = elsewhere.root / f"{round_number}.zip"
            write_archive(folder, file)
            copy = open_workspace(elsewhere.root / f"copy-{round_number}")
            imported = import_run(copy, file)
            there = copy.runs / record.id
            assert imported.problems == [], "every checkpoint in it is whole and of one writing"
            assert len(read_points(there, "a")) == 20 * len(read_points(there, "b")), "no half commit"
            newest = list_checkpoints(there)[-1]
            assert not verify_checkpoint(newest.path)
            assert imported.record.state == "stopped" and "while the run went on" in imported.record.reason
    finally:
        stop.set()
        thread.join()
    # The same by hand, straight from the folder: never taken for a run that somebody here would have to watch or end.
    with Registry(elsewhere) as registry:
        shutil.copytree(folder, elsewhere.runs / record.id)
        assert CopiedRuns(elsewhere).take_in(registry) == [], "it may still be on its way"
        (taken,) = CopiedRuns(elsewhere, settled_seconds=0.0).take_in(registry)
    assert (taken.id, taken.state, taken.owner) == (record.id, "stopped", None)
    assert "copied" in taken.reason


def test_folders_that_appear_are_found_without_a_restart(home: Workspace, elsewhere: Workspace) -> None:
    record, folder, token = started(home)
    measured(folder, token, final=False)
    with MetricsWriter(folder, token) as writer:
        writer.record_state(PAUSED, reason="Paused.")
    with Registry(elsewhere) as registry:
        copied = CopiedRuns(elsewhere, settled_seconds=0.0)
        other = registry.add("train", "made-here", tiny("gru").model_dump(mode="json"))
        assert copied.take_in(registry) == []
        shutil.copytree(folder, elsewhere.runs / record.id)
        (elsewhere.runs / "broken").mkdir()
        (elsewhere.runs / "broken" / "config.json").write_text('{"model": {"kind": "no-such-family"}}')
        (elsewhere.runs / "nothing").mkdir()
        (elsewhere.runs / "link").symlink_to(folder)
        (found,) = copied.take_in(registry)
        assert (found.id, found.state) == (record.id, PAUSED)
        assert found.name == f"made-here-{record.id}", "two runs never share a name"
        assert found.color != other.color
        assert copied.take_in(registry) == [] and registry.adopt(record.id) == found
        (said,) = [event for event in registry.events() if event.kind == "unreadable_run"]
        assert "broken" in said.message and "no-such-family" in said.message
        assert CopiedRuns(elsewhere, settled_seconds=0.0).take_in(registry) == []
        assert len([event for event in registry.events() if event.kind == "unreadable_run"]) == 1, "said once"


def hostile_zips(folder: Path) -> Iterator[tuple[str, Path, str]]:
    """Archives that no run would make: what is wrong, the file, a word of the refusal."""
    config = json.dumps(tiny("lstm", "name=x").model_dump(mode="json"))

    def made(
        name: str, *members: tuple[str | zipfile.ZipInfo, bytes | str], compress: int = zipfile.ZIP_DEFLATED
    ) -> Path:
        path = folder / f"{name}.zip"
        with zipfile.ZipFile(path, "w", compress) as archive:
            for member, content in members:
                archive.writestr(member, content)
        return path

    whole = ("r/config.json", config)
    for number, name in enumerate(
        ("../evil", "r/../../evil", "/evil", "r/a\\..\\evil", "r//evil", "r/./evil", "r/\x01evil")
    ):
        yield name, made(f"name-{number}", whole, (name, "x")), "archive names|file name"
    link = zipfile.ZipInfo("r/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    yield "link", made("link", whole, (link, "/etc/passwd")), "neither a file nor a folder"
    yield "bomb", made("bomb", whole, ("r/log.txt", b"\0" * (8 * 2**20))), "bytes for so small a file"
    yield "twice", made("twice", whole, ("r/CONFIG.json", config)), "twice"
    yield "deep", made("deep", whole, ("r/" + "a/" * 9 + "b", "x")), "deep"
    yield "no run", made("no-run", ("r/readme.txt", "x")), "holds no run"
    yield "settings", made("settings", ("r/config.json", '{"model": {"kind": "evil"}}')), "evil"
    yield "points", made("points", whole, ("r/metrics.db", b"not a database at all" * 100)), "damaged"
    (folder / "plain.zip").write_bytes(b"MZ\x90")
    yield "no zip", folder / "plain.zip", "not a zip"
    trigger = folder / "metrics.db"
    with sqlite3.connect(trigger) as connection:
        connection.execute("CREATE TABLE points (id INTEGER)")
        connection.execute("CREATE TRIGGER t AFTER INSERT ON points BEGIN DELETE FROM points; END")
    connection.close()
    yield "trigger", made("trigger", whole, ("r/metrics.db", trigger.read_bytes())), "by itself"
    lying = made("lying", whole, ("r/log.txt", b"a" * 10_000), compress=zipfile.ZIP_STORED)
    lying.write_bytes(lying.read_bytes()[: -len(lying.read_bytes()) // 3])
    yield "cut off", lying, "not a zip"
    flipped = made("flipped", whole, ("r/log.txt", os.urandom(500).hex()))
    with zipfile.ZipFile(flipped) as archive:
        place = archive.getinfo("r/log.txt").header_offset + 60
    damaged = bytearray(flipped.read_bytes())
    damaged[place : place + 20] = b"\xff" * 20
    flipped.write_bytes(damaged)
    yield "flipped", flipped, "not a zip"
    many = folder / "many.zip"
    with zipfile.ZipFile(many, "w") as archive:
        for number in range(51):
            archive.writestr(zipfile.ZipInfo(f"r/{number}"), b"")
    yield "many", many, "too many files"


def test_archives_that_lie_are_refused_and_leave_nothing(
    elsewhere: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module, "MAXIMUM_FILES", 50)
    monkeypatch.setattr(import_module, "FREE_GROWTH_BYTES", 2**20)
    for what, file, word in hostile_zips(tmp_path):
        with pytest.raises(UserError) as refused:
            import_run(elsewhere, file)
        assert re.search(word, str(refused.value)), (what, refused.value)
        assert list(elsewhere.runs.iterdir()) == [], what
    assert not (tmp_path / "evil").exists()
    with Registry(elsewhere) as registry:
        assert registry.jobs() == []
    with pytest.raises(UserError, match="no such file"):
        import_run(elsewhere, tmp_path / "gone.zip")


def test_the_report_shows_everything_and_runs_nothing(home: Workspace) -> None:
    record, folder, token = started(home)
    measured(folder, token)
    with Registry(home) as registry:
        record = registry.move(record.id, "stopped", token=token, reason=HOSTILE.replace("\0", ""))
    report = run_report(home, record, verdict="Validation follows training.")
    page = standalone_page(report, plotly_source())
    assert page.count("Plotly.react(") == 1 and "https://cdn" not in page.replace(plotly_source(), "")
    body = report.body
    for word in (
        "Validation follows training.",
        "To be or",
        "Checkpoint",
        "After step 40",
        "can go on from here",
        "kept",
    ):
        assert word in body, word
    assert "optimizer.learning_rate" in body and "Why?" in body
    assert "<img" not in body and "<script" not in body and "\u202e" not in body and "\0" not in body
    assert html.escape("<img src=x onerror=alert(1)>") in body
    losses = report.charts["chart-1"]
    assert [curve.label for curve in losses.curves] == ["training", "validation"]
    assert losses.curves[0].x == list(range(1, 41)) and losses.y_label == "loss, nats per token"
    drawn = json.loads(re.search(r'id="charts">(.*?)</script>', page, re.DOTALL)[1])  # pyright: ignore
    assert drawn["chart-1"]["data"][0]["y"][6] is None, "a gap where NaN was measured"
    assert "<" not in json.dumps(drawn["chart-1"]["data"][-1]["text"]), "Plotly reads markup in labels"
    scripts = re.findall(r"<script>", page)
    assert len(scripts) == 2 and page.count("'sha256-") == 2, "only the two scripts that are named may run"
    chart = chart_report(home, record, ["val_loss"])
    assert [curve.y for curve in chart.charts["chart-1"].curves] == [[1.25]]
    with pytest.raises(UserError, match="no such curve"):
        chart_report(home, record, ["nothing"])


AS_NOBODY = """
import os, sys
from pathlib import Path
from llm_core.backend.points_csv import points_csv
from llm_core.backend.run_archive import archive_chunks
from llm_core.workspace.checkpoints import list_checkpoints, verify_checkpoint
from llm_core.workspace.metrics_read import events, samples
from llm_core.workspace.run_notes import read_notes
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
folder = Path(sys.argv[1])
assert not os.access(folder, os.W_OK)
assert not any(verify_checkpoint(info.path) for info in list_checkpoints(folder))
print(len("".join(points_csv(folder)).splitlines()), len(events(folder)), len(samples(folder)), read_notes(folder).tags)
size = sum(len(chunk) for chunk in archive_chunks(folder))
print(size > 100_000, sorted(path.name for path in folder.iterdir()))
"""


@pytest.mark.parametrize("sealed", [True, False])
def test_a_run_in_a_read_only_folder_is_read_and_copied_out(home: Workspace, sealed: bool) -> None:
    _, folder, token = started(home)
    measured(folder, token)
    writer = MetricsWriter(folder, token)
    if sealed:
        writer.close()
        assert seal_metrics(folder)
    else:  # what a killed writer leaves
        writer.point("late", 1, 1, 0.0, 1.0)
        writer.commit()
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        copy = Path(place) / "run"
        shutil.copytree(folder, copy, ignore=lambda _, names: [name for name in names if name.endswith("-shm")])
        for path in [*copy.rglob("*"), copy]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, copy], capture_output=True, text=True, check=False, cwd=CHECKOUT, env=environment
        )  # fmt: skip
        for path in [copy, *copy.rglob("*")]:
            path.chmod(0o755)
    writer.close()
    first, second = done.stdout.splitlines() or ["", done.stderr]
    assert first == f"{43 + (not sealed)} 3 1 ('kept',)", done.stderr
    assert second.startswith("True [") and ("metrics.db-wal" in second) is not sealed


def test_a_copy_in_memory_is_bounded(home: Workspace) -> None:
    _, folder, token = started(home)
    names = ("model.safetensors",)
    write_checkpoint(
        folder,
        1,
        {name: lambda path: void(path.write_bytes(os.urandom(2**20) * 12)) for name in names},
        lease_token=token,
    )
    assert max(len(chunk) for chunk in archive_chunks(folder)) < 2 * 2**20
    assert last_values(folder, ["a"]) == {}
