"""Live series over HTTP against what the run's own writer stored."""

from __future__ import annotations

import gzip
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from llm_core.backend.inference_client import InferenceClient
from llm_core.web.api import Api
from llm_core.web.device_sampler import DeviceSampler
from llm_core.web.marks import MAXIMUM_MARKS
from llm_core.web.run_curves import CurveCache
from llm_core.workspace.lineage import Lineage, write_lineage
from llm_core.workspace.metrics import MetricsWriter, seal_metrics
from llm_core.workspace.metrics_read import read_points
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry
from tests.web.live_run import SECONDS_PER_STEP, TOKENS_PER_STEP, LiveRun

Start = Callable[[str], LiveRun]


@pytest.fixture
def browser(workspace: Workspace) -> Iterator[TestClient]:
    api = Api(workspace, InferenceClient(workspace), DeviceSampler())
    with TestClient(Starlette(routes=api.routes()), base_url="http://127.0.0.1:8501") as client:
        yield client
    api.close()


def ask(browser: TestClient, run: LiveRun, keys: str = "train_loss", **parameters: object) -> dict[str, Any]:
    response = browser.get(
        f"/api/runs/{run.id}/series", params={"keys": keys, **{k: str(v) for k, v in parameters.items()}}
    )
    assert response.status_code == 200, response.text
    return response.json()


def noisy(count: int, seed: int = 0) -> dict[int, float]:
    generator = np.random.default_rng(seed)
    return {step: float(1.5 + 2.7 * math.exp(-step / 200) + generator.normal(0, 0.05)) for step in range(1, count + 1)}


def test_without_smoothing_the_drawn_points_are_the_stored_ones_digit_for_digit(
    browser: TestClient, live_run: Start
) -> None:
    run = live_run("exact")
    run.points("train_loss", {**noisy(800), 801: 1 / 3, 802: 1e-17, 803: 123456.789012345})
    stored = read_points(run.folder, "train_loss")
    for axis in ("step", "tokens", "seconds"):
        (series,) = ask(browser, run, x=axis, pixels=1000)["series"]
        assert [repr(value) for value in series["y"]] == [repr(value) for value in stored.value.tolist()]
        assert series["x"] == getattr(stored, axis).tolist()
        assert series["low"] is None and series["high"] is None and series["raw_points"] == 803


def test_all_curves_share_the_points_that_the_pixels_allow(browser: TestClient, live_run: Start) -> None:
    run = live_run("large")
    for index, key in enumerate(("train_loss", "grad_norm", "learning_rate")):
        run.points(key, noisy(20_000, index))
    run.points("val_loss", dict.fromkeys(range(0, 20000, 1000), 2.0))
    response = browser.get(
        f"/api/runs/{run.id}/series?keys=train_loss,grad_norm,learning_rate,val_loss&pixels=1000&smooth=0.6"
    )
    answer = response.json()
    lengths = {series["key"]: len(series["x"]) for series in answer["series"]}
    assert sum(lengths.values()) <= 2000 and lengths["val_loss"] == 20
    assert all(lengths[key] > 600 for key in ("train_loss", "grad_norm", "learning_rate"))
    assert len(gzip.compress(response.content, 5)) < 200_000
    digits = [f"{value:.15g}".lstrip("-").replace(".", "").strip("0") for value in answer["series"][0]["y"]]
    assert max(len(text) for text in digits) <= 5
    for series in answer["series"]:
        assert series["x"] == sorted(set(series["x"]))


def test_smoothing_comes_before_thinning_and_the_band_holds_the_raw_values(
    browser: TestClient, live_run: Start
) -> None:
    run = live_run("smooth")
    values = noisy(5000)
    run.points("train_loss", values)
    (series,) = ask(browser, run, smooth=0.9, pixels=200)["series"]
    state, expected = 0.0, dict[int, float]()
    for count, (step, value) in enumerate(values.items(), start=1):
        state = 0.9 * state + 0.1 * value
        expected[step] = state / (1 - 0.9**count)
    assert series["y"] == pytest.approx([expected[step] for step in series["x"]], rel=1e-4)
    assert min(series["low"]) == pytest.approx(min(values.values()), rel=1e-4)
    assert max(series["high"]) == pytest.approx(max(values.values()), rel=1e-4)
    (validation,) = ask(browser, run, "val_loss", smooth=0.9)["series"]
    assert validation["x"] == [] and validation["low"] is None


