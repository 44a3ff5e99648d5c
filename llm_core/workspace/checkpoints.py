"""Checkpoint folders: written so that one exists only when it is whole, listed, verified, thinned.

A checkpoint is prepared in `step-N.tmp-<random>`; every file is synced, the manifest with sizes and hashes comes last, and one
rename makes it `step-N`. What a kill leaves behind has another name and is never listed. Not here: what the files hold
(`llm_core.training.checkpoint_state` writes tensors and state through the `writers` it passes in).
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from llm_core.config.errors import UserError
from llm_core.workspace.json_files import json_text, read_json, sync_file, sync_folder, write_json
from llm_core.workspace.leases import LeaseLost, supersedes
from llm_core.workspace.metrics_read import read_lease
from llm_core.workspace.paths import safe_join

FOLDER_NAME = "checkpoints"
MANIFEST = "manifest.json"
OPTIMIZER = "optimizer.safetensors"
PIN = "pinned"
SCHEMA_VERSION = 1
# How many of the newest keep their optimizer: the newest, and one to fall back to should it be damaged.
FULL_CHECKPOINTS = 2
# Pages read what each one is; more steps than this nobody looks through.
MOST_CHECKPOINTS = 200
HASH_BLOCK_BYTES = 4 * 2**20

CheckpointKind = Literal["full", "weights"]

_STEP = re.compile(r"step-(\d{8,})")
_LEFTOVER = re.compile(r"(step-\d{8,})\.(tmp|old|gone)-[0-9a-f]+")


@dataclass(frozen=True)
class CheckpointInfo:
    """One whole checkpoint. `kind` is "full" (training can go on bit for bit) or "weights" (the optimizer is gone)."""

    step: int
    path: Path
    kind: CheckpointKind
    size_bytes: int
    created_at: float
    pinned: bool
    text: str = ""
    """Names the text that the run reads (`TokenMeta.identity`); empty where that was not written down."""


def checkpoint_path(run_folder: Path, step: int) -> Path:
    """Where the checkpoint after `step` updates is, whether it exists or not."""
    return run_folder / FOLDER_NAME / f"step-{step:08d}"


def write_checkpoint(
    run_folder: Path,
    step: int,
    writers: Mapping[str, Callable[[Path], None]],
    *,
    kind: CheckpointKind = "full",
    lease_token: str,
    extra: Mapping[str, Any] | None = None,
    after: Callable[[str], None] | None = None,
) -> Path:
    """Write a checkpoint; it exists when this returns, and not at all when it raises or the process dies before the rename.

    Args:
        writers: for each file name, what writes that file to the path it is given.
        lease_token: the lease under which the run works; named in the manifest.
        extra: more facts for the manifest, JSON values.
        after: called with the name of each point passed (`file:<name>`, `manifest`, `set_aside`, `renamed`, `done`), for tests
            that kill the process there.

    Raises:
        LeaseLost: a newer lease holds the run.
        OSError: the disk is full or unwritable; earlier checkpoints are untouched and nothing half-written stays.
    """
    passed = after or (lambda point: None)
    _check_lease(run_folder, lease_token)
    target = checkpoint_path(run_folder, step)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{target.name}.tmp-{secrets.token_hex(4)}")
    temporary.mkdir()
    replaced = None
    try:
        files: dict[str, dict[str, Any]] = {}
        for name, write in writers.items():
            path = safe_join(temporary, name)
            write(path)
            sync_file(path)
            files[name] = {"bytes": path.stat().st_size, "sha256": _sha256(path)}
            passed(f"file:{name}")
        manifest: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "step": step, "kind": kind}
        manifest |= {"created_at": time.time(), "lease_token": lease_token, "files": files, "extra": dict(extra or {})}
        _write_manifest(temporary, manifest)
        passed("manifest")
        _check_lease(run_folder, lease_token)
        if target.exists():
            # A run that resumed behind this step comes by again. A folder cannot replace a full one in one rename: the old
            # one steps aside first, and `remove_partial` brings it back should we die in between.
            replaced = target.with_name(f"{target.name}.old-{secrets.token_hex(4)}")
            target.rename(replaced)
            if (replaced / PIN).exists():
                (temporary / PIN).touch()
            passed("set_aside")
        temporary.rename(target)
        passed("renamed")
        sync_folder(target.parent)
        if replaced is not None:
            shutil.rmtree(replaced)
    except BaseException:
        # Only what is our own: whoever holds a newer lease may be writing beside us.
        shutil.rmtree(temporary, ignore_errors=True)
        if replaced is not None and not target.exists():
            replaced.rename(target)
        elif replaced is not None:
            shutil.rmtree(replaced, ignore_errors=True)
        raise
    passed("done")
    return target


def list_checkpoints(run_folder: Path) -> list[CheckpointInfo]:
    """The checkpoints by step, judged by their manifests; `verify_checkpoint` reads every byte."""
    found = (_read_info(path) for path in _step_folders(run_folder))
    return [info for info in found if info is not None]


def find_checkpoint(run_folder: Path, step: int | None = None) -> CheckpointInfo:
    """The checkpoint after `step` updates, or the newest; raises UserError listing those that exist."""
    existing = list_checkpoints(run_folder)
    for info in reversed(existing):
        if step is None or info.step == step:
            return info
    if not existing:
        raise UserError("This run has no checkpoint yet", remedy="Wait for its first evaluation")
    steps = ", ".join(f"{info.step:,}" for info in existing[-20:])
    raise UserError("There is no checkpoint at this step", value=step, remedy=f"There are: {steps}")


def verify_checkpoint(path: Path, *, without: Collection[str] = ()) -> list[str]:
    """What is wrong with a checkpoint, one sentence each; empty when every byte is as it was written.

    Args:
        without: files that the caller is not going to read, the optimizer's say; they are not looked at.
    """
    manifest = _read_manifest(path)
    if isinstance(manifest, str):
        return [manifest]
    problems: list[str] = []
    for name, (size_bytes, sha256) in manifest.files.items():
        if name in without:
            continue
        file = safe_join(path, name)
        if not file.is_file():
            problems.append(f"{path.name}: {name} is missing.")
        elif file.stat().st_size != size_bytes:
            problems.append(f"{path.name}: {name} has {file.stat().st_size:,} bytes instead of {size_bytes:,}.")
        elif _sha256(file) != sha256:
            problems.append(f"{path.name}: {name} is not what was written (its hash differs).")
    return problems


def newest_valid(
    run_folder: Path, before_step: int | None = None, *, on_problem: Callable[[str], None] | None = None
) -> CheckpointInfo | None:
    """The newest checkpoint that is as it was written, or None.

    Args:
        before_step: look only at earlier steps than this.
        on_problem: told what is wrong with each newer one that was passed over, so that nobody falls back in silence.
    """
    for path in reversed(_step_folders(run_folder)):
        if before_step is not None and _step_of(path) >= before_step:
            continue
        problems = verify_checkpoint(path)
        if not problems:
            return _read_info(path)
        for problem in problems:
            if on_problem is not None:
                on_problem(problem)
    return None


def pin_checkpoint(path: Path, pinned: bool = True) -> None:
    """Keep a checkpoint whole and for ever, or no longer. The mark is a file of its own, so it never meets the worker's writes."""
    if pinned:
        (path / PIN).touch()
    else:
        (path / PIN).unlink(missing_ok=True)


