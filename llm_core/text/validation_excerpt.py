"""A piece of a run's validation text, for people to try a model on: what it has never learned from. Free of torch.

Not here: hiding parts of it (`hidden_places.py`).
"""

from __future__ import annotations

import numpy as np

from llm_core.config.data import DataConfig
from llm_core.config.errors import UserError
from llm_core.text.pair_batches import TokenPairs
from llm_core.text.pairs import PairText
from llm_core.text.token_set import TokenSet
from llm_core.text.tokens import find_tokens
from llm_core.workspace.paths import Workspace

_SEARCHED_TOKENS = 8_192
_FEWEST_WORDS = 8
_PROSE_SHARE = 0.9


def validation_excerpt(workspace: Workspace, data: DataConfig, longest_tokens: int) -> str:
    """The beginning of the first paragraph of prose in the validation text, else of the text; empty where the text is not there."""
    found = _tokens(workspace, data)
    if found is None:
        return ""
    tokenizer = found.tokenizer
    tokens = np.asarray(found.validation[:_SEARCHED_TOKENS], dtype=np.int64)
    ends = np.flatnonzero(tokens == tokenizer.end_of_text_id)
    text = tokenizer.decode(tokens[: ends[0] if len(ends) else None].tolist())
    if found.meta.documents == 1:  # it was split at a character, perhaps within a word
        text = text.partition(" ")[2] or text
    paragraphs = [paragraph.strip() for paragraph in text.split("\n\n")]
    chosen = next((paragraph for paragraph in paragraphs if _is_prose(paragraph)), text.strip())
    ids, _ = tokenizer.encode_known(chosen)
    if len(ids) <= longest_tokens:
        return chosen
    beginning = tokenizer.decode(ids[:longest_tokens])
    return beginning.rpartition(" ")[0].rstrip() or beginning


def _is_prose(paragraph: str) -> bool:
    letters = sum(character.isalpha() or character == " " for character in paragraph)
    return len(paragraph.split()) >= _FEWEST_WORDS and letters >= _PROSE_SHARE * len(paragraph)


def first_validation_pair(workspace: Workspace, data: DataConfig) -> PairText | None:
    """The first pair of the validation text, cut as for training; None where the text is not there or holds no pairs."""
    found = _tokens(workspace, data)
    if found is None or not found.meta.is_pairs:
        return None
    pair = TokenPairs(found.validation, found.tokenizer.end_of_text_id, data.context_length)[0]
    return PairText(found.tokenizer.decode(pair.source), found.tokenizer.decode(pair.target))


def _tokens(workspace: Workspace, data: DataConfig) -> TokenSet | None:
    try:
        return find_tokens(workspace, data)
    except UserError:  # the text was deleted, or is of another shape by now
        return None