def test_validation_is_never_smoothed(browser: TestClient, live_run: Start) -> None:
    run = live_run("validation")
    run.points("val_loss", {0: 4.1, 100: 2.5, 200: 2.0})
    (series,) = ask(browser, run, "val_loss", smooth=0.99)["series"]
    assert series["y"] == [4.1, 2.5, 2.0] and series["low"] is None


def test_smoothing_goes_on_with_new_points_as_if_all_had_come_at_once(browser: TestClient, live_run: Start) -> None:
    run, twin = live_run("in-pieces"), live_run("at-once")
    values = list(noisy(900).items())
    for start in range(0, 900, 90):
        run.points("train_loss", dict(values[start : start + 90]))
        ask(browser, run, smooth=0.8)
    twin.points("train_loss", dict(values))
    assert ask(browser, run, smooth=0.8)["series"] == ask(browser, twin, smooth=0.8)["series"]


def test_a_stretch_is_shown_in_full_detail_with_one_neighbour_each_side(browser: TestClient, live_run: Start) -> None:
    run = live_run("zoom")
    run.points("train_loss", noisy(30_000))
    stored = read_points(run.folder, "train_loss")
    (series,) = ask(browser, run, **{"from": 12_000.5, "to": 12_300, "pixels": 800})["series"]
    assert series["x"] == list(range(12_000, 12_302))
    assert series["y"] == stored.value[11_999:12_301].tolist()
    (tokens,) = ask(browser, run, x="tokens", **{"from": 768 * 100, "to": 768 * 102})["series"]
    assert tokens["x"] == [768 * step for step in range(99, 104)]
    (outside,) = ask(browser, run, **{"from": 40_000, "to": 50_000})["series"]
    assert outside["x"] == [30_000]


def test_a_revision_is_answered_304_until_something_new_comes(browser: TestClient, live_run: Start) -> None:
    run = live_run("revision")
    run.points("train_loss", {1: 4.0})
    seen = ask(browser, run)["revision"]
    again = browser.get(f"/api/runs/{run.id}/series?keys=train_loss&revision={seen}")
    assert again.status_code == 304 and again.content == b""
    assert ask(browser, run, pixels=333, revision=seen)["revision"] != seen
    run.points("train_loss", {2: 3.9})
    newer = ask(browser, run, revision=seen)
    assert newer["series"][0]["x"] == [1, 2]
    run.writer.event("checkpoint", "Checkpoint at step 2.", step=2)
    run.writer.commit()
    with_mark = ask(browser, run, revision=newer["revision"])
    assert with_mark["marks"] == [{"x": 2.0, "step": 2, "kind": "checkpoint", "label": "Checkpoint at step 2."}]
    run.finish()
    last = ask(browser, run, revision=with_mark["revision"])
    assert last["state"] == "finished" and last["next_poll_ms"] is None


def test_not_a_number_is_null_and_marked(browser: TestClient, live_run: Start) -> None:
    run = live_run("nan")
    run.points("train_loss", {1: 4.0, 2: math.nan, 3: math.inf, 4: 3.8})
    answer = ask(browser, run, x="tokens")
    assert answer["series"][0]["y"] == [4.0, None, None, 3.8]
    assert [(mark["kind"], mark["x"], mark["step"]) for mark in answer["marks"]] == [
        ("nan", 2 * TOKENS_PER_STEP, 2),
        ("nan", 3 * TOKENS_PER_STEP, 3),
    ]
    (smooth,) = ask(browser, run, smooth=0.5)["series"]
    assert smooth["y"][1] is None and smooth["y"][3] is not None
    run.writer.event("diverged", "Step 3 was not finite.", step=3)
    run.writer.commit()
    assert [mark["kind"] for mark in ask(browser, run)["marks"]] == ["nan", "diverged"], "told once"


