"""How a text is broken into a source with gaps and a target that fills them (Raffel et al. 2020).

Not here: the choosing itself (`llm_core.objectives.span_corruption`).
"""

from __future__ import annotations

from typing import Literal

from llm_core.config.setting import Settings, setting


class SpanCorruptionConfig(Settings):
    """Which share of a text becomes gaps, how long they are, and how many marks for gaps there are."""

    kind: Literal["span-corruption"] = "span-corruption"
    density: float = setting(
        0.15,
        label="Hidden share",
        help="Share of the tokens that the model has to fill in. More makes the target longer and the source harder to read.",
        level="simple",
        minimum=0.01,
        maximum=0.9,
    )
    mean_span: float = setting(
        3.0,
        label="Mean gap",
        help="How long a gap is on average. Longer gaps make fewer marks, so that source and target are shorter.",
        unit="tokens",
        level="simple",
        minimum=1.0,
        maximum=1000.0,
    )
    num_sentinels: int = setting(
        100,
        label="Marks for gaps",
        help="How many tokens at the top of the vocabulary stand for gaps, one for each gap of a row, the highest for the first.",
        unit="tokens",
        minimum=1,
        maximum=100_000,
    )
