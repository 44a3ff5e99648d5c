"""The shape of an n-gram model: how many tokens it looks at. Nothing is trained, everything is counted.

Not here: counting and smoothing (`llm_core.models.ngram`).
"""

from __future__ import annotations

from typing import Literal

from llm_core.config.setting import Settings, setting

LONGEST_ORDER = 8


class NgramConfig(Settings):
    """Interpolated modified Kneser-Ney smoothing (Chen and Goodman 1999) of counts of up to `order` tokens."""

    kind: Literal["ngram"] = "ngram"
    order: int = setting(
        5,
        label="Order",
        help="Tokens looked at, the predicted one among them. Longer ones know the text better and need more memory.",
        unit="tokens",
        level="simple",
        minimum=1,
        maximum=LONGEST_ORDER,
    )