def test_after_a_resume_the_superseded_steps_are_hidden(browser: TestClient, live_run: Start) -> None:
    run = live_run("resumed")
    run.points("train_loss", dict.fromkeys(range(1, 10), 4.0))
    run.points("val_loss", {0: 4.2, 6: 4.0, 9: 3.9})
    assert ask(browser, run)["series"][0]["x"][-1] == 9
    run.writer.begin_segment(1, 6)
    run.points("train_loss", {7: 3.0, 8: 2.9})
    run.points("val_loss", {6: 3.99})
    answer = ask(browser, run, "train_loss,val_loss", x="seconds", smooth=0.0)
    train, validation = answer["series"]
    assert train["x"] == [step * SECONDS_PER_STEP for step in range(1, 9)]
    assert train["y"] == [4.0] * 6 + [3.0, 2.9]
    assert validation["y"] == [4.2, 3.99]
    assert answer["marks"] == [
        {"x": 6 * SECONDS_PER_STEP, "step": 6, "kind": "resumed", "label": "Went on after step 6."}
    ]


def test_what_a_roll_back_gave_up_lies_behind_the_curve_as_a_ghost(browser: TestClient, live_run: Start) -> None:
    run = live_run("ghosts")
    run.points("train_loss", {step: 4 - step / 10 for step in range(1, 11)})
    run.points("val_loss", {0: 4.2, 6: 4.0})
    run.writer.event(
        "changed", "Learning rate", step=8, data={"setting": "optimizer.learning_rate", "before": 0.003, "after": 0.01}
    )
    run.writer.begin_segment(1, 6)
    run.writer.event("rolled_back", "Rolled back from step 10 to step 6.", step=6)
    run.writer.event("rolled_back", "By the dashboard.", step=6)
    run.points("train_loss", {7: 3.0, 8: 2.9})
    run.points("val_loss", {6: 3.99})  # measured again, not given up
    answer = ask(browser, run, "train_loss,val_loss")
    assert answer["series"][0]["y"][-2:] == [3.0, 2.9] and answer["series"][0]["steps"] is None
    assert answer["ghosts"] == [
        {"key": "train_loss", "kind": "abandoned", "x": [7, 8, 9, 10], "y": [3.3, 3.2, 3.1, 3.0]}
    ]
    marks = {mark["kind"]: mark for mark in answer["marks"]}
    assert (
        marks["changed"]["label"] == "Learning rate optimizer.learning_rate: 0.003 → 0.01" and marks["changed"]["ghost"]
    )
    assert marks["rolled_back"]["label"] == "Rolled back from step 10 to step 6. · By the dashboard."
    assert "ghost" not in marks["rolled_back"]
    (smooth,) = ask(browser, run, smooth=0.9)["ghosts"]
    assert 3.3 < smooth["y"][-1] < 3.7, "smoothed on from what led there"
    run.points("train_loss", {9: 2.8})
    assert len(ask(browser, run)["ghosts"]) == 1 and ask(browser, run)["series"][0]["x"][-1] == 9
    run.writer.event("changed", "Again", step=8, data={"setting": "seed", "before": 1, "after": 2})
    run.writer.begin_segment(2, 7)  # a worker died; the next one makes the change again when it comes to its step
    run.points("train_loss", {8: 2.9})
    changed = [mark.get("ghost", False) for mark in ask(browser, run)["marks"] if mark["kind"] == "changed"]
    assert sorted(changed) == [False, True], "in force, and given up"


