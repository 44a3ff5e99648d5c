"""Our tokenizers as a tokenizer.json of the `tokenizers` library, and back.

Characters become its word-level model over single characters, bytes its BPE without merges: the same ids for every text that
is known, and an error for an unknown character. One difference stays, as in every such file: there a text that spells
`<|endoftext|>` becomes that token. Not here: subword tokenizers, which have that form already (`llm_core.text.subword`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from llm_core.text.subword import byte_signs
from llm_core.text.tokenizers import (
    END_OF_TEXT,
    ByteTokenizer,
    CharacterTokenizer,
    TextTokenizer,
    load_tokenizer_file,
)

_ONE_CHARACTER = r"[\s\S]"
# The library asks for a name even when there is no such token; it is longer than any of ours and so never one of them.
_NO_UNKNOWN = "<unknown>"


def tokenizer_json(tokenizer: TextTokenizer, vocabulary_size: int) -> str:
    """The text of a tokenizer.json that cuts as `tokenizer` does.

    Args:
        vocabulary_size: of the model; special tokens beyond it, which no text becomes, are left out.
    """
    if isinstance(tokenizer, CharacterTokenizer):
        fields = _character_fields(tokenizer)
    elif isinstance(tokenizer, ByteTokenizer):
        fields = _byte_fields(tokenizer)
    else:
        fields = cast("dict[str, Any]", json.loads(tokenizer.to_json()))
        fields["added_tokens"] = [token for token in fields.get("added_tokens", []) if token["id"] < vocabulary_size]
    return json.dumps(fields, ensure_ascii=False)


def tokenizer_config(tokenizer: TextTokenizer, vocabulary_size: int, context_length: int) -> dict[str, Any]:
    """The values of tokenizer_config.json. It names the plain class, because others rebuild parts of the tokenizer by their own rules."""
    end_id = end_token_id(tokenizer, vocabulary_size)
    values: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context_length,
        "clean_up_tokenization_spaces": False,
    }
    return values if end_id is None else {**values, "eos_token": tokenizer.token_text(end_id)}


def end_token_id(tokenizer: TextTokenizer, vocabulary_size: int) -> int | None:
    """The id that ends a document, if the model has it."""
    end_id = tokenizer.end_of_text_id
    return end_id if end_id is not None and end_id < vocabulary_size else None


def read_tokenizer(path: Path, vocabulary_size: int) -> TextTokenizer:
    """The tokenizer of a tokenizer.json; one that `tokenizer_json` made of characters or bytes is that tokenizer again.

    Raises:
        UserError: as `load_tokenizer_file`.
    """
    tokenizer = load_tokenizer_file(path)
    fields = cast("dict[str, Any]", json.loads(path.read_bytes().decode("utf-8-sig")))
    vocabulary = fields.get("model", {}).get("vocab")
    if not isinstance(vocabulary, dict) or tokenizer.vocabulary_size > len(vocabulary) + 1:
        return tokenizer
    has_end = bool(fields.get("added_tokens"))
    characters = cast("dict[str, int]", vocabulary)
    candidates: list[TextTokenizer] = [ByteTokenizer(end_of_text=has_end)]
    if all(len(character) == 1 for character in characters):
        candidates.append(CharacterTokenizer(characters, end_of_text=has_end))
    for candidate in candidates:
        if (
            candidate.vocabulary_size == vocabulary_size
            and json.loads(tokenizer_json(candidate, vocabulary_size)) == fields
        ):
            return candidate
    return tokenizer


def _character_fields(tokenizer: CharacterTokenizer) -> dict[str, Any]:
    split = {"type": "Split", "pattern": {"Regex": _ONE_CHARACTER}, "behavior": "Isolated", "invert": False}
    vocabulary = {character: token_id for token_id, character in enumerate(tokenizer.characters)}
    model = {"type": "WordLevel", "vocab": vocabulary, "unk_token": _NO_UNKNOWN}
    return _fields(tokenizer, split, {"type": "Fuse"}, model)


def _byte_fields(tokenizer: ByteTokenizer) -> dict[str, Any]:
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": {sign: value for value, sign in sorted(byte_signs().items())},
        "merges": [],
    }
    return _fields(tokenizer, level, level, model)


def _fields(
    tokenizer: TextTokenizer, pre: dict[str, Any], decoder: dict[str, Any], model: dict[str, Any]
) -> dict[str, Any]:
    end = {"id": tokenizer.end_of_text_id, "content": END_OF_TEXT, "special": True}
    end |= {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [] if tokenizer.end_of_text_id is None else [end],
        "normalizer": None,
        "pre_tokenizer": pre,
        "post_processor": None,
        "decoder": decoder,
        "model": model,
    }
