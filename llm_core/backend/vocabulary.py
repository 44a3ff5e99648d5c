"""What vocabulary a run will have, before its text is cut. Free of torch.

Exact where the tokens exist or the tokenizer fixes it; for characters of a text that was never cut it is what the import counted.
"""

from __future__ import annotations

from llm_core.config.data import DataConfig
from llm_core.config.run import RunConfig
from llm_core.text.library import find_dataset
from llm_core.text.tokenizer_library import find_tokenizer
from llm_core.text.tokens import find_tokens
from llm_core.text.vocabulary import ModelVocabulary, assumed_vocabulary, model_vocabulary
from llm_core.workspace.paths import Workspace

# A Latin text of some length; used until the text has been read once.
_USUAL_CHARACTERS = 100
_BYTES = 256
# Distinct words of some megabytes of English, for the tokenizer of all words.
_USUAL_WORDS = 30_000


def guess_vocabulary(workspace: Workspace, config: RunConfig) -> ModelVocabulary:
    """The model's ids, those of the objective included. Raises NotFound for a text or tokenizer that does not exist."""
    found = find_tokens(workspace, config.data)
    if found is not None:
        return model_vocabulary(found.tokenizer, config.objective)
    # Those that are trained on pieces of text always have one; the others where documents need it.
    has_end = ":" in config.data.tokenizer or find_dataset(workspace, config.data.dataset).documents > 1
    size = _tokenizer_size(workspace, config.data, has_end)
    return assumed_vocabulary(size, has_end=has_end, objective=config.objective)


def _tokenizer_size(workspace: Workspace, data: DataConfig, has_end: bool) -> int:
    if data.tokenizer == "char":
        statistics = find_dataset(workspace, data.dataset).statistics
        counted = _USUAL_CHARACTERS if statistics is None else statistics.distinct_characters
        return counted + has_end
    if data.tokenizer == "byte":
        return _BYTES + has_end
    if data.tokenizer == "word":
        return _USUAL_WORDS
    size = data.tokenizer.partition(":")[2]
    if size.isdecimal():
        return int(size)
    return find_tokenizer(workspace, data.tokenizer).vocabulary_size


def is_vocabulary_known(workspace: Workspace, data: DataConfig) -> bool:
    """Whether `guess_vocabulary` is exact; it is not for the characters of a built-in text that was never used."""
    if data.tokenizer not in ("char", "word") or find_tokens(workspace, data) is not None:
        return True
    return data.tokenizer == "char" and find_dataset(workspace, data.dataset).statistics is not None