def test_a_fork_shows_the_curve_that_it_left_and_the_axis_counts_in_other_units(
    browser: TestClient, live_run: Start
) -> None:
    parent, child = live_run("parent"), live_run("child")
    parent.points("train_loss", dict.fromkeys(range(1, 11), 4.0))
    write_lineage(child.folder, Lineage(parent.id, "parent", 6))
    child.points("train_loss", {7: 3.5, 8: 3.4})
    answer = ask(browser, child, x="tokens", scale=1 / TOKENS_PER_STEP / 10)
    (series,) = answer["series"]
    assert series["x"] == [0.7, 0.8] and series["steps"] == [7, 8]
    (ghost,) = answer["ghosts"]
    assert ghost["kind"] == "parent" and ghost["x"] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    assert [(mark["kind"], mark["step"]) for mark in answer["marks"]] == [("forked", 6)]
    part = ask(browser, child, x="tokens", scale=1 / TOKENS_PER_STEP / 10, **{"from": 0.75, "to": 2})
    assert part["series"][0]["x"] == [0.7, 0.8] and part["ghosts"][0]["x"] == [0.6]
    flops = ask(browser, child, x="tokens", scale=1e12)["series"][0]["x"]
    assert flops == [7 * TOKENS_PER_STEP * 1e12, 8 * TOKENS_PER_STEP * 1e12]
    write_lineage(child.folder, Lineage("../escape", "elsewhere", 6))
    assert ask(browser, child)["ghosts"] == []


def test_a_step_measured_again_shows_its_later_value(browser: TestClient, live_run: Start) -> None:
    run = live_run("again")
    run.points("val_loss", {0: 4.2, 6: 4.0})
    ask(browser, run, "val_loss")
    run.points("val_loss", {6: 3.5})
    assert ask(browser, run, "val_loss")["series"][0]["y"] == [4.2, 3.5]


def test_before_the_first_point_the_phase_is_told(browser: TestClient, live_run: Start, registry: Registry) -> None:
    run = live_run("phases")
    run.writer.heartbeat({"phase": "building 0.8 M parameters", "fraction": None})
    answer = ask(browser, run)
    assert answer["progress"]["phase"] == "building 0.8 M parameters" and answer["next_poll_ms"] >= 500
    run.points("train_loss", {1: 4.0})
    assert ask(browser, run)["progress"] is None
    queued = registry.add("train", "waiting", {})
    waiting = browser.get(f"/api/runs/{queued.id}/series?keys=train_loss").json()
    assert waiting["state"] == "queued" and waiting["series"][0]["x"] == []


def test_a_run_that_ended_without_a_point_says_why(browser: TestClient, live_run: Start, registry: Registry) -> None:
    run = live_run("failed")
    registry.move(run.id, "failed", token=run.token, reason="The text is too short.", remedy="Bring more text.")
    answer = ask(browser, run)
    assert answer["state"] == "failed" and answer["next_poll_ms"] is None
    assert answer["progress"] == {"reason": "The text is too short.", "remedy": "Bring more text."}


def test_sealed_and_replaced_files_are_read_anew(browser: TestClient, live_run: Start) -> None:
    run = live_run("sealed")
    run.points("train_loss", {1: 4.0, 2: 3.9})
    assert ask(browser, run)["series"][0]["y"] == [4.0, 3.9]
    run.writer.close()
    assert seal_metrics(run.folder)
    assert ask(browser, run)["series"][0]["y"] == [4.0, 3.9]
    (run.folder / "metrics.db").rename(run.folder / "metrics.db.damaged")
    assert ask(browser, run)["series"][0]["y"] == []
    run.writer = MetricsWriter(run.folder, run.token)
    run.writer.begin_segment(None, 0)
    run.points("train_loss", {1: 9.0})
    assert ask(browser, run)["series"][0]["y"] == [9.0]


def test_a_steady_file_is_not_read_again(live_run: Start) -> None:
    run = live_run("steady")
    run.points("train_loss", noisy(50))
    run.writer.close()
    seal_metrics(run.folder)
    file = run.folder / "metrics.db"
    long_ago = time.time() - 60
    os.utime(file, (long_ago, long_ago))
    curves = CurveCache().run(run.folder)
    curves.refresh(["train_loss"])
    first = curves.curves["train_loss"].points.value.tolist()
    assert len(first) == 50
    # Whoever reads it now would find no database in it.
    file.write_bytes(b"x" * file.stat().st_size)
    os.utime(file, (long_ago, long_ago))
    curves.refresh(["train_loss"])
    assert curves.curves["train_loss"].points.value.tolist() == first


