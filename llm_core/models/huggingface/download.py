"""A model of the Hugging Face Hub as a plain folder: config, tokenizer and safetensors, no links, no code.

Not here: what is in the files (`source_folder.py`).
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from llm_core.config.errors import UserError
from llm_core.models.huggingface.source_folder import CONFIG_FILE, INDEX_FILE, TOKENIZER_FILE
from llm_core.text.progress import DOWNLOADING, CancelHook, Cancelled, ProgressHook, never_cancelled, no_progress

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")
_WANTED = [CONFIG_FILE, TOKENIZER_FILE, INDEX_FILE, "model*.safetensors"]
_BY_HAND = "Download its files elsewhere and give the folder"
_POLL_SECONDS = 0.2


class HubError(UserError):
    """A model of the Hub that did not come."""


def download_model(
    name: str, folder: Path, *, progress: ProgressHook = no_progress, cancelled: CancelHook = never_cancelled
) -> None:
    """Fetch the files of a model into `folder`.

    Args:
        name: `owner/name`.

    Raises:
        HubError: no such model, it is not open to this account, the package is not installed, the Hub cannot be reached.
        Cancelled: on request.
    """
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ModuleNotFoundError as error:
        raise HubError(
            "Fetching a model from the Hub needs the package `huggingface_hub`",
            value=name,
            remedy=f"Install it with: pip install huggingface_hub. {_BY_HAND}",
        ) from error
    try:
        fetch = partial(huggingface_hub.snapshot_download, name, local_dir=folder, allow_patterns=_WANTED)
        _watched(fetch, folder, progress, cancelled)
    except Cancelled:
        raise
    except errors.GatedRepoError as error:
        raise HubError(
            "This model asks for an agreement on its page on the Hub", value=name, remedy=f"Agree there, or: {_BY_HAND}"
        ) from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise HubError(
            "The Hub has no open model with this name",
            value=name,
            remedy="Check the name on the model's page",
        ) from error
    except Exception as error:
        # The library raises its own errors, those of its HTTP client, and OSError; all mean that the files did not come.
        raise HubError(
            f"The Hub cannot be reached: {type(error).__name__}",
            value=name,
            remedy=f"Check the connection. {_BY_HAND}",
        ) from error


def _watched(fetch: Callable[[], object], folder: Path, progress: ProgressHook, cancelled: CancelHook) -> None:
    """Run `fetch` in a thread and tell meanwhile how much has come; on request it is left to end with the process."""
    failures: list[Exception] = []

    def work() -> None:
        try:
            fetch()
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=work, name="download", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_POLL_SECONDS)
        progress(DOWNLOADING, _bytes_in(folder), None)
        if cancelled():
            raise Cancelled
    if failures:
        raise failures[0]


def _bytes_in(folder: Path) -> int:
    """What lies in a folder that is being filled."""
    found = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # renamed or removed meanwhile
            found += path.lstat().st_size
    return found
