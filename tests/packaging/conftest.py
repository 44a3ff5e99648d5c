"""The wheel, built from the sources and installed into an environment of its own, and the dashboard that it starts."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.support import ROOT, Installation, run

SOURCES = ("app.py", "pages", ".streamlit", "assets", "llm_core")
PROJECT_FILES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that the checkout gets no build folder."""
    folder = tmp_path_factory.mktemp("build")
    copy = folder / "sources"
    copy.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "_dashboard"))
        else:
            shutil.copy(ROOT / name, copy / name)
    for name in PROJECT_FILES:
        shutil.copy(ROOT / name, copy / name)
    # By way of the source archive, as `python -m build` does it for a release: what that lacks, the wheel lacks.
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), str(copy)]
    run(command, folder)
    (built,) = (folder / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installation(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """A fresh environment with the wheel; the libraries are borrowed from this one instead of fetched anew."""
    root = tmp_path_factory.mktemp("installed")
    home, folder = root / "home", root / "empty"
    home.mkdir()
    folder.mkdir()
    run([sys.executable, "-m", "venv", "--without-pip", str(root / "venv")], root)
    python = root / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], root)
    # A plain path in a .pth file: the editable installation that lies there is not followed.
    (packages,) = (root / "venv").glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n", encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GLASSBOX_", "PYTHON"))}
    return Installation(python, python.with_name("glassbox"), home, folder, {**kept, "HOME": str(home)})


@pytest.fixture(scope="session")
def dashboard(installation: Installation) -> Iterator[str]:
    """`glassbox` started in the empty folder; where it serves. It ends by Ctrl-C, with status 0 and a goodbye."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = installation.home.parent / "dashboard.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(installation.command), "--no-browser", "--port", str(port)],
            cwd=installation.folder,
            env={**installation.environment, "GLASSBOX_IDLE_SECONDS": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + 90
        while "Glassbox is at" not in log.read_text(encoding="utf-8"):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text(encoding="utf-8")
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0, log.read_text(encoding="utf-8")
        assert "Nothing is running" in log.read_text(encoding="utf-8")