def thin_checkpoints(run_folder: Path, budget_bytes: int) -> list[CheckpointInfo]:
    """Bring the checkpoints of a run within `budget_bytes` and a few hundred as far as the rules allow; returns what is left.

    The newest two stay as they are, and so do pinned ones. Older ones lose their optimizer. If that is not enough, those
    whose neighbours in steps are closest go first, so that what stays is spread evenly; the first is the last to go.
    """
    for info in list_checkpoints(run_folder)[:-FULL_CHECKPOINTS]:
        if not info.pinned:
            _drop_optimizer(info.path)
    left = list_checkpoints(run_folder)
    while sum(info.size_bytes for info in left) > budget_bytes or len(left) > MOST_CHECKPOINTS:
        removable = [index for index, info in enumerate(left[:-FULL_CHECKPOINTS]) if not info.pinned]
        if not removable:
            break
        index = min(removable, key=lambda index: _gap_without(left, index))
        remove_checkpoint(left[index].path)
        del left[index]
    return left


def remove_checkpoint(path: Path) -> None:
    """Remove one checkpoint; it is gone from the list at once, whatever happens while its files are deleted."""
    gone = path.with_name(f"{path.name}.gone-{secrets.token_hex(4)}")
    path.rename(gone)
    shutil.rmtree(gone)


def remove_after(run_folder: Path, step: int) -> list[int]:
    """Remove every checkpoint after a step, newest first, pinned ones too, for a run that goes back; returns their steps.

    A kill on the way leaves a run that goes on from an earlier one of them, and is told again to go back.
    """
    abandoned = [path for path in reversed(_step_folders(run_folder)) if _step_of(path) > step]
    for path in abandoned:
        remove_checkpoint(path)
    return [_step_of(path) for path in abandoned]


