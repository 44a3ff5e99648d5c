"""White space and other characters that leave no mark, drawn so that they can be seen. Not here: tokens (`token_view`)."""

from __future__ import annotations

import unicodedata

_SIGNS = {" ": "·", "\t": "⇥\t", "\n": "⏎\n", "\r": "␍", "\u00a0": "⍽", "\u3000": "□"}


def visible_white_space(text: str) -> str:
    """Spaces as ·, line ends as ⏎ (the line still ends), tabs as ⇥, other invisible characters as their code point."""
    return "".join(_SIGNS.get(character) or _sign(character) for character in text)


def _sign(character: str) -> str:
    if character.isspace() or unicodedata.category(character) in ("Cc", "Cf"):
        return f"⟨{ord(character):04X}⟩"
    return character
