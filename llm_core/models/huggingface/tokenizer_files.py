"""Our tokenizers as a tokenizer.json of the `tokenizers` library, and back.

Characters become its word-level model over single characters, bytes its BPE without merges: the same ids for every text that is
known, and an error for an unknown character; words become its word-level model with its unknown token. One difference stays, as
in every such file: there a text that spells `<|endoftext|>` becomes that token. Not here: subword tokenizers, which have that
form already (`llm_core.text.subword`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast

from llm_core.models.huggingface.special_tokens import SpecialTokens
from llm_core.text.subword import END_KEY, SubwordTokenizer, byte_signs
from llm_core.text.tokenizers import (
    END_OF_TEXT,
    ByteTokenizer,
    CharacterTokenizer,
    TextTokenizer,
    WordTokenizer,
    load_tokenizer_file,
)
from llm_core.text.words import LINE_END_ID, UNKNOWN

NOTHING_ADDED: Final[Mapping[int, str]] = MappingProxyType({})

_ONE_CHARACTER = r"[\s\S]"
# The library asks for a name even when there is no such token; it is longer than any of ours and so never one of them.
_NO_UNKNOWN = "<unknown>"


def tokenizer_json(tokenizer: TextTokenizer, rows: int, added: Mapping[int, str] = NOTHING_ADDED) -> str:
    """The text of a tokenizer.json that cuts as `tokenizer` does.

    Args:
        rows: of the model's embedding; special tokens beyond them, which no text becomes, are left out.
        added: special tokens that the model has beside the tokenizer's, by id.
    """
    if isinstance(tokenizer, CharacterTokenizer):
        fields = _character_fields(tokenizer)
    elif isinstance(tokenizer, ByteTokenizer):
        fields = _byte_fields(tokenizer)
    elif isinstance(tokenizer, WordTokenizer):
        fields = _word_fields(tokenizer)
    else:
        fields = cast("dict[str, Any]", json.loads(tokenizer.to_json()))
        fields.pop(END_KEY, None)  # config.json says it there
        fields["added_tokens"] = [token for token in fields.get("added_tokens", []) if token["id"] < rows]
    fields["added_tokens"] += [_special(token_id, added[token_id]) for token_id in sorted(added)]
    return json.dumps(fields, ensure_ascii=False)


def tokenizer_config(
    tokenizer: TextTokenizer, special: SpecialTokens, context_length: int, *, has_token_types: bool = False
) -> dict[str, Any]:
    """The values of tokenizer_config.json. It names the plain class, because others rebuild parts of the tokenizer by their own rules."""
    texts = {
        part: special.added.get(token_id) or tokenizer.token_text(token_id) for part, token_id in special.ids.items()
    }
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context_length,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", *(["token_type_ids"] if has_token_types else []), "attention_mask"],
        **texts,
    }


def end_token_id(tokenizer: TextTokenizer, vocabulary_size: int) -> int | None:
    """The id that ends a document, if the model has it."""
    end_id = tokenizer.end_of_text_id
    return end_id if end_id is not None and end_id < vocabulary_size else None


def read_tokenizer(path: Path, rows: int) -> tuple[TextTokenizer, dict[str, int]]:
    """The tokenizer of a tokenizer.json, and its added tokens by name; one that `tokenizer_json` made of characters, bytes or
    words is again that tokenizer, which has no names for the tokens of an objective.

    Args:
        rows: of the model's embedding.

    Raises:
        UserError: as `load_tokenizer_file`.
    """
    tokenizer = load_tokenizer_file(path)
    fields = cast("dict[str, Any]", json.loads(path.read_bytes().decode("utf-8-sig")))
    vocabulary = fields.get("model", {}).get("vocab")
    added = {int(token["id"]): str(token["content"]) for token in fields.get("added_tokens") or []}
    names = {token: token_id for token_id, token in added.items()}
    if not isinstance(vocabulary, dict):
        return tokenizer, names
    characters = cast("dict[str, int]", vocabulary)
    has_end = END_OF_TEXT in names
    candidates: list[TextTokenizer] = [ByteTokenizer(end_of_text=has_end)]
    if all(len(character) == 1 for character in characters):
        candidates.append(CharacterTokenizer(characters, end_of_text=has_end))
    if characters.get("\n") == LINE_END_ID:
        words = sorted(characters, key=characters.__getitem__)[LINE_END_ID + 1 :]
        candidates += [WordTokenizer(words, spaced_lines=spaced, end_of_text=has_end) for spaced in (False, True)]
    for candidate in candidates:
        beside = {token_id: token for token_id, token in added.items() if token_id >= candidate.vocabulary_size}
        is_ours = candidate.vocabulary_size + len(beside) == rows
        if is_ours and json.loads(tokenizer_json(candidate, rows, beside)) == fields:
            return candidate, names
    return tokenizer, names


def ended_as_configured(tokenizer: TextTokenizer, config: Mapping[str, Any]) -> TextTokenizer:
    """The tokenizer with the end of text that config.json names (`eos_token_id`; of several the first), if it has it as such a token."""
    wish = config.get("eos_token_id")
    end_id = wish[0] if isinstance(wish, list) and wish else wish
    if not isinstance(tokenizer, SubwordTokenizer) or end_id == tokenizer.end_of_text_id:
        return tokenizer
    return tokenizer.ended_by(end_id) if isinstance(end_id, int) and end_id in tokenizer.special_ids else tokenizer


def _character_fields(tokenizer: CharacterTokenizer) -> dict[str, Any]:
    split = {"type": "Split", "pattern": {"Regex": _ONE_CHARACTER}, "behavior": "Isolated", "invert": False}
    vocabulary = {character: token_id for token_id, character in enumerate(tokenizer.characters)}
    model = {"type": "WordLevel", "vocab": vocabulary, "unk_token": _NO_UNKNOWN}
    return _fields(tokenizer, split, {"type": "Fuse"}, model)


def _word_fields(tokenizer: WordTokenizer) -> dict[str, Any]:
    """White space but line ends falls away, line ends are words; an unknown word is the unknown token there too."""
    steps = [({"Regex": r"[^\S\n]+"}, "Removed"), ({"String": "\n"}, "Isolated")]
    splits = [{"type": "Split", "pattern": how, "behavior": what, "invert": False} for how, what in steps]
    unknown = _NO_UNKNOWN if UNKNOWN in tokenizer.words else UNKNOWN
    vocabulary = {token: token_id for token_id, token in enumerate([unknown, "\n", *tokenizer.words])}
    space = {"type": "Replace", "pattern": {"Regex": "^"}, "content": " "}
    decoder = {"type": "Sequence", "decoders": [space, {"type": "Fuse"}]} if tokenizer.spaced_lines else None
    model = {"type": "WordLevel", "vocab": vocabulary, "unk_token": unknown}
    return _fields(tokenizer, {"type": "Sequence", "pretokenizers": splits}, decoder, model)


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
    tokenizer: TextTokenizer, pre: dict[str, Any], decoder: dict[str, Any] | None, model: dict[str, Any]
) -> dict[str, Any]:
    end_id = tokenizer.end_of_text_id
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [] if end_id is None else [_special(end_id, END_OF_TEXT)],
        "normalizer": None,
        "pre_tokenizer": pre,
        "post_processor": None,
        "decoder": decoder,
        "model": model,
    }


def _special(token_id: int, token: str) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": token_id, "content": token, "special": True, **flags}