def set_aside_after(run_folder: Path, step: int) -> list[Path]:
    """Give every checkpoint after a step another name, for a run that cannot go on from them; returns where they are now.

    Damaged ones would otherwise stand in the way when the run comes by their steps again, and be taken for whole ones later.
    """
    aside: list[Path] = []
    for path in _step_folders(run_folder):
        if _step_of(path) > step:
            aside.append(path.rename(path.with_name(f"{path.name}.damaged-{secrets.token_hex(4)}")))
    return aside


def remove_partial(run_folder: Path) -> None:
    """Clear away what killed writers left, and bring back a checkpoint that was about to be replaced. For the lease holder."""
    folder = run_folder / FOLDER_NAME
    for path in sorted(folder.glob("step-*")) if folder.is_dir() else []:
        match = _LEFTOVER.fullmatch(path.name)
        if match is None:
            continue
        original = path.with_name(match[1])
        if match[2] == "old" and not original.exists():
            path.rename(original)
        else:
            shutil.rmtree(path, ignore_errors=True)


def _check_lease(run_folder: Path, lease_token: str) -> None:
    lease = read_lease(run_folder)
    if lease is not None and supersedes(lease.token, lease_token):
        raise LeaseLost(f"A newer lease ({lease.token}) holds this run; ours was {lease_token}")


def _step_folders(run_folder: Path) -> list[Path]:
    folder = run_folder / FOLDER_NAME
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if _STEP.fullmatch(path.name) and path.is_dir()), key=_step_of)


def _step_of(path: Path) -> int:
    match = _STEP.fullmatch(path.name)
    assert match is not None, path
    return int(match[1])


@dataclass(frozen=True)
class _Manifest:
    """What a manifest says, once it has been found to make sense: for each file its size in bytes and its SHA-256."""

    kind: CheckpointKind
    created_at: float
    files: dict[str, tuple[int, str]]
    values: dict[str, Any]


def _read_info(path: Path) -> CheckpointInfo | None:
    manifest = _read_manifest(path)
    if isinstance(manifest, str):
        return None
    size_bytes = sum(size for size, _ in manifest.files.values())
    extra = manifest.values.get("extra")
    return CheckpointInfo(
        *(_step_of(path), path, manifest.kind, size_bytes, manifest.created_at),
        pinned=(path / PIN).exists(),
        text=str(cast("dict[str, Any]", extra).get("text", "")) if isinstance(extra, dict) else "",
    )


def _read_manifest(path: Path) -> _Manifest | str:
    """The manifest of a checkpoint folder, or the sentence that says what is wrong with it."""
    values = read_json(path / MANIFEST)
    if values is None:
        return f"{path.name}: its manifest is missing or unreadable."
    try:
        if values["schema_version"] > SCHEMA_VERSION:
            return f"{path.name}: it was written by a newer Glassbox (schema {values['schema_version']})."
        if values["manifest_sha256"] != _manifest_sha256(values):
            return f"{path.name}: its manifest is not what was written (its hash differs)."
        if values["step"] != _step_of(path):
            return f"{path.name}: its manifest is that of step {values['step']}."
        files = {name: (int(file["bytes"]), str(file["sha256"])) for name, file in values["files"].items()}
        for name in files:
            safe_join(path, name)
        if values["kind"] in ("full", "weights"):
            return _Manifest(values["kind"], float(values["created_at"]), files, values)
    except (KeyError, TypeError, ValueError, AttributeError):  # UserError is a ValueError
        pass
    return f"{path.name}: its manifest does not say what it should."


def _write_manifest(path: Path, values: Mapping[str, Any]) -> None:
    write_json(path / MANIFEST, {**values, "manifest_sha256": _manifest_sha256(values)})


def _manifest_sha256(values: Mapping[str, Any]) -> str:
    """The hash of everything else that the manifest says, so that a flipped bit in it is found like one in a tensor."""
    rest = {key: values[key] for key in sorted(values) if key != "manifest_sha256"}
    return hashlib.sha256(json_text(rest).encode()).hexdigest()


def _drop_optimizer(path: Path) -> None:
    """First the manifest stops naming the file, then the file goes: at every moment the checkpoint is whole."""
    manifest = _read_manifest(path)
    if isinstance(manifest, _Manifest) and OPTIMIZER in manifest.files:
        files = {name: file for name, file in manifest.values["files"].items() if name != OPTIMIZER}
        _write_manifest(path, {**manifest.values, "kind": "weights", "files": files})
    (path / OPTIMIZER).unlink(missing_ok=True)


def _gap_without(checkpoints: list[CheckpointInfo], index: int) -> tuple[float, int]:
    """How far apart the neighbours would be; the first has no left neighbour and goes last."""
    if index == 0:
        return (float("inf"), 0)
    return (checkpoints[index + 1].step - checkpoints[index - 1].step, index)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(HASH_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
