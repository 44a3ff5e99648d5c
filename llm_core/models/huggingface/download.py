"""A model of the Hugging Face Hub as a plain folder: config, tokenizer and safetensors, no links, no code.

Not here: what is in the files (`source_folder.py`).
"""

from __future__ import annotations

import re
from pathlib import Path

from llm_core.config.errors import NotFound, UserError
from llm_core.models.huggingface.source_folder import CONFIG_FILE, INDEX_FILE, TOKENIZER_FILE

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")
_WANTED = [CONFIG_FILE, TOKENIZER_FILE, INDEX_FILE, "model*.safetensors"]
_BY_HAND = "Download its files elsewhere and give the folder"


def download_model(name: str, folder: Path) -> None:
    """Fetch the files of a model into `folder`.

    Args:
        name: `owner/name`.

    Raises:
        NotFound: no such model, or it is not open to this account.
        UserError: the package is not installed, the Hub cannot be reached or refuses.
    """
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ModuleNotFoundError as error:
        raise UserError(
            "There is no such folder, and fetching a model from the Hub needs the package `huggingface_hub`",
            value=name,
            remedy=f"Install it with: pip install huggingface_hub. {_BY_HAND}",
        ) from error
    try:
        huggingface_hub.snapshot_download(name, local_dir=folder, allow_patterns=_WANTED)
    except errors.GatedRepoError as error:
        raise NotFound(
            "This model asks for an agreement on its page on the Hub", value=name, remedy=f"Agree there, or: {_BY_HAND}"
        ) from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise NotFound(
            "There is no such folder, and the Hub has no open model with this name",
            value=name,
            remedy="Check the path, or the name on the model's page",
        ) from error
    except Exception as error:
        # The library raises its own errors, those of its HTTP client, and OSError; all mean that the files did not come.
        raise UserError(
            f"There is no such folder, and the Hub cannot be reached: {type(error).__name__}",
            value=name,
            remedy=f"Check the path or the connection. {_BY_HAND}",
        ) from error
