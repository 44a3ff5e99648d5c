"""How large the vocabulary of a run will be, before its text is cut. Free of torch.

Exact where the tokens exist or the tokenizer fixes it; for characters of a text that was never cut it is what the import counted.
"""

from __future__ import annotations

from llm_core.config.data import DataConfig
from llm_core.text.library import find_dataset
from llm_core.text.tokenizer_library import find_tokenizer
from llm_core.text.tokens import find_tokens
from llm_core.workspace.paths import Workspace

# A Latin text of some length; used until the text has been read once.
_USUAL_CHARACTERS = 100
_BYTES = 256


def guess_vocabulary_size(workspace: Workspace, data: DataConfig) -> int:
    """Entries of the vocabulary. Raises NotFound for a text or tokenizer that does not exist."""
    found = find_tokens(workspace, data)
    if found is not None:
        return found.meta.vocabulary_size
    dataset = find_dataset(workspace, data.dataset)
    several = int(dataset.documents > 1)  # the end-of-text token
    if data.tokenizer == "char":
        counted = _USUAL_CHARACTERS if dataset.statistics is None else dataset.statistics.distinct_characters
        return counted + several
    if data.tokenizer == "byte":
        return _BYTES + several
    if data.tokenizer.startswith("bpe:"):
        return int(data.tokenizer.removeprefix("bpe:"))
    return find_tokenizer(workspace, data.tokenizer).vocabulary_size


def is_vocabulary_known(workspace: Workspace, data: DataConfig) -> bool:
    """Whether `guess_vocabulary_size` is exact; it is not for the characters of a built-in text that was never used."""
    if data.tokenizer != "char" or find_tokens(workspace, data) is not None:
        return True
    return find_dataset(workspace, data.dataset).statistics is not None
