"""A folder in the format of Hugging Face, opened with suspicion: nothing outside it is read, nothing in it is run.

Everything that headers and JSON can tell is known before a tensor is read. Not here: what the config means (`read_config.py`), which
tensors there should be (`read_weights.py`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from safetensors import SafetensorError, safe_open

from llm_core.config.errors import NotFound, UserError
from llm_core.text.text_file import check_file
from llm_core.workspace.paths import safe_join

CONFIG_FILE = "config.json"
TOKENIZER_FILE = "tokenizer.json"
SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
MAXIMUM_CONFIG_BYTES = 2**20
MAXIMUM_INDEX_BYTES = 64 * 2**20

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_NUMBERS = ("F64", "F32", "F16", "BF16")
_SAVE_AGAIN = "Load it where you trust it and write it with save_pretrained(folder), which makes safetensors"


@dataclass(frozen=True)
class StoredTensor:
    """Where one tensor lies and what its file's header says of it."""

    file: Path
    shape: tuple[int, ...]
    dtype: str


def check_folder(folder: Path) -> Path:
    """The folder, if it is one; NotFound or UserError otherwise."""
    if not folder.exists():
        raise NotFound("There is no such folder", value=folder, remedy="Check the path")
    if not folder.is_dir():
        raise UserError("This is a file", value=folder, remedy="Give the folder that holds config.json and the weights")
    return folder


def read_config_file(folder: Path) -> dict[str, Any]:
    """The object in config.json.

    Raises:
        UserError: no such file, too large, no JSON object, or a link that leads out.
    """
    return _json_object(folder, CONFIG_FILE, MAXIMUM_CONFIG_BYTES)


def file_inside(folder: Path, name: str) -> Path:
    """A file of the folder, links followed.

    Raises:
        UserError: the name holds a path, the file is missing or empty, or a link leads out of the folder.
    """
    try:
        path = safe_join(folder, name)
    except UserError as error:
        raise UserError(
            "The folder names a file outside of itself",
            value=name,
            limit=str(folder),
            remedy="Make a plain copy with all files in it: cp -rL FOLDER COPY",
        ) from error
    if not path.is_file():
        raise UserError(f"The folder has no {name}", value=folder, remedy="Give a folder that save_pretrained wrote")
    check_file(path)
    return path


def stored_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Every tensor by the name it is stored under, from the headers alone.

    Raises:
        UserError: only pickled weights, no safetensors file, a shard missing or elsewhere, index and shards that disagree.
    """
    if (folder / SINGLE_FILE).exists() or (folder / SINGLE_FILE).is_symlink():
        found = _headers(file_inside(folder, SINGLE_FILE))
    elif (folder / INDEX_FILE).exists() or (folder / INDEX_FILE).is_symlink():
        found = _sharded(folder)
    else:
        raise _no_weights(folder)
    return found


def check_numbers(name: str, stored: StoredTensor) -> None:
    """Raise UserError unless a tensor holds plain floats."""
    if stored.dtype not in _NUMBERS:
        raise UserError(
            f"Tensor {name} holds numbers of another kind; quantised weights cannot be read",
            value=stored.dtype,
            limit=", ".join(_NUMBERS),
            remedy="Give the model as it was before it was quantised",
        )


def _sharded(folder: Path) -> dict[str, StoredTensor]:
    index = _json_object(folder, INDEX_FILE, MAXIMUM_INDEX_BYTES).get("weight_map")
    if not isinstance(index, dict) or not index or not all(isinstance(name, str) for name in index.values()):
        raise UserError(
            f"{INDEX_FILE} has no weight_map from tensors to files",
            value=folder,
            remedy="Save the model again with save_pretrained",
        )
    places = cast("dict[str, str]", index)
    found: dict[str, StoredTensor] = {}
    for file_name in sorted(set(places.values())):
        if not file_name.endswith(".safetensors"):
            raise UserError(f"{INDEX_FILE} names a file that is no safetensors", value=file_name, remedy=_SAVE_AGAIN)
        held = _headers(file_inside(folder, file_name))
        promised = {name for name, place in places.items() if place == file_name}
        if held.keys() != promised:
            name = sorted(held.keys() ^ promised)[0]
            what = (
                "lacks a tensor that the index promises"
                if name in promised
                else "holds a tensor that the index does not know"
            )
            raise UserError(f"{file_name} {what}", value=name, remedy="Copy or download the folder again, whole")
        found |= held
    return found


def _headers(path: Path) -> dict[str, StoredTensor]:
    try:
        with safe_open(path, framework="pt") as file:
            found: dict[str, StoredTensor] = {}
            for name in file.keys():  # noqa: SIM118 - no mapping
                part = file.get_slice(name)
                found[name] = StoredTensor(path, tuple(part.get_shape()), part.get_dtype())
            return found
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path.name} is {_looks_like(path)}, not safetensors",
            value=str(error),
            limit="safetensors",
            remedy=f"{_SAVE_AGAIN}; if it is a download, fetch it again",
        ) from error


def _looks_like(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith((b"\x80", b"PK\x03\x04")):
        return "pickled weights, which could run code when opened"
    if head.startswith(b"version https://git-lfs"):
        return "a pointer of git-lfs without its content"
    return "damaged or something else"


def _no_weights(folder: Path) -> UserError:
    pickles = sorted({path.name for pattern in _PICKLES for path in folder.glob(pattern)})
    if pickles:
        return UserError(
            "The folder has its weights as pickles alone, which could run code and are never opened",
            value=", ".join(pickles[:5]),
            limit=f"{SINGLE_FILE}, or {INDEX_FILE} with its parts",
            remedy=_SAVE_AGAIN,
        )
    return UserError(
        "The folder has no weights",
        value=folder,
        limit=f"{SINGLE_FILE}, or {INDEX_FILE} with its parts",
        remedy="Give a folder that save_pretrained wrote",
    )


def _json_object(folder: Path, name: str, maximum_bytes: int) -> dict[str, Any]:
    path = file_inside(folder, name)
    size_bytes = path.stat().st_size
    if size_bytes > maximum_bytes:
        raise UserError(
            f"{name} is too large", value=f"{size_bytes:,} bytes", limit=f"{maximum_bytes:,} bytes",
            remedy="Give a folder that save_pretrained wrote",
        )  # fmt: skip
    try:
        values = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name} is no JSON", value=str(error), remedy="Copy or download the folder again") from error
    if not isinstance(values, dict):
        raise UserError(f"{name} is no JSON object", value=type(values).__name__, remedy="Copy the folder again")
    return cast("dict[str, Any]", values)
