"""The GPU check walks its whole path on a CPU too, so that nothing in it fails for the first time on a rented GPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks.gpu_check import TINY, check, main, peak_tflops, report
from benchmarks.results import write_result


def test_every_part_runs_on_a_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = check("cpu", TINY)
    assert found["is_well"], found
    assert found["equality"]["lstm"]["greatest_difference_nats"] == 0.0
    speed = found["speed"]["off"]
    assert speed["tokens_per_second"] > 0 and speed["share_of_peak"] is None
    assert speed["tflops"] == pytest.approx(speed["tokens_per_second"] * speed["flops_per_token"] / 1e12)
    report(found)
    assert "gpt-124m" in capsys.readouterr().out
    kept = json.loads(write_result("gpu-check", found, tmp_path).read_text(encoding="utf-8"))
    assert kept["measured"] == "gpu-check" and kept["date"] and kept["machine"]["cores"] >= 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, so the check would run in full")
def test_without_a_gpu_it_says_so_and_is_content(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], tmp_path) == 0
    assert "no GPU" in capsys.readouterr().out
    assert not any(tmp_path.iterdir())


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU with CUDA")
def test_on_a_gpu_all_is_well(tmp_path: Path) -> None:
    assert main([], tmp_path) == 0
    (kept,) = tmp_path.iterdir()
    assert json.loads(kept.read_text(encoding="utf-8"))["is_well"]


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989.0),
        ("NVIDIA H100 PCIe", 756.0),
        ("NVIDIA H200", 989.0),
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA L4", 121.0),
        ("NVIDIA L40S", 362.0),
        ("NVIDIA GeForce RTX 4090", 165.2),
        ("NVIDIA GeForce GTX 1080", None),
    ],
)
def test_peaks_are_found_by_name(name: str, peak: float | None) -> None:
    assert peak_tflops(name) == peak
