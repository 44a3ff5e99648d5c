"""How many tokens a run has to learn from, before its text is cut. Free of torch.

Exact where the tokens exist; else from the characters that the import counted.
Not here: the vocabulary (`vocabulary.py`), budgets (`llm_core.training.budget`).
"""

from __future__ import annotations

from dataclasses import dataclass

from llm_core.config.objective import SequenceToSequenceConfig
from llm_core.config.run import RunConfig
from llm_core.text.library import find_dataset
from llm_core.text.tokens import find_tokens
from llm_core.training.budget import tokens_per_step
from llm_core.workspace.paths import Workspace

# A built-in text of some length; used for bounds until the text has been read once.
_USUAL_TOKENS = 1_500_000


@dataclass(frozen=True)
class TextLength:
    """The training split."""

    tokens: int
    documents: int
    """Of a text of pairs: how many pairs."""
    is_exact: bool
    """False where sub-words are guessed from characters."""


def text_length(workspace: Workspace, config: RunConfig, vocabulary_size: int) -> TextLength | None:
    """The length of the training split; a sub-word token stands for about log2(V) / 3 characters. None for a text never read.

    Raises:
        NotFound: the text does not exist.
    """
    found = find_tokens(workspace, config.data)
    if found is not None:
        return TextLength(found.meta.train_tokens, found.meta.train_documents, is_exact=True)
    dataset = find_dataset(workspace, config.data.dataset)
    if not dataset.characters:
        return None
    is_by_character = config.data.tokenizer in ("char", "byte")
    characters_per_token = 1.0 if is_by_character else max(1.0, vocabulary_size.bit_length() / 3.5)
    share = 1 - config.data.validation_fraction
    signs = dataset.bytes if config.data.tokenizer == "byte" else dataset.characters
    tokens = int(signs * share / characters_per_token)
    return TextLength(tokens, max(1, int(dataset.documents * share)), is_exact=is_by_character)


def bounding_tokens(length: TextLength | None) -> int:
    """The length by which what can be counted in the text is bounded; a usual one where it was never read."""
    return _USUAL_TOKENS if length is None else length.tokens


def tokens_of_step(config: RunConfig, length: TextLength | None) -> int:
    """Tokens of text that one optimizer step reads: full rows, or pairs of the usual length."""
    full = tokens_per_step(config.training, config.data.context_length)
    if length is None or not isinstance(config.objective, SequenceToSequenceConfig):
        return full
    rows = config.training.batch_size * config.training.gradient_accumulation_steps
    return max(1, min(2 * full, round(rows * length.tokens / length.documents)))
