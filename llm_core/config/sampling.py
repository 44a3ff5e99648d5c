"""How the next token is chosen when a model writes.

Not here: the mathematics of each cut (`llm_core.generation.sampling`).
"""

from __future__ import annotations

from llm_core.config.setting import Settings, setting


class SamplingConfig(Settings):
    """Settings of one generation. Cuts are applied in this order: repetition, temperature, top-k, top-p, min-p."""

    max_tokens: int = setting(
        200,
        label="Length",
        help="At most this many new tokens.",
        unit="tokens",
        level="simple",
        minimum=1,
        maximum=100_000,
    )
    temperature: float = setting(
        0.8,
        label="Temperature",
        help="0 always takes the likeliest token; 1 follows the model; more is wilder.",
        level="simple",
        minimum=0.0,
        maximum=5.0,
    )
    top_k: int = setting(
        0,
        label="Top-k",
        help="Only the k likeliest tokens may be chosen; 0 lets all in.",
        level="simple",
        minimum=0,
        maximum=1_000_000,
    )
    top_p: float = setting(
        1.0,
        label="Top-p",
        help="Only the likeliest tokens that together reach this probability; 1 lets all in.",
        level="simple",
        minimum=0.0,
        maximum=1.0,
    )
    min_p: float = setting(
        0.0,
        label="Min-p",
        help="Drops tokens less likely than this share of the likeliest; 0 drops none.",
        minimum=0.0,
        maximum=1.0,
    )
    repetition_penalty: float = setting(
        1.0,
        label="Repetition penalty",
        help="Above 1 makes tokens that already occurred less likely.",
        minimum=0.1,
        maximum=10.0,
    )
    seed: int | None = setting(
        None, label="Seed", help="Empty draws a new one, which is always shown.", minimum=0, maximum=2**63 - 1
    )
    stop: tuple[str, ...] = setting((), label="Stop at", help="The text ends before the first of these.")
