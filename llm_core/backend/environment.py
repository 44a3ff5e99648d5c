"""What a run was computed with: versions, device, threads, precision, the commit of the code, and the text's hash.

The worker writes it into the run's folder at every start (`environment.json`), so that the file says what the newest part of the run was
computed with. Reading is free of torch. Not here: the settings (`config.json`), what the machine has now (`devices.py`).
"""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from llm_core.backend.devices import list_devices
from llm_core.text.token_set import TokenMeta
from llm_core.workspace.json_files import read_json, write_json

ENVIRONMENT_FILE = "environment.json"
# What each fact is called in front of people, in the order they are shown.
FACT_LABELS: Mapping[str, str] = {
    "data_hash": "Hash of the text",
    "tokens_key": "Hash of text, split and tokenizer",
    "glassbox": "Glassbox",
    "git_commit": "Commit",
    "python": "Python",
    "torch": "torch",
    "numpy": "NumPy",
    "platform": "System",
    "device": "Device",
    "device_name": "Processor",
    "num_threads": "Threads",
    "precision": "Precision",
    "compile": "Compiled",
}
_CHECKOUT = Path(__file__).resolve().parents[2]
_GIT_SECONDS = 5


def environment_facts(tokens: TokenMeta, execution: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The facts of this process, as plain values.

    Args:
        tokens: what is trained on.
        execution: device, precision, num_threads and compile as they were chosen; None where nothing is computed on tensors.
    """
    chosen = dict(execution or {})
    device = str(chosen.get("device", "cpu"))
    return {
        "data_hash": tokens.content_hash,
        "tokens_key": tokens.key,
        "glassbox": _version("glassbox-lm"),
        "git_commit": _commit(),
        "python": platform.python_version(),
        "torch": _version("torch"),
        "numpy": _version("numpy"),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "device_name": _device_name(device),
        **({"device": device} | chosen),
    }


def record_environment(run_folder: Path, tokens: TokenMeta, execution: Mapping[str, Any] | None = None) -> None:
    """Write the facts of this process into the run's folder. A disk that takes no file is found out by what matters more."""
    with suppress(OSError):
        write_json(run_folder / ENVIRONMENT_FILE, environment_facts(tokens, execution))


def read_environment(run_folder: Path) -> dict[str, Any]:
    """The facts of a run; empty where none were recorded."""
    return read_json(run_folder / ENVIRONMENT_FILE) or {}


def _version(package: str) -> str | None:
    # Of torch as it is loaded: its own version names the build (+cpu, +cu126), the package's may not.
    loaded = sys.modules.get(package)
    try:
        return str(getattr(loaded, "__version__", None) or version(package))
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The checkout's commit, with "-dirty" where tracked files differ from it; None outside of a checkout or without git."""
    if not (_CHECKOUT / ".git").exists():
        return None
    command = ["git", "-C", str(_CHECKOUT), "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def _device_name(device: str) -> str | None:
    kind = device.partition(":")[0]
    return next((found.name for found in list_devices() if found.kind == kind), None)
