"""Reading metrics: which points survive, folders that cannot be written to, damage, and large files."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_core.config.errors import UserError
from llm_core.workspace import metrics_read
from llm_core.workspace.leases import new_token
from llm_core.workspace.metrics import MetricsWriter, seal_metrics
from llm_core.workspace.metrics_read import (
    PointArrays,
    Segment,
    few_points,
    last_values,
    metric_keys,
    probes,
    read_points,
    samples,
    segments,
    surviving,
)

CHECKOUT = Path(__file__).resolve().parents[2]


def test_a_run_that_never_started_reads_as_empty(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        assert len(read_points(folder, "a")) == 0
        assert metric_keys(folder) == metrics_read.events(folder) == samples(folder) == probes(folder, "a") == []
        assert metrics_read.heartbeat(folder) is None and metrics_read.read_lease(folder) is None
        assert segments(folder) == metrics_read.acks(folder) == [] and last_values(folder, ["a"]) == {}
        assert len(few_points(folder, "a", 10)) == 0
    (tmp_path / "metrics.db").touch()
    assert metric_keys(tmp_path) == []
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.db"}


def test_cursors_keys_and_last_values(tmp_path: Path) -> None:
    with MetricsWriter(tmp_path, new_token(1)) as writer:
        for step in range(10):
            writer.point("train_loss", step, step, 0.0, float(step))
        writer.point("val_loss", 9, 9, 0.0, float("nan"))
    points = read_points(tmp_path, "train_loss")
    assert read_points(tmp_path, "train_loss", int(points.id[6])).step.tolist() == [7, 8, 9]
    assert len(read_points(tmp_path, "train_loss", int(points.id[-1]))) == 0
    assert metric_keys(tmp_path) == ["train_loss", "val_loss"]
    values = last_values(tmp_path, ["train_loss", "val_loss", "missing"])
    assert values["train_loss"] == 9.0 and np.isnan(values["val_loss"]) and len(values) == 2


def test_few_points_are_spread_evenly_and_hold_both_ends(tmp_path: Path) -> None:
    with MetricsWriter(tmp_path, new_token(1)) as writer:
        for step in range(1_000):
            writer.point("a", step, step, 0.0, float(step))
            writer.point("b", step, step, 0.0, 0.0)
    points = few_points(tmp_path, "a", 11)
    assert points.step.tolist()[0] == 0 and points.step.tolist()[-1] == 999
    assert np.all(np.abs(np.diff(points.step) - 99.9) <= 1.5)
    assert few_points(tmp_path, "a", 5_000).step.tolist() == list(range(1_000))


def run_with_resume_and_roll_back(folder: Path) -> None:
    """1: steps 1-30. 2: resumed after 20, steps 21-40. 3: rolled back to 10 from there, steps 11-15."""
    spans = [(None, 0, range(1, 31)), (1, 20, range(21, 41)), (2, 10, range(11, 16))]
    for number, (parent, from_step, steps) in enumerate(spans, start=1):
        with MetricsWriter(folder, new_token(number)) as writer:
            assert writer.begin_segment(parent, from_step) == number
            for step in steps:
                writer.point("loss", step, step, 0.0, float(number))
                if step % 10 == 0:
                    writer.sample(step, "p", f"{number}:{step}")
                    writer.probe(step, "attention", bytes([number, step]))


def test_only_the_lineage_survives_resume_and_roll_back(tmp_path: Path) -> None:
    run_with_resume_and_roll_back(tmp_path)
    points = read_points(tmp_path, "loss")
    kept = points.where(surviving(points, segments(tmp_path)))
    assert len(points) == 55
    assert kept.step.tolist() == list(range(1, 16))
    assert kept.value.tolist() == [1.0] * 10 + [3.0] * 5
    before = points.where(surviving(points, segments(tmp_path)[:2]))
    assert before.step.tolist() == list(range(1, 41)) and before.value.tolist() == [1.0] * 20 + [2.0] * 20
    assert [sample.text for sample in samples(tmp_path)] == ["1:10"]
    assert [probe.payload for probe in probes(tmp_path, "attention")] == [bytes([1, 10])]


def points_of(rows: list[tuple[int, int]]) -> PointArrays:
    """Points from (segment, step) pairs."""
    segment, step = (np.array([row[column] for row in rows], dtype=np.int64) for column in (0, 1))
    ids = np.arange(1, len(rows) + 1)
    return PointArrays(ids, segment, step, step, step.astype(float), ids.astype(float))


def test_a_step_measured_again_counts_once() -> None:
    lineage = [Segment(1, None, 0, "", 0.0), Segment(2, 1, 20, "", 0.0)]
    points = points_of([(1, 10), (1, 20), (1, 30), (2, 20), (2, 30)])
    assert surviving(points, lineage).tolist() == [True, False, False, True, True]


def test_a_run_started_anew_hides_all_before() -> None:
    lineage = [Segment(1, None, 0, "", 0.0), Segment(2, None, 0, "", 0.0)]
    assert surviving(points_of([(1, 1), (2, 1), (1, 2)]), lineage).tolist() == [False, True, False]


def test_nothing_survives_without_a_segment() -> None:
    assert surviving(points_of([(1, 1)]), []).tolist() == [False]
    assert surviving(points_of([]), [Segment(1, None, 0, "", 0.0)]).tolist() == []
    loop = [Segment(1, 2, 0, "", 0.0), Segment(2, 1, 5, "", 0.0)]
    assert surviving(points_of([(1, 1), (2, 6)]), loop).tolist() == [True, True], "a loop of parents ends"


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 12)), min_size=1, max_size=8))
def test_surviving_equals_replaying_the_run(stretches: list[tuple[int, int]]) -> None:
    """Each stretch goes back to a step the run has reached, drops what lies beyond, and trains some steps on."""
    rows: list[tuple[int, int]] = []
    lineage: list[Segment] = []
    replayed: list[int] = []
    for number, (wish, count) in enumerate(stretches, start=1):
        from_step = min(wish, len(replayed))
        lineage.append(Segment(number, number - 1 or None, from_step, "", 0.0))
        del replayed[from_step:]
        for step in range(from_step + 1, from_step + count + 1):
            rows.append((number, step))
            replayed.append(len(rows))
    points = points_of(rows)
    kept = points.where(surviving(points, lineage))
    assert kept.step.tolist() == list(range(1, len(replayed) + 1))
    assert kept.id.tolist() == replayed


READ_AS_NOBODY = """
import os, sys
from pathlib import Path
from llm_core.workspace.metrics_read import read_points, metric_keys
folder = Path(sys.argv[1])
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
assert not os.access(folder, os.W_OK)
print(len(read_points(folder, "a")), metric_keys(folder), sorted(path.name for path in folder.iterdir()))
"""


@pytest.fixture
def readable_by_all() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        inner = Path(folder) / "run"
        inner.mkdir()
        yield inner
        inner.chmod(0o755)


@pytest.mark.parametrize("sealed", [True, False])
def test_a_folder_that_cannot_be_written_to_is_read_whole(readable_by_all: Path, sealed: bool) -> None:
    live = readable_by_all.with_name("live")
    writer = MetricsWriter(live, new_token(1))
    for step in range(100):
        writer.point("a", step, step, 0.0, 1.0)
    writer.commit()
    if sealed:
        writer.close()
        assert seal_metrics(live)
    # Unsealed: the state that a killed writer leaves, its WAL unread and no -shm beside it.
    for name in ("metrics.db", "metrics.db-wal"):
        if (live / name).exists():
            shutil.copyfile(live / name, readable_by_all / name)
    writer.close()
    names = sorted(path.name for path in readable_by_all.iterdir())
    assert len(names) == (1 if sealed else 2)
    for path in readable_by_all.iterdir():
        path.chmod(0o444)
    readable_by_all.chmod(0o555)
    child = subprocess.run(
        [sys.executable, "-c", READ_AS_NOBODY, readable_by_all],
        capture_output=True,
        text=True,
        check=False,
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert child.stdout.strip() == f"100 ['a'] {names}", child.stderr


def test_a_damaged_file_is_named_with_a_remedy(tmp_path: Path) -> None:
    with MetricsWriter(tmp_path, new_token(1)) as writer:
        for step in range(5_000):
            writer.point("a", step, step, 0.0, 1.0)
    assert seal_metrics(tmp_path)
    path = tmp_path / "metrics.db"
    content = bytearray(path.read_bytes())
    content[8_192:] = b"\xa5" * (len(content) - 8_192)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"cannot be read.*metrics\.db.*copy"):
        read_points(tmp_path, "a")
    assert seal_metrics(tmp_path), "nobody should try for ever"


def test_a_file_from_the_future_is_left_alone(tmp_path: Path) -> None:
    MetricsWriter(tmp_path, new_token(1)).close()
    with sqlite3.connect(tmp_path / "metrics.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    for act in (lambda: read_points(tmp_path, "a"), lambda: MetricsWriter(tmp_path, new_token(2))):
        with pytest.raises(UserError, match=r"newer Glassbox.*Update"):
            act()
    assert [path.name for path in tmp_path.iterdir() if "damaged" in path.name] == []


def test_names_that_mean_something_in_an_address_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "a?mode=memory#%41 é"
    with MetricsWriter(folder, new_token(1)) as writer:
        writer.point("a", 1, 1, 0.0, 1.0)
    assert len(read_points(folder, "a")) == 1
    assert seal_metrics(folder)
