"""Writing metrics: nothing lost, nothing by a zombie, sealed into one file; against real readers, threads and kills."""

from __future__ import annotations

import math
import resource
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from subprocess import Popen

import numpy as np
import pytest

from llm_core.workspace.leases import LeaseLost, new_token, supersedes, token_number
from llm_core.workspace.metrics import JOURNAL_BYTES, MetricsWriter, seal_metrics
from llm_core.workspace.metrics_read import acks, events, heartbeat, last_state, read_lease, read_points, samples
from llm_core.workspace.process_identity import this_process

TOKEN = new_token(1)


def test_tokens_grow() -> None:
    first, second = new_token(1), new_token(2)
    assert token_number(first) == 1 and token_number("plain") is None and token_number("x-1") is None
    assert supersedes(second, first) and not supersedes(first, second)
    assert supersedes(new_token(1), first), "two holders of one age: the one who came first stays"
    assert not supersedes(first, first) and not supersedes(None, first) and not supersedes("plain", first)


def test_what_is_written_is_read_back_exactly(tmp_path: Path) -> None:
    values = [math.pi, 1e-308, -0.0, math.nan, math.inf, -math.inf, 1.7976931348623157e308]
    with MetricsWriter(tmp_path, TOKEN) as writer:
        assert writer.begin_segment(None, 0) == 1
        for step, value in enumerate(values):
            writer.point("train_loss", step, step * 100, step / 10, value)
        writer.point("numpy", np.int64(3), np.int64(4), np.float64(5), np.float32(0.5))  # type: ignore[arg-type]
    points = read_points(tmp_path, "train_loss")
    np.testing.assert_array_equal(points.value, values)
    assert points.step.tolist() == list(range(7)) and points.tokens.tolist() == [0, 100, 200, 300, 400, 500, 600]
    assert points.seconds.tolist() == [step / 10 for step in range(7)] and set(points.segment.tolist()) == {1}
    assert read_points(tmp_path, "numpy").value.tolist() == [0.5]


def test_points_wait_for_a_commit(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path, TOKEN)
    writer.point("a", 1, 1, 1.0, 1.0)
    writer.event("warning", "slow")
    assert len(read_points(tmp_path, "a")) == 0 and events(tmp_path) == []
    writer.commit()
    assert len(read_points(tmp_path, "a")) == 1 and events(tmp_path)[0].message == "slow"
    writer.point("a", 2, 2, 2.0, 2.0)
    writer.heartbeat({"step": 2, "loss": math.nan})
    assert len(read_points(tmp_path, "a")) == 2
    beat = heartbeat(tmp_path)
    assert beat is not None and beat.progress == {"step": 2, "loss": None}
    writer.heartbeat({"step": 3})
    later = heartbeat(tmp_path)
    assert later is not None and later.progress == {"step": 3} and later.written_at >= beat.written_at
    writer.close()


def test_acknowledgements_are_kept_once(tmp_path: Path) -> None:
    with MetricsWriter(tmp_path, TOKEN) as writer:
        writer.ack("abc", True, 7, before=0.1, after={"learning_rate": 0.2})
        writer.ack("def", False, 8, reason="no such setting")
        writer.ack("abc", True, 7, before=0.1, after={"learning_rate": 0.2})
    by_id = {ack.command_id: ack for ack in acks(tmp_path)}
    assert len(acks(tmp_path)) == 2
    assert (by_id["abc"].accepted, by_id["abc"].before, by_id["abc"].after) == (True, 0.1, {"learning_rate": 0.2})
    assert (by_id["def"].accepted, by_id["def"].step, by_id["def"].reason) == (False, 8, "no such setting")


def test_the_lease_names_its_process(tmp_path: Path) -> None:
    MetricsWriter(tmp_path, TOKEN).close()
    lease = read_lease(tmp_path)
    assert lease is not None and (lease.token, lease.owner) == (TOKEN, this_process())


def test_the_zombie_writes_nothing_and_cannot_come_back(tmp_path: Path) -> None:
    zombie = MetricsWriter(tmp_path, new_token(1))
    zombie.begin_segment(None, 0)
    zombie.point("a", 1, 1, 1.0, 1.0)
    zombie.commit()
    zombie.point("a", 2, 2, 2.0, 2.0)
    heir = MetricsWriter(tmp_path, new_token(2))
    for act in (
        zombie.commit,
        lambda: zombie.heartbeat({"step": 2}),
        lambda: zombie.ack("x", True, 2),
        lambda: zombie.begin_segment(1, 1),
        zombie.close,
        lambda: MetricsWriter(tmp_path, new_token(1)),
    ):
        with pytest.raises(LeaseLost):
            act()
    heir.begin_segment(1, 1)
    heir.point("a", 2, 2, 2.0, 20.0)
    heir.close()
    assert read_points(tmp_path, "a").value.tolist() == [1.0, 20.0]
    assert heartbeat(tmp_path) is None and acks(tmp_path) == []


def test_the_same_lease_may_open_again(tmp_path: Path) -> None:
    for step in (1, 2):
        with MetricsWriter(tmp_path, TOKEN) as writer:
            writer.point("a", step, 0, 0.0, 0.0)
    points = read_points(tmp_path, "a")
    assert points.segment.tolist() == [1, 1], "a writer that begins no segment goes on in the last one"


def test_states_are_told_by_the_folder_alone(tmp_path: Path) -> None:
    assert last_state(tmp_path) is None
    with MetricsWriter(tmp_path, TOKEN) as writer:
        writer.record_state("running")
        writer.record_state("diverged", reason="Loss is NaN.", remedy="Lower the rate", result={"val_loss": math.nan})
    state = last_state(tmp_path)
    assert state is not None
    assert (state.state, state.reason, state.remedy) == ("diverged", "Loss is NaN.", "Lower the rate")
    assert state.result == {"val_loss": None}


