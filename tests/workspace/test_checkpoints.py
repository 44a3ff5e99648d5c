"""Checkpoints under kill -9 at every point, flipped bytes, a full disk, zombies, replacement and thinning."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_core.config.errors import UserError
from llm_core.workspace import checkpoints
from llm_core.workspace.checkpoints import (
    checkpoint_path,
    find_checkpoint,
    list_checkpoints,
    newest_valid,
    pin_checkpoint,
    remove_checkpoint,
    remove_partial,
    set_aside_after,
    thin_checkpoints,
    verify_checkpoint,
    write_checkpoint,
)
from llm_core.workspace.leases import LeaseLost, new_token
from llm_core.workspace.metrics import MetricsWriter

TOKEN = new_token(1)
SIZES = {"model.safetensors": 1_000, "optimizer.safetensors": 2_000, "state.json": 100}


def content_writer(size_bytes: int, fill: int) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(bytes([fill % 256]) * size_bytes)

    return write


def write(run_folder: Path, step: int, fill: int = 1, token: str = TOKEN, **settings: object) -> Path:
    writers = {name: content_writer(size, fill) for name, size in SIZES.items()}
    return write_checkpoint(run_folder, step, writers, lease_token=token, **settings)  # pyright: ignore[reportArgumentType]


def test_a_checkpoint_says_what_it_holds(tmp_path: Path) -> None:
    path = write(tmp_path, 20, extra={"tokens": 7})
    assert path == tmp_path / "checkpoints" / "step-00000020" == checkpoint_path(tmp_path, 20)
    assert {file.name for file in path.iterdir()} == {*SIZES, "manifest.json"}
    manifest = json.loads((path / "manifest.json").read_text())
    assert (manifest["step"], manifest["kind"], manifest["lease_token"]) == (20, "full", TOKEN)
    assert manifest["extra"] == {"tokens": 7} and manifest["schema_version"] == 1
    (info,) = list_checkpoints(tmp_path)
    assert (info.step, info.kind, info.size_bytes, info.pinned) == (20, "full", 3_100, False)
    assert verify_checkpoint(path) == [] and newest_valid(tmp_path) == info


def test_checkpoints_are_listed_by_step_also_beyond_eight_digits(tmp_path: Path) -> None:
    assert list_checkpoints(tmp_path) == [] and newest_valid(tmp_path) is None
    for step in (100_000_000, 20, 3):
        write(tmp_path, step)
    assert [info.step for info in list_checkpoints(tmp_path)] == [3, 20, 100_000_000]
    assert find_checkpoint(tmp_path).step == 100_000_000 and find_checkpoint(tmp_path, 3).step == 3
    with pytest.raises(UserError, match=r"There are: 3, 20, 100,000,000"):
        find_checkpoint(tmp_path, 4)
    with pytest.raises(UserError, match="no checkpoint yet"):
        find_checkpoint(tmp_path / "other")


POINTS = [
    *("start", "inside:model.safetensors", "file:model.safetensors", "inside:optimizer.safetensors"),
    *("file:optimizer.safetensors", "file:state.json", "manifest", "set_aside", "renamed", "done"),
]

DIE = """
import os, signal, sys
from pathlib import Path
from llm_core.workspace.checkpoints import write_checkpoint

folder, step, point, fill = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])

def die_at(passed):
    if passed == point:
        os._exit(137)

