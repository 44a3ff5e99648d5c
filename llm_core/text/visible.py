"""Text for the eyes: characters that leave no mark are drawn, tokens without end are cut. Not here: drawing tokens (`token_view`)."""

from __future__ import annotations

import unicodedata

from llm_core.text.tokenizer_interface import TextTokenizer

LONGEST_TOKEN_CHARACTERS = 400
_SIGNS = {" ": "·", "\t": "⇥\t", "\n": "⏎\n", "\r": "␍", "\u00a0": "⍽", "\u3000": "□"}


def visible_white_space(text: str) -> str:
    """Spaces as ·, line ends as ⏎ (the line still ends), tabs as ⇥, other invisible characters as their code point."""
    return "".join(_SIGNS.get(character) or _sign(character) for character in text)


def _sign(character: str) -> str:
    if character.isspace() or unicodedata.category(character) in ("Cc", "Cf"):
        return f"⟨{ord(character):04X}⟩"
    return character


def shown_token(tokenizer: TextTokenizer, token_id: int) -> str:
    """A token's text for people: of one that is longer than any word, and some vocabularies hold such, only the beginning."""
    text = tokenizer.token_text(token_id)
    if len(text) <= LONGEST_TOKEN_CHARACTERS:
        return text
    return f"{text[:LONGEST_TOKEN_CHARACTERS]}… ({len(text):,} characters)"
