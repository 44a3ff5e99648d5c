"""Small JSON files that are whole or absent, whatever kills the writer; and JSON without NaN.

Not for: tensors (safetensors), points (`metrics.py`), anything larger than a few megabytes.
"""

from __future__ import annotations

import json
import math
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast


def json_text(value: Any, *, indent: int | None = None) -> str:
    """JSON that every reader accepts: NaN and infinities become null, tuples become lists."""
    return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, indent=indent)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in cast("Mapping[object, object]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in cast("list[object]", value)]
    return value


def write_json(path: Path, value: Any, *, sync: bool = True) -> None:
    """Replace the file as a whole: a reader sees the old or the new text, never a mixture."""
    write_text(path, json_text(value, indent=2) + "\n", sync=sync)


def write_text(path: Path, text: str, *, sync: bool = True) -> None:
    """Replace the file as a whole, and have it on the disk before returning.

    Args:
        sync: False for what is worth nothing after a power cut (progress); spares two waits for the disk.
    """
    temporary = path.with_name(f"{path.name}.tmp-{secrets.token_hex(4)}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if sync:
        sync_folder(path.parent)


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in the file; None when there is no file or it holds no JSON object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def sync_folder(folder: Path) -> None:
    """Have the folder's own entries (new names, renames) on the disk before returning."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Have the bytes of a file that somebody else wrote on the disk before returning."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