def test_sealing_leaves_one_file_and_waits_for_readers(tmp_path: Path) -> None:
    assert seal_metrics(tmp_path), "nothing to seal is sealed"
    writer = MetricsWriter(tmp_path, TOKEN)
    writer.point("a", 1, 1, 1.0, 1.0)
    writer.commit()
    assert seal_metrics(tmp_path) is False, "its writer is still connected"
    reader = sqlite3.connect(f"{(tmp_path / 'metrics.db').as_uri()}?mode=ro", uri=True)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM points").fetchone() == (1,)
    writer.close()
    assert seal_metrics(tmp_path) is False, "a reader is still connected"
    reader.close()
    assert seal_metrics(tmp_path) is True
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.db"]
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "metrics.db").write_bytes((tmp_path / "metrics.db").read_bytes())
    assert read_points(copy, "a").value.tolist() == [1.0]
    assert seal_metrics(tmp_path) is True
    with MetricsWriter(tmp_path, new_token(2)) as again:
        again.point("a", 2, 2, 2.0, 2.0)
    assert read_points(tmp_path, "a").value.tolist() == [1.0, 2.0]


def test_threads_share_a_writer(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path, TOKEN)

    def beat() -> None:
        for step in range(50):
            writer.heartbeat({"step": step})

    thread = threading.Thread(target=beat)
    thread.start()
    for step in range(500):
        writer.point("a", step, step, 0.0, float(step))
        if step % 20 == 0:
            writer.commit()
    thread.join()
    writer.close()
    assert read_points(tmp_path, "a").value.tolist() == [float(step) for step in range(500)]


WRITE_FOR_EVER = """
import sys
from pathlib import Path
from llm_core.workspace.metrics import MetricsWriter
writer = MetricsWriter(Path(sys.argv[1]), "000001-a")
writer.begin_segment(None, 0)
step = 0
while True:
    for key in ("a", "b"):
        writer.point(key, step, step, 0.0, float(step))
    writer.commit()
    print(step, flush=True)
    step += 1
"""


def test_a_killed_writer_loses_no_commit_and_leaves_no_half_one(
    tmp_path: Path, start_python: Callable[..., Popen[str]]
) -> None:
    writer = start_python(WRITE_FOR_EVER, tmp_path)
    assert writer.stdout is not None
    for _ in range(50):
        writer.stdout.readline()
        a, b = read_points(tmp_path, "a"), read_points(tmp_path, "b")
        assert a.value.tolist() == [float(step) for step in range(len(a))]
        assert len(b) >= len(a) - 1
    writer.kill()
    output, _ = writer.communicate()
    told = int(([49, *map(int, output.split())])[-1])
    a, b = read_points(tmp_path, "a"), read_points(tmp_path, "b")
    assert a.value.tolist() == b.value.tolist() and told < len(a) <= told + 2
    assert seal_metrics(tmp_path)
    assert len(read_points(tmp_path, "a")) == len(a)


def test_short_readers_do_not_let_the_journal_grow(tmp_path: Path) -> None:
    with MetricsWriter(tmp_path, TOKEN) as writer:
        for step in range(3_000):
            for key in ("a", "b", "c", "d"):
                writer.point(key, step, step, 0.0, 1.0)
            if step % 3 == 0:
                writer.commit()
            if step % 300 == 0:
                read_points(tmp_path, "a")
        writer.commit()
        assert (tmp_path / "metrics.db-wal").stat().st_size < JOURNAL_BYTES


def test_a_reader_that_stays_too_long_holds_nobody_up_and_leaves_no_mountain(tmp_path: Path) -> None:
    def work(writer: MetricsWriter, commits: int) -> None:
        for step in range(commits):
            writer.sample(step, "", "x" * 100_000)
            writer.commit()

    with MetricsWriter(tmp_path, TOKEN) as writer:
        work(writer, 1)
        wal = tmp_path / "metrics.db-wal"
        with closing(sqlite3.connect(tmp_path / "metrics.db", isolation_level=None)) as reader:
            reader.execute("BEGIN")
            assert reader.execute("SELECT count(*) FROM samples").fetchone() == (1,)
            work(writer, 2 * JOURNAL_BYTES // 100_000)
            assert wal.stat().st_size > JOURNAL_BYTES, "what the reader may still need is kept"
            assert reader.execute("SELECT count(*) FROM samples").fetchone() == (1,), "and it sees what it saw"
        work(writer, 20)
        assert wal.stat().st_size <= JOURNAL_BYTES
    assert seal_metrics(tmp_path)


def test_a_full_disk_loses_nothing_that_waits(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path, TOKEN)
    writer.begin_segment(None, 0)
    for step in range(20_000):
        writer.point("a", step, step, 0.0, 1.0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        with pytest.raises(sqlite3.OperationalError):
            writer.commit()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(read_points(tmp_path, "a")) == 0
    writer.commit()
    assert len(read_points(tmp_path, "a")) == 20_000
    writer.close()


@pytest.mark.parametrize("content", [b"no database " * 1_000, b"SQLite format 3\0" + b"\xff" * 8_000])
def test_a_damaged_file_is_set_aside_and_the_run_goes_on(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "metrics.db").write_bytes(content)
    with MetricsWriter(tmp_path, TOKEN) as writer:
        writer.point("a", 1, 1, 1.0, 1.0)
        writer.sample(1, "p", "t")
    assert len(read_points(tmp_path, "a")) == 1 and len(samples(tmp_path)) == 1
    (aside,) = tmp_path.glob("metrics.db.damaged-*")
    assert aside.read_bytes() == content
    assert events(tmp_path)[0].kind == "metrics_set_aside" and aside.name in events(tmp_path)[0].message
