"""The doors between the rooms open downward only, the style is kept, and the engine runs without the libraries of the pages.

The contracts themselves stand in pyproject.toml; `make test` fails when one is broken, so nobody has to remember `make lint`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# What a training worker, a generation and an inspection import, with the named libraries out of reach.
WITHOUT = """
import importlib, sys

class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ImportError(f"{name} is out of reach here")

BLOCKED = set(sys.argv[1].split(","))
sys.meta_path.insert(0, Wall())
for name in sys.argv[2].split(","):
    importlib.import_module(name)
"""
SCREEN_AND_TABLES = "streamlit,plotly,pyarrow,pandas,starlette,uvicorn,tsdownsample,orjson,datasets,transformers"
OPTIONAL = "psutil,pynvml"


def modules_of(room: str) -> list[str]:
    """Every module of one room, by its import name."""
    files = sorted((ROOT / "llm_core" / room).glob("*.py"))
    return [f"llm_core.{room}.{path.stem}" for path in files if path.stem not in ("__init__", "__main__")]


def run_tool(*command: str) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"


def test_doors_open_downward_only() -> None:
    pytest.importorskip("importlinter")
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_style_is_kept() -> None:
    pytest.importorskip("ruff")
    run_tool("ruff", "check", ".")
    run_tool("ruff", "format", "--check", ".")


@pytest.mark.slow
def test_types_are_right() -> None:
    pytest.importorskip("pyright")
    if shutil.which("node") is None:
        pytest.skip("pyright runs on Node.js, which is not installed here; `make lint` fetches it")
    run_tool("pyright")


def import_without(blocked: str, modules: list[str]) -> None:
    command = [sys.executable, "-c", WITHOUT, blocked, ",".join(modules)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_engine_needs_neither_pages_nor_tables() -> None:
    rooms = ("models", "objectives", "generation", "inspection", "training")
    engine = [name for room in rooms for name in modules_of(room)]
    workers = ["llm_core.backend.worker", "llm_core.backend.worker_train", "llm_core.backend.inference_server"]
    import_without(f"{SCREEN_AND_TABLES},{OPTIONAL}", [*engine, *workers, "benchmarks.gpu_check"])


def test_pages_and_web_need_no_torch() -> None:
    shown = [name for room in ("figures", "web", "ui") for name in modules_of(room)]
    import_without(f"torch,{OPTIONAL}", shown)


def test_the_command_starts_without_heavy_libraries() -> None:
    import_without("torch,streamlit,plotly,pandas,pyarrow", ["llm_core.cli.main", *modules_of("cli")])
