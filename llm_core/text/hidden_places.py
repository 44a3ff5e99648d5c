"""Texts in which a person hides something: `[MASK]` for a token, `[GAP]` for a stretch; cut into tokens that know their place.

The stretches of the tokens, joined, are the text character by character. Free of torch. Not here: what a model makes of it
(`llm_core.generation.filling`, `llm_core.generation.prompts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from llm_core.text.tokenizer_interface import TextTokenizer

MASK = "[MASK]"
"""What a person writes for one token to fill in."""
GAP = "[GAP]"
"""What a person writes for a stretch to fill in."""

_KINDS_THAT_CUT_SPACES_OFF = ("char", "byte")


class CutToken(NamedTuple):
    """A token, or a place to fill, and the stretch of the text that it stands for."""

    token_id: int | None
    """None for a place to fill."""
    text: str
    """With what stands before it and belongs to no token; empty for all but the last of the tokens that make one character."""


def cut_with_places(text: str, tokenizer: TextTokenizer, sign: str) -> list[CutToken]:
    """The tokens of a text and its places to fill.

    Where tokens hold the space before their word, so does a place: `the [MASK]` is one word to fill, after no lonely space.

    Raises:
        UserError: text that the tokenizer does not know.
    """
    *before, last = text.split(sign)
    takes_space = tokenizer.kind not in _KINDS_THAT_CUT_SPACES_OFF
    found: list[CutToken] = []
    for stretch in before:
        space = " " if takes_space and stretch.endswith(" ") else ""
        tokens, rest = _cut(stretch.removesuffix(space), tokenizer)
        found += [*tokens, CutToken(None, rest + space + sign)]
    tokens, rest = _cut(last, tokenizer)
    found += tokens
    if found:
        found[-1] = CutToken(found[-1].token_id, found[-1].text + rest)
    return found


def _cut(stretch: str, tokenizer: TextTokenizer) -> tuple[list[CutToken], str]:
    """The tokens, and what is left after the last one."""
    found: list[CutToken] = []
    cursor, unfinished = 0, b""
    for token_id, piece in zip(tokenizer.encode(stretch), tokenizer.pieces(stretch), strict=True):
        unfinished += piece.data or piece.text.encode()  # of a word that is unknown there are no bytes
        try:
            spelled = unfinished.decode()
        except UnicodeDecodeError:  # a part of a character, which the token that completes it takes
            found.append(CutToken(token_id, ""))
            continue
        unfinished = b""
        spelled = spelled.strip() or spelled
        start = stretch.find(spelled, cursor)
        end = cursor if start < 0 else start + len(spelled)  # a tokenizer may have changed it, say to lower case
        found.append(CutToken(token_id, stretch[cursor:end]))
        cursor = end
    return found, stretch[cursor:]


def fill_place(place: CutToken, sign: str, written: str) -> str:
    """What stands in the text when a place is filled; the space before it is not doubled."""
    before, _, after = place.text.partition(sign)
    return (before.removesuffix(" ") if written.startswith(" ") else before) + written + after


def hide(tokens: Sequence[CutToken], first: int, sign: str, count: int = 1) -> list[CutToken]:
    """The same text with `count` tokens from number `first` on as one place; the white space before them stays."""
    hidden = "".join(token.text for token in tokens[first : first + count])
    space = hidden[: len(hidden) - len(hidden.lstrip())] if hidden.strip() else ""
    return [*tokens[:first], CutToken(None, space + sign), *tokens[first + count :]]


def hide_here_and_there(text: str, tokenizer: TextTokenizer, sign: str, *, every: int, count: int = 1) -> str:
    """A text with `count` tokens in about `every` hidden: whole words where tokens hold words, else letters.

    Raises:
        UserError: text that the tokenizer does not know.
    """
    tokens = cut_with_places(text, tokenizer, sign)
    letters = [any(character.isalnum() for character in token.text) for token in tokens]
    words = [
        is_fit and token.text[0].isspace() and not after.text[:1].isalnum()
        for is_fit, token, after in zip(letters, tokens, tokens[count:], strict=False)
    ]
    fits = words if any(words[every // 2 :]) else letters
    starts: list[int] = []
    at = every // 2
    while at + count < len(tokens):
        if fits[at]:
            starts.append(at)
        at += every if fits[at] else 1
    for start in reversed(starts):
        tokens = hide(tokens, start, sign, count)
    return text_of(tokens)


def text_of(tokens: Sequence[CutToken]) -> str:
    """The text that was cut."""
    return "".join(token.text for token in tokens)