def writer(name, size):
    def write(path):
        die_at("start")
        with path.open("wb", buffering=0) as file:
            file.write(bytes([fill]) * (size // 2))
            die_at(f"inside:{name}")
            file.write(bytes([fill]) * (size - size // 2))
    return write

sizes = {"model.safetensors": 1_000, "optimizer.safetensors": 2_000, "state.json": 100}
writers = {name: writer(name, size) for name, size in sizes.items()}
write_checkpoint(folder, step, writers, lease_token="000001-a", after=die_at)
"""


def die(start_python: Callable[..., Popen[str]], run_folder: Path, step: int, point: str) -> int:
    child = start_python(DIE, run_folder, step, point, 2)
    _, errors = child.communicate(timeout=60)
    assert child.returncode in (0, 137), errors
    return child.returncode


@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_a_new_checkpoint_is_whole_or_absent(
    tmp_path: Path, start_python: Callable[..., Popen[str]], point: str
) -> None:
    write(tmp_path, 10)
    code = die(start_python, tmp_path, 20, point)
    assert code == (0 if point == "set_aside" else 137), "nothing is set aside where nothing was"
    steps = [10, 20] if point in ("set_aside", "renamed", "done") else [10]
    for _ in range(2):
        assert [info.step for info in list_checkpoints(tmp_path)] == steps
        assert all(verify_checkpoint(info.path) == [] for info in list_checkpoints(tmp_path))
        newest = newest_valid(tmp_path)
        assert newest is not None and newest.step == steps[-1]
        remove_partial(tmp_path)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [f"step-{s:08d}" for s in steps]


@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_a_replaced_checkpoint_is_the_old_or_the_new(
    tmp_path: Path, start_python: Callable[..., Popen[str]], point: str
) -> None:
    write(tmp_path, 20, fill=1)
    assert die(start_python, tmp_path, 20, point) == 137
    assert all(verify_checkpoint(info.path) == [] for info in list_checkpoints(tmp_path))
    remove_partial(tmp_path)
    (info,) = list_checkpoints(tmp_path)
    assert verify_checkpoint(info.path) == []
    is_new = point in ("renamed", "done")
    assert (info.path / "model.safetensors").read_bytes() == bytes([2 if is_new else 1]) * 1_000
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000020"]


@pytest.mark.parametrize("name", [*SIZES, "manifest.json"])
@pytest.mark.parametrize("harm", ["flip", "truncate", "remove", "extend"])
def test_harm_to_any_file_is_found_and_the_one_before_is_used(tmp_path: Path, name: str, harm: str) -> None:
    write(tmp_path, 10)
    path = write(tmp_path, 20) / name
    content = bytearray(path.read_bytes())
    # In the manifest, the middle lies within a hash.
    content[len(content) // 2] ^= 1
    if harm == "flip":
        path.write_bytes(content)
    elif harm == "truncate":
        os.truncate(path, len(content) // 2)
    elif harm == "extend":
        path.write_bytes(path.read_bytes() + b"}")
    else:
        path.unlink()
    problems = verify_checkpoint(path.parent)
    assert len(problems) == 1 and "step-00000020" in problems[0]
    told: list[str] = []
    newest = newest_valid(tmp_path, on_problem=told.append)
    assert newest is not None and newest.step == 10 and told == problems


@given(position=st.integers(min_value=0), bit=st.integers(0, 7))
@settings(deadline=None, max_examples=60)
def test_every_flipped_bit_of_a_manifest_is_found(
    tmp_path_factory: pytest.TempPathFactory, position: int, bit: int
) -> None:
    folder = tmp_path_factory.mktemp("run")
    path = write(folder, 20) / "manifest.json"
    content = bytearray(path.read_bytes())
    before = json.loads(content)
    content[position % len(content)] ^= 1 << bit
    path.write_bytes(content)
    listed = list_checkpoints(folder)
    if verify_checkpoint(path.parent) == []:
        assert json.loads(content) == before, "only a bit that means nothing may flip unseen"
        assert len(listed) == 1
    else:
        assert listed == []


@pytest.mark.parametrize(
    "manifest",
    [
        *([], {"schema_version": 99, "files": {}}, {"schema_version": "1"}, {"schema_version": None}),
        *(
            {"step": 21},
            {"step": "20"},
            {"kind": "pickle"},
            {"kind": None},
            {"created_at": "now"},
            {"created_at": None},
        ),
        *({"files": {"../../x": {"bytes": 1, "sha256": ""}}}, {"files": {"a": 1}}, {"files": [1]}, {"files": None}),
        *({"files": {"a": {"bytes": "many", "sha256": ""}}}, {"files": {"a": {"sha256": ""}}}),
    ],
)
def test_a_hostile_manifest_is_refused_in_a_sentence(tmp_path: Path, manifest: Any) -> None:
    path = write(tmp_path, 20)
    if isinstance(manifest, dict):
        manifest = {**json.loads((path / "manifest.json").read_text()), **manifest}
        # Whoever forges a manifest forges its hash, too.
        rest = {key: manifest[key] for key in sorted(manifest) if key != "manifest_sha256"}
        manifest["manifest_sha256"] = hashlib.sha256(json.dumps(rest).encode()).hexdigest()
    (path / "manifest.json").write_text(json.dumps(manifest))
    assert list_checkpoints(tmp_path) == []
    (problem,) = verify_checkpoint(path)
    assert problem.startswith("step-00000020: ")
    assert newest_valid(tmp_path) is None


def test_newest_valid_can_look_further_back(tmp_path: Path) -> None:
    for step in (10, 20, 30):
        write(tmp_path, step)
    for before, expected in ((None, 30), (30, 20), (21, 20), (20, 10), (10, None)):
        newest = newest_valid(tmp_path, before)
        assert (newest and newest.step) == expected


def test_a_full_disk_leaves_the_checkpoints_that_were(tmp_path: Path) -> None:
    write(tmp_path, 10)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500, limits[1]))  # the optimizer's file does not fit
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(OSError):
            write(tmp_path, 20)
    finally:
        signal.signal(signal.SIGXFSZ, before)
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000010"]
    assert write(tmp_path, 20).is_dir()


def test_a_failing_writer_leaves_nothing_and_the_replaced_one_stays(tmp_path: Path) -> None:
    write(tmp_path, 10, fill=1)

    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise RuntimeError("out of memory")

    def fail_late(point: str) -> None:
        if point == "set_aside":
            raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="memory"):
        write_checkpoint(tmp_path, 20, {"model.safetensors": fail}, lease_token=TOKEN)
    with pytest.raises(RuntimeError, match="interrupted"):
        write(tmp_path, 10, fill=2, after=fail_late)
    with pytest.raises(UserError, match="cannot be a file name"):
        write_checkpoint(tmp_path, 30, {"../x": content_writer(1, 1)}, lease_token=TOKEN)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000010"]
    assert (checkpoint_path(tmp_path, 10) / "model.safetensors").read_bytes()[:1] == b"\x01"


def test_what_a_run_cannot_go_on_from_steps_aside_and_its_step_is_free_again(tmp_path: Path) -> None:
    for step in (10, 20, 30):
        write(tmp_path, step)
    (aside,) = set_aside_after(tmp_path, 20)
    assert aside.name.startswith("step-00000030.damaged-") and (aside / "model.safetensors").exists()
    remove_partial(tmp_path)
    assert [info.step for info in list_checkpoints(tmp_path)] == [10, 20] and aside.exists()
    assert write(tmp_path, 30).is_dir()


def test_a_writer_that_fails_leaves_its_neighbour_alone(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        others = path.parent.with_name("step-00000099.tmp-00ff00ff")
        others.mkdir()
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        write_checkpoint(tmp_path, 10, {"model.safetensors": fail}, lease_token=TOKEN)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000099.tmp-00ff00ff"]


def test_the_zombie_makes_no_checkpoint(tmp_path: Path) -> None:
    MetricsWriter(tmp_path, TOKEN).close()
    write(tmp_path, 10)
    MetricsWriter(tmp_path, second := new_token(2)).close()
    with pytest.raises(LeaseLost):
        write(tmp_path, 20)

    def passed_on_meanwhile(point: str) -> None:
        if point == "manifest":
            MetricsWriter(tmp_path, new_token(3)).close()

    with pytest.raises(LeaseLost):
        write(tmp_path, 20, token=second, after=passed_on_meanwhile)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000010"]


def test_everything_is_on_the_disk_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a power cut would ask: each file is synced, then its folder, then the rename, then the parent."""
    done: list[str] = []
    real_sync, real_rename = os.fsync, os.rename

    def sync(descriptor: int) -> None:
        real_sync(descriptor)
        done.append("sync " + Path(f"/proc/self/fd/{descriptor}").readlink().name.partition(".tmp")[0])

    def rename(source: os.PathLike[str], target: os.PathLike[str]) -> None:
        real_rename(source, target)
        done.append("rename " + Path(target).name)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "rename", rename)
    write(tmp_path, 20)
    expected = [*(f"sync {name}" for name in SIZES), "sync manifest.json", "sync step-00000020"]
    assert done == [*expected, "rename step-00000020", "sync checkpoints"]


def test_older_checkpoints_lose_their_optimizer_and_stay_valid(tmp_path: Path) -> None:
    for step in (10, 20, 30, 40):
        write(tmp_path, step)
    pin_checkpoint(checkpoint_path(tmp_path, 10))
    left = thin_checkpoints(tmp_path, 10**9)
    assert [(info.step, info.kind, info.pinned) for info in left] == [
        (10, "full", True),
        (20, "weights", False),
        (30, "full", False),
        (40, "full", False),
    ]
    assert left == list_checkpoints(tmp_path)
    assert left[1].size_bytes == 1_100 and not (left[1].path / "optimizer.safetensors").exists()
    assert all(verify_checkpoint(info.path) == [] for info in left)
    assert thin_checkpoints(tmp_path, 10**9) == left


def test_more_than_a_few_hundred_are_thinned_whatever_room_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "MOST_CHECKPOINTS", 5)
    for step in range(0, 110, 10):
        write(tmp_path, step)
    left = thin_checkpoints(tmp_path, 10**9)
    assert len(left) == 5 and left[0].step == 0 and [info.step for info in left[-2:]] == [90, 100]


def test_thinning_spreads_evenly_within_the_budget(tmp_path: Path) -> None:
    for step in range(0, 110, 10):
        write(tmp_path, step)
    pin_checkpoint(checkpoint_path(tmp_path, 30))
    budget = 2 * 3_100 + 3_100 + 3 * 1_100
    left = thin_checkpoints(tmp_path, budget)
    assert sum(info.size_bytes for info in left) <= budget
    steps = [info.step for info in left]
    assert steps[0] == 0 and 30 in steps and steps[-2:] == [90, 100] and len(steps) == 6
    assert max(b - a for a, b in itertools.pairwise(steps)) <= 30
    left = thin_checkpoints(tmp_path, 0)
    assert [info.step for info in left] == [30, 90, 100]
    pin_checkpoint(checkpoint_path(tmp_path, 30), pinned=False)
    assert [info.step for info in thin_checkpoints(tmp_path, 0)] == [90, 100]
    assert [path.name for path in (tmp_path / "checkpoints").iterdir() if "." in path.name] == []


def test_thinning_again_and_again_keeps_the_run_covered(tmp_path: Path) -> None:
    """As a run does it: after every checkpoint."""
    budget = 2 * 3_100 + 6 * 1_100
    for step in range(1, 41):
        write(tmp_path, step)
        thin_checkpoints(tmp_path, budget)
    steps = [info.step for info in list_checkpoints(tmp_path)]
    assert steps[0] == 1 and steps[-2:] == [39, 40] and len(steps) == 8
    assert max(b - a for a, b in itertools.pairwise(steps)) <= 16


def test_a_pin_survives_replacement_and_a_removed_checkpoint_is_gone(tmp_path: Path) -> None:
    path = write(tmp_path, 10)
    pin_checkpoint(path)
    write(tmp_path, 10, fill=2)
    (info,) = list_checkpoints(tmp_path)
    assert info.pinned and verify_checkpoint(path) == []
    remove_checkpoint(path)
    assert list_checkpoints(tmp_path) == [] and list((tmp_path / "checkpoints").iterdir()) == []