def test_the_cache_is_bounded_and_forgets_the_oldest(live_run: Start) -> None:
    cache = CurveCache(maximum_bytes=100_000)
    runs = [live_run(f"run-{number}") for number in range(4)]
    for run in runs:
        run.points("train_loss", noisy(1500))
        cache.run(run.folder).refresh(["train_loss"])
    assert cache.size_bytes <= 100_000 + 1500 * 48
    assert len(cache.run(runs[-1].folder).curves["train_loss"].points) == 1500
    assert not cache.run(runs[0].folder).curves


def test_many_marks_are_thinned_evenly(browser: TestClient, live_run: Start) -> None:
    run = live_run("marks")
    run.points("train_loss", noisy(1000))
    for step in range(1, 1001):
        run.writer.event("checkpoint", f"Checkpoint at step {step}.", step=step)
    run.writer.commit()
    marks = ask(browser, run)["marks"]
    assert len(marks) == MAXIMUM_MARKS and marks[0]["step"] == 1 and marks[-1]["step"] == 1000
    run.writer.event("health", "The loss jumped.", step=500)
    run.writer.commit()
    assert ("health", 500) in [(mark["kind"], mark["step"]) for mark in ask(browser, run)["marks"]], "others come first"
    part = ask(browser, run, **{"from": 100, "to": 120})["marks"]
    assert [mark["step"] for mark in part] == list(range(100, 121))


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("", "keys"),
        ("keys=,,", "keys"),
        ("keys=" + ",".join(f"k{number}" for number in range(17)), "keys"),
        ("keys=train_loss&x=epoch", "axis"),
        ("keys=train_loss&scale=0", "scale"),
        ("keys=train_loss&pixels=0", "pixels"),
        ("keys=train_loss&pixels=1e309", "pixels"),
        ("keys=train_loss&pixels=100000", "pixels"),
        ("keys=train_loss&smooth=nan", "smooth"),
        ("keys=train_loss&smooth=1.5", "smooth"),
        ("keys=train_loss&from=x", "from"),
        ("keys=train_loss&from=5&to=5", "from"),
        ("keys=train_loss&to=inf", "to"),
    ],
)
def test_a_wrong_question_is_answered_with_what_is_wrong(
    browser: TestClient, live_run: Start, query: str, word: str
) -> None:
    response = browser.get(f"/api/runs/{live_run('wrong').id}/series?{query}")
    assert response.status_code == 400
    assert word in response.json()["error"]["what"]


def test_what_does_not_exist_is_404_as_json(browser: TestClient, registry: Registry) -> None:
    job = registry.add("import", "book", {})
    for path in (
        *("/api", "/api/", "/api/nothing", "/api/runs/abcdef/series?keys=train_loss", "/api/runs/abcdef/heartbeat"),
        *(f"/api/runs/{job.id}/series?keys=train_loss", "/api/runs/..%2F..%2Fetc/series?keys=train_loss", "/api/runs"),
    ):
        response = browser.get(path)
        assert response.status_code == 404, path
        assert response.headers["content-type"] == "application/json" and response.json()["error"]["what"]
    assert browser.delete("/api/nothing").status_code == 404


def test_heartbeat_and_status_tell_how_far(browser: TestClient, live_run: Start, workspace: Workspace) -> None:
    run = live_run("beating")
    run.writer.heartbeat({"step": 12, "max_steps": 40})
    beat = browser.get(f"/api/runs/{run.id}/heartbeat").json()
    assert beat["progress"]["step"] == 12 and beat["state"] == "running" and beat["written_at"] > 0
    status = browser.get("/api/status").json()
    assert status["workspace"] == str(workspace.root) and status["devices"]
    assert [(job["name"], job["progress"]["step"]) for job in status["jobs"]] == [("beating", 12)]
    assert json.dumps(status)
