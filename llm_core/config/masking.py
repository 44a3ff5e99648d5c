"""How text is hidden from an encoder that learns to fill it in (Devlin et al. 2019).

Of the chosen tokens 80 % become the mask token, 10 % a random one, and 10 % stay; those shares are the method, not settings.
Not here: the choosing itself (`llm_core.objectives.masked`).
"""

from __future__ import annotations

from typing import Literal

from llm_core.config.setting import Settings, setting


class MaskingConfig(Settings):
    """Which share of a text is to be filled in, and in which units."""

    kind: Literal["masked"] = "masked"
    rate: float = setting(
        0.15,
        label="Hidden share",
        help="Share of the tokens to fill in. BERT took 0.15, ModernBERT 0.3: more to learn from a row, less to go by.",
        level="simple",
        minimum=0.01,
        maximum=0.9,
    )
    whole_words: bool = setting(
        False,
        label="Whole words",
        help="Hide all tokens of a word together, so that no piece gives away the others.",
        level="simple",
    )
